//! `ProvisionSubscription`: one customer and one subscription, whatever happens on the way.

use std::time::Duration;

use billing_proto::{
    common::v1::SubscriptionStatus,
    stripe::v1::{ProvisionSubscriptionRequest, provision_subscription_response::Outcome},
};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use stripe_sim::{Fault, FaultEffect, FaultResponse};
use tonic::Code;

use crate::support::{
    CUSTOMERS, SUBSCRIPTIONS, World, another, answer, eventually, link, new_id, once,
};

#[tokio::test]
async fn a_link_makes_a_customer_and_a_subscription_on_its_terms() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let provisioned = service.provisioned(&request).await;

    let (customer, subscription) = world.one_of_each();
    assert_eq!(customer["id"], provisioned.stripe_customer_id.as_str());
    assert_eq!(customer["name"], "Acme Corp");
    assert_eq!(customer["email"], "billing@acme.example");
    let marks =
        json!({"organization_id": request.organization_id, "operation_id": request.operation_id});
    assert_eq!(customer["metadata"], marks);
    assert_eq!(subscription["metadata"], marks);
    assert_eq!(
        subscription["id"],
        provisioned.stripe_subscription_id.as_str()
    );
    assert_eq!(subscription["collection_method"], "send_invoice");
    assert_eq!(subscription["days_until_due"], 30);
    assert_eq!(subscription["billing_mode"]["type"], "flexible");
    let price = &subscription["items"]["data"][0]["price"];
    assert_eq!(price["lookup_key"], "vaultai_managed_cloud_on_on_premise");

    assert_eq!(provisioned.subscription_status(), SubscriptionStatus::Trial);
    let start = provisioned.start_time.unwrap().seconds;
    assert_eq!(subscription["start_date"], start);
    assert_eq!(
        provisioned.trial_end_time.unwrap().seconds,
        start + 4 * 86_400
    );

    // The same operation again is answered from what is stored.
    let before = world.sim.ledger().recent_requests.len();
    assert_eq!(service.provisioned(&request).await, provisioned);
    assert_eq!(world.sim.ledger().recent_requests.len(), before);

    let row = world
        .row("SELECT c.stripe_request_id, c.response->>'id' AS id, c.attempt_count FROM stripe_calls c WHERE step = 'create_subscription'")
        .await;
    assert!(
        row.try_get::<String>("", "stripe_request_id")
            .unwrap()
            .starts_with("req_")
    );
    assert_eq!(
        row.try_get::<String>("", "id").unwrap(),
        provisioned.stripe_subscription_id
    );
    assert_eq!(row.try_get::<i32>("", "attempt_count").unwrap(), 1);
}

#[tokio::test]
async fn without_a_trial_it_is_active_at_once() {
    let world = World::start().await;
    let service = world.service().await;
    let mut request = link();
    request.trial_days = 0;
    let provisioned = service.provisioned(&request).await;
    assert_eq!(
        provisioned.subscription_status(),
        SubscriptionStatus::Active
    );
    assert_eq!(provisioned.trial_end_time, None);
}

/// unkey#6252, FOSSBilling#4231, lago-api#1985: an answer was lost after Stripe had done the work,
/// and what was sent again made a second customer or subscription.
#[tokio::test]
async fn fm11_whatever_is_lost_on_the_way_there_is_one_of_each_under_one_key() {
    let wait_a_second = FaultResponse {
        retry_after_s: Some(1),
        ..answer(429)
    };
    let told_to_retry = FaultResponse {
        headers: [("Stripe-Should-Retry".to_owned(), "true".to_owned())].into(),
        ..answer(400)
    };
    for effect in [
        FaultEffect::TimeoutBefore { hang_ms: 50 },
        FaultEffect::TimeoutAfter { hang_ms: 50 },
        FaultEffect::CutBody,
        FaultEffect::Refuse,
        FaultEffect::Respond(answer(409)),
        FaultEffect::Respond(wait_a_second),
        FaultEffect::Respond(answer(500)),
        FaultEffect::Respond(told_to_retry),
    ] {
        let world = World::start().await;
        let service = world.service().await;
        world.fault(once(CUSTOMERS, effect.clone()));
        world.fault(once(SUBSCRIPTIONS, effect.clone()));
        service.provisioned(&link()).await;
        world.one_of_each();
        world.assert_faults_struck();
        for route in [CUSTOMERS, SUBSCRIPTIONS] {
            assert_eq!(world.calls(route), 2, "{effect:?}");
            let keys = world.keys(route);
            assert!(
                keys.iter().all(|key| *key == keys[0]),
                "{effect:?}: {keys:?}"
            );
        }
    }
}

#[tokio::test]
async fn when_stripe_says_not_to_retry_the_caller_comes_again_and_there_is_one_of_each() {
    let world = World::start().await;
    let service = world.service().await;
    let told_not_to = FaultResponse {
        headers: [("Stripe-Should-Retry".to_owned(), "false".to_owned())].into(),
        ..answer(503)
    };
    world.fault(once(CUSTOMERS, FaultEffect::Respond(told_not_to)));
    let request = link();
    let status = service.provision(&request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(world.calls(CUSTOMERS), 1);
    service.provisioned(&request).await;
    world.one_of_each();
}

/// A failure that Stripe saved under the key is repeated by the key for a day, whether or not the
/// work was done.
#[tokio::test]
async fn a_key_that_only_brings_a_saved_failure_is_given_up_for_what_stripe_has() {
    for after_effect in [true, false] {
        for route in [CUSTOMERS, SUBSCRIPTIONS] {
            let world = World::start().await;
            let service = world.service().await;
            let saved = FaultResponse {
                after_effect,
                saved: Some(true),
                ..answer(500)
            };
            world.fault(once(route, FaultEffect::Respond(saved)));
            let request = link();
            let status = service.provision(&request).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            world.advance(TimeDelta::seconds(10));
            service.provisioned(&request).await;
            world.one_of_each();
        }
    }
}

/// org-svc's test of its own, from this side: killed between customer and subscription.
#[tokio::test]
async fn killed_between_customer_and_subscription_it_goes_on_at_the_subscription() {
    let world = World::start().await;
    let service = world.service().await;
    let hang = FaultEffect::TimeoutBefore { hang_ms: 60_000 };
    world.fault(once(SUBSCRIPTIONS, hang));
    let request = link();
    let asked = request.clone();
    let first = tokio::spawn(async move {
        let outcome = service.provision(&asked).await;
        (service, outcome)
    });
    let is_sent = "SELECT count(*) FROM stripe_calls WHERE step = 'create_subscription' AND first_sent_at IS NOT NULL";
    eventually("the subscription is on its way", async || {
        world.row(is_sent).await.try_get_by_index::<i64>(0).unwrap() == 1
    })
    .await;
    first.abort();
    drop(first.await);

    let service = world.service().await;
    service.provisioned(&request).await;
    world.one_of_each();
    assert_eq!(world.calls(CUSTOMERS), 1);
}

#[tokio::test]
async fn killed_while_stripe_makes_the_customer_it_finds_it_again() {
    let world = World::start().await;
    let service = world.service().await;
    world.fault(once(
        CUSTOMERS,
        FaultEffect::TimeoutAfter { hang_ms: 60_000 },
    ));
    let request = link();
    let asked = request.clone();
    let first = tokio::spawn(async move { service.provision(&asked).await });
    eventually("Stripe has made the customer", async || {
        world.sim.ledger().customers.len() == 1
    })
    .await;
    first.abort();
    drop(first.await);

    let service = world.service().await;
    service.provisioned(&request).await;
    world.one_of_each();
}

#[tokio::test]
async fn two_replicas_at_one_operation_make_one_of_each_and_answer_the_same() {
    let world = World::start().await;
    let (one, two) = (world.service().await, world.service().await);
    // Slow enough that both are on their way at once.
    world.fault(Fault::always("*", FaultEffect::DelayMs(100)));
    let request = link();
    let (first, second) = tokio::join!(one.provision(&request), two.provision(&request));
    assert_eq!(first.unwrap(), second.unwrap());
    world.one_of_each();
    let keys = world.keys(CUSTOMERS);
    assert!(
        keys.len() >= 2 && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
}

#[tokio::test]
async fn within_the_callers_deadline_it_gives_up_and_the_next_run_ends_it() {
    let world = World::start().await;
    let service = world.service().await;
    world.fault(once(
        CUSTOMERS,
        FaultEffect::TimeoutAfter { hang_ms: 60_000 },
    ));
    let request = link();
    let deadline = Duration::from_secs(2);
    let status = service
        .provision_within(&request, deadline)
        .await
        .unwrap_err();
    let is_open = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled];
    assert!(is_open.contains(&status.code()), "{status:?}");
    service.provisioned(&request).await;
    world.one_of_each();
}

#[tokio::test]
async fn after_a_refusal_the_next_operation_has_the_same_customer_on_its_own_terms() {
    let world = World::start().await;
    let service = world.service().await;
    let refusal = FaultResponse {
        error: Some(
            json!({"type": "invalid_request_error", "code": "tax_id_invalid", "message": "No.", "param": "customer"}),
        ),
        ..answer(400)
    };
    world.fault(once(SUBSCRIPTIONS, FaultEffect::Respond(refusal)));
    let first = link();
    let refused = service.refused(&first).await;
    assert_eq!(
        (refused.code.as_str(), refused.param.as_str()),
        ("tax_id_invalid", "customer")
    );
    assert_eq!(refused.message, "No.");
    assert!(refused.stripe_request_id.starts_with("req_"));
    // Final: the same operation is not tried again.
    assert_eq!(service.refused(&first).await, refused);
    assert_eq!(world.calls(SUBSCRIPTIONS), 1);

    let mut second = another(&first);
    second.admin_email = "accounts@acme.example".to_owned();
    let provisioned = service.provisioned(&second).await;
    let (customer, subscription) = world.one_of_each();
    assert_eq!(customer["id"], provisioned.stripe_customer_id.as_str());
    assert_eq!(customer["email"], "accounts@acme.example");
    assert_eq!(
        subscription["metadata"]["operation_id"],
        second.operation_id.as_str()
    );
}

#[tokio::test]
async fn a_customer_that_was_deleted_in_stripe_is_made_anew() {
    let world = World::start().await;
    let service = world.service().await;
    let refusal = FaultResponse {
        error: Some(json!({"type": "invalid_request_error", "message": "No."})),
        ..answer(400)
    };
    world.fault(once(SUBSCRIPTIONS, FaultEffect::Respond(refusal)));
    let first = link();
    service.refused(&first).await;
    let customer = world.sim.ledger().customers[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .stripe(Method::DELETE, &format!("/v1/customers/{customer}"), &[])
        .await;

    let second = another(&first);
    let provisioned = service.provisioned(&second).await;
    assert_ne!(provisioned.stripe_customer_id, customer);
    assert_eq!(service.provisioned(&second).await, provisioned);
    let row = world
        .row("SELECT stripe_customer_id FROM stripe_customers")
        .await;
    assert_eq!(
        row.try_get_by_index::<String>(0).unwrap(),
        provisioned.stripe_customer_id
    );
}

#[tokio::test]
async fn a_customer_with_a_subscription_on_the_same_meter_gets_no_second_one() {
    let world = World::start().await;
    let service = world.service().await;
    let first = link();
    service.provisioned(&first).await;
    let refused = service.refused(&another(&first)).await;
    assert_eq!(refused.code, "customer_has_subscription");
    world.one_of_each();
}

#[tokio::test]
async fn a_price_that_is_missing_is_named_with_its_fix_before_anything_is_made() {
    let world = World::without_catalog().await;
    let service = world.service().await;
    let first = link();
    let refused = service.refused(&first).await;
    assert_eq!(refused.code, "price_not_found");
    assert!(
        refused
            .message
            .contains("vaultai_managed_cloud_on_on_premise"),
        "{refused:?}"
    );
    assert!(
        refused.message.contains("stripe-svc catalog apply"),
        "{refused:?}"
    );
    assert_eq!(world.sim.ledger().customers.len(), 0);

    // Once it is mended the next operation goes through at once; the refused one stays refused.
    world.apply_catalog().await;
    service.provisioned(&another(&first)).await;
    assert_eq!(service.refused(&first).await, refused);
}

/// carbon#252: the provider's key window ended, so a replay billed again.
#[tokio::test]
async fn fm05_after_a_day_a_call_of_unknown_outcome_is_looked_up_and_never_repeated() {
    for (route, creates) in [
        (CUSTOMERS, true),
        (SUBSCRIPTIONS, true),
        (CUSTOMERS, false),
        (SUBSCRIPTIONS, false),
    ] {
        let world = World::start().await;
        let service = world.service().await;
        if creates {
            world.fault(once(route, FaultEffect::TimeoutAfter { hang_ms: 10 }));
        }
        world.fault(Fault::always(route, FaultEffect::Refuse));
        let request = link();
        let status = service.provision(&request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        world.sim.clear_faults();
        let calls = world.calls(route);
        let latest =
            "SELECT idempotency_key FROM stripe_calls ORDER BY created_at DESC, step DESC LIMIT 1";
        let old_key: String = world.row(latest).await.try_get_by_index(0).unwrap();

        world.advance(TimeDelta::hours(25));
        service.provisioned(&request).await;
        world.one_of_each();
        if creates {
            assert_eq!(world.calls(route), calls, "{route} was repeated");
        } else {
            assert_eq!(world.calls(route), calls + 1);
            assert!(
                !world.keys(route).contains(&old_key),
                "yesterday's key was used"
            );
        }
    }
}

#[tokio::test]
async fn a_key_of_stripes_that_is_wrong_is_nobodys_refusal() {
    let world = World::start().await;
    let wrong = world
        .service_with(&[("STRIPE_SECRET_KEY", "sk_test_wrong")])
        .await;
    let request = link();
    let status = wrong.provision(&request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("key"), "{status:?}");
    assert!(!format!("{status:?}").contains("sk_test_wrong"));
    wrong.kill();
    let outcome = world.service().await.provision(&request).await.unwrap();
    assert!(matches!(outcome, Outcome::Provisioned(_)));
}

#[tokio::test]
async fn other_terms_under_a_known_operation_are_not_taken_for_it() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    service.provisioned(&request).await;
    for other in [
        ProvisionSubscriptionRequest {
            organization_id: new_id(),
            ..request.clone()
        },
        ProvisionSubscriptionRequest {
            trial_days: 0,
            ..request.clone()
        },
        ProvisionSubscriptionRequest {
            admin_email: "x@acme.example".to_owned(),
            ..request.clone()
        },
    ] {
        let status = service.provision(&other).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{other:?}");
    }
    world.one_of_each();
}
