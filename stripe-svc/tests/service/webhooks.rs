//! The inbox of Stripe's webhooks: what is believed, what is kept, and what becomes of it.

use std::collections::BTreeSet;

use billing_kit::Fault as OurFault;
use billing_proto::common::v1::{
    ErrorReason, ListWebhookEventsRequest, SubscriptionStatus, WebhookEventState,
};
use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect};
use tonic::Code;

use crate::support::{
    Service, WEBHOOK_SECRET, World, answer, event as usage, eventually, link, sign,
};

const RETRIEVE: &str = "GET /v1/subscriptions/{id}";

fn event(id: &str, kind: &str, object: &Value) -> String {
    json!({"id": id, "object": "event", "type": kind, "created": 1_800_000_000,
        "data": {"object": object}})
    .to_string()
}

async fn deliver(world: &World, service: &Service, body: &str) {
    let signature = world.signature(body);
    service.deliver_signed(body, &signature).await.unwrap();
}

/// Waits until nothing is queued, and tells how each event ended, by its id.
async fn worked_off(world: &World, service: &Service) -> BTreeSet<(String, WebhookEventState)> {
    eventually("the inbox is worked off", || async {
        let queued = service.webhooks(world, WebhookEventState::Queued).await;
        queued.is_empty()
    })
    .await;
    let all = service
        .webhooks(world, WebhookEventState::Unspecified)
        .await;
    all.iter()
        .map(|it| (it.event_id.clone(), it.state()))
        .collect()
}

#[tokio::test]
async fn only_what_stripe_signed_just_now_is_believed() {
    let world = World::start().await;
    let rolling = [("STRIPE_WEBHOOK_SECRETS", "whsec_new,whsec_sample")];
    let service = world.service_with(&rolling).await;
    let body = event("evt_1", "invoice.paid", &json!({"id": "in_1"}));
    let old = sign(&body, WEBHOOK_SECRET, world.now() - TimeDelta::seconds(301));
    for signature in [
        String::new(),
        sign(&body, "whsec_another", world.now()),
        world.signature("{}"),
        old,
    ] {
        let status = service.deliver_signed(&body, &signature).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let reason = OurFault::from_status(status).reason;
        assert_eq!(reason, ErrorReason::SignatureInvalid, "{signature}");
    }
    assert!(
        service
            .webhooks(&world, WebhookEventState::Unspecified)
            .await
            .is_empty()
    );

    for secret in ["whsec_new", WEBHOOK_SECRET] {
        let signature = sign(&body, secret, world.now());
        service.deliver_signed(&body, &signature).await.unwrap();
    }
    assert_eq!(
        service
            .webhooks(&world, WebhookEventState::Unspecified)
            .await
            .len(),
        1
    );

    let closed = world.service_with(&[("STRIPE_WEBHOOK_SECRET", "")]).await;
    let status = closed.deliver_signed(&body, &world.signature(&body)).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    // What is missing is for the log, not for strangers.
    assert!(!status.message().contains("SECRET"), "{status}");
}

#[tokio::test]
async fn the_inbox_is_for_admins_a_page_at_a_time() {
    let world = World::start().await;
    let service = world.service().await;
    for number in 0..5 {
        let kind = format!("something.new_{number}");
        deliver(
            &world,
            &service,
            &event(&format!("evt_{number}"), &kind, &json!({})),
        )
        .await;
        world.advance(TimeDelta::seconds(1));
    }
    let request = ListWebhookEventsRequest {
        page_size: 2,
        ..ListWebhookEventsRequest::default()
    };
    let refused = service
        .list_webhooks(tonic::Request::new(request.clone()))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);

    let mut seen = Vec::new();
    let mut request = request;
    loop {
        let page = service
            .list_webhooks(world.as_admin(request.clone()))
            .await
            .unwrap();
        seen.extend(page.events.iter().map(|it| it.event_id.clone()));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ["evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]);
    request.page_token = "nonsense".to_owned();
    let refused = service.list_webhooks(world.as_admin(request)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

/// cashier-stripe#1201, onetimesecret#3692: events that came late or out of order moved a state
/// backwards. Here the event is a hint, and the object is fetched again.
#[tokio::test]
async fn fm12_events_out_of_order_never_move_a_subscription_backwards() {
    let world = World::start().await;
    let service = world.service().await;
    let provisioned = service.provisioned(&link()).await;
    let id = &provisioned.stripe_subscription_id;
    let mut feed = service.watch(0).await;
    let first = feed.next().await;
    world
        .stripe(Method::DELETE, &format!("/v1/subscriptions/{id}"), &[])
        .await;

    // The latest comes first, and the others tell of a subscription that runs, each twice.
    for (number, kind, status) in [
        (3, "customer.subscription.deleted", "canceled"),
        (1, "customer.subscription.created", "trialing"),
        (2, "customer.subscription.updated", "active"),
    ] {
        let body = event(
            &format!("evt_{number}"),
            kind,
            &json!({"id": id, "status": status}),
        );
        for _ in 0..2 {
            deliver(&world, &service, &body).await;
        }
    }
    let ended = worked_off(&world, &service).await;
    let processed = |number| (format!("evt_{number}"), WebhookEventState::Processed);
    assert_eq!(ended, BTreeSet::from([1, 2, 3].map(processed)));

    // One change, to what is so in Stripe, whatever the order.
    let changed = service.watch(first.cursor).await.next().await;
    let [state] = changed.states.as_slice() else {
        panic!("{changed:?}");
    };
    assert_eq!(state.subscription_status(), SubscriptionStatus::Canceled);
    assert!(state.end_time.is_some() && state.version > first.states[0].version);
    let changes = world
        .row("SELECT count(*) AS n FROM stripe_subscription_changes")
        .await;
    assert_eq!(changes.try_get::<i64>("", "n").unwrap(), 2);
}

/// Two fetches overlap, and the one that began first comes to its end last.
#[tokio::test]
async fn fm12_a_fetch_that_began_earlier_never_overwrites_a_later_one() {
    let world = World::start().await;
    let service = world.service().await;
    let provisioned = service.provisioned(&link()).await;
    let id = &provisioned.stripe_subscription_id;
    // What a fetch that begins after ours has brought meanwhile.
    world
        .execute(
            "UPDATE stripe_subscriptions SET subscription_status = 'canceled',
             fetch_ticket = (SELECT last_value FROM stripe_fetch_tickets) + 100",
        )
        .await;
    let body = event("evt_1", "customer.subscription.updated", &json!({"id": id}));
    deliver(&world, &service, &body).await;
    worked_off(&world, &service).await;
    assert_eq!(world.calls(RETRIEVE), 1);
    let status = || async {
        let row = world
            .row("SELECT subscription_status FROM stripe_subscriptions")
            .await;
        row.try_get::<String>("", "subscription_status").unwrap()
    };
    assert_eq!(status().await, "canceled");

    // The next that begins after it is believed.
    world
        .execute("SELECT setval('stripe_fetch_tickets', 1000)")
        .await;
    let body = event("evt_2", "customer.subscription.updated", &json!({"id": id}));
    deliver(&world, &service, &body).await;
    worked_off(&world, &service).await;
    assert_eq!(status().await, "trial");
}

/// openmeter#2265: foreign events were answered 400 until Stripe disabled the endpoint.
/// frappe/payments#240: an event that had failed was deduplicated for ever.
#[tokio::test]
async fn fm13_whatever_stripe_signed_is_taken_and_what_failed_is_tried_again() {
    let world = World::start().await;
    let service = world.service().await;
    let provisioned = service.provisioned(&link()).await;
    let id = provisioned.stripe_subscription_id;
    world.fault(Fault::always(RETRIEVE, FaultEffect::Respond(answer(400))));
    for (id, body) in [
        (
            "evt_foreign",
            event("evt_foreign", "charge.succeeded", &json!({"id": "ch_1"})),
        ),
        (
            "evt_invoice",
            event(
                "evt_invoice",
                "invoice.paid",
                &json!({"id": "in_1", "parent": null}),
            ),
        ),
        (
            "evt_ours",
            event(
                "evt_ours",
                "customer.subscription.updated",
                &json!({"id": id}),
            ),
        ),
    ] {
        assert!(body.contains(id));
        deliver(&world, &service, &body).await;
    }
    // Until it is given up, which is seen.
    eventually("it is given up", || {
        world.advance(TimeDelta::hours(1));
        async {
            !service
                .webhooks(&world, WebhookEventState::Dead)
                .await
                .is_empty()
        }
    })
    .await;
    let dead = service.webhooks(&world, WebhookEventState::Dead).await;
    let [dead] = dead.as_slice() else {
        panic!("{dead:?}");
    };
    assert_eq!(
        (dead.event_id.as_str(), dead.attempt_count),
        ("evt_ours", 12)
    );
    assert!(!dead.error_code.is_empty() && !dead.error_message.is_empty());

    // Stripe sends it again, or an admin asks for it: both are new chances.
    world.sim.clear_faults();
    service.retry_webhook(&world, "evt_ours").await.unwrap();
    let ended = worked_off(&world, &service).await;
    let expected = [
        ("evt_foreign", WebhookEventState::Ignored),
        ("evt_invoice", WebhookEventState::Ignored),
        ("evt_ours", WebhookEventState::Processed),
    ];
    let expected = expected.map(|(id, state)| (id.to_owned(), state));
    assert_eq!(ended, BTreeSet::from(expected));
    let unknown = service
        .retry_webhook(&world, "evt_unknown")
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
}

/// An event that Stripe sends again after it was given up is processed after all.
#[tokio::test]
async fn fm13_an_event_that_was_given_up_is_not_deduplicated_for_ever() {
    let world = World::start().await;
    let service = world.service().await;
    // Nobody knows this subscription.
    let body = event(
        "evt_1",
        "customer.subscription.updated",
        &json!({"id": "sub_gone"}),
    );
    deliver(&world, &service, &body).await;
    eventually("it is given up", || {
        world.advance(TimeDelta::hours(1));
        async {
            !service
                .webhooks(&world, WebhookEventState::Dead)
                .await
                .is_empty()
        }
    })
    .await;
    deliver(&world, &service, &body).await;
    let again = service.webhooks(&world, WebhookEventState::Queued).await;
    assert_eq!(again.len(), 1, "{again:?}");
}

#[tokio::test]
async fn a_customer_that_is_deleted_ends_its_subscription() {
    let world = World::start().await;
    let service = world.service().await;
    let provisioned = service.provisioned(&link()).await;
    let customer = &provisioned.stripe_customer_id;
    let first = service.watch(0).await.next().await;
    world
        .stripe(Method::DELETE, &format!("/v1/customers/{customer}"), &[])
        .await;
    let body = event("evt_1", "customer.deleted", &json!({"id": customer}));
    deliver(&world, &service, &body).await;
    let changed = service.watch(first.cursor).await.next().await;
    let state = &changed.states[0];
    assert_eq!(state.subscription_status(), SubscriptionStatus::Canceled);
    assert!(state.customer_deleted && state.end_time.is_some());
    assert_eq!(state.stripe_customer_id, *customer);
}

/// lago#637: usage was taken with 200 and never counted. What Stripe tells of it afterwards is kept.
#[tokio::test]
async fn usage_that_stripe_did_not_count_is_found() {
    let world = World::start().await;
    let service = world.service().await;
    world
        .sim_control("/_sim/settings", &json!({"meter_errors": "reported"}))
        .await;
    let lost = usage("cus_nobody", 5, world.now());
    service.record_one(&lost).await;
    world.advance(TimeDelta::minutes(1));
    let listed = world
        .stripe(Method::GET, "/v2/core/events?limit=1", &[])
        .await;
    let notice = &listed["data"][0];
    let mut thin = notice.clone();
    thin.as_object_mut().unwrap().remove("data");
    deliver(&world, &service, &thin.to_string()).await;
    // The same again is the same finding.
    deliver(&world, &service, &thin.to_string()).await;
    worked_off(&world, &service).await;
    let errors = service.meter_errors(&world).await;
    let [error] = errors.as_slice() else {
        panic!("{errors:?}");
    };
    assert_eq!(error.error_code, "meter_event_customer_not_found");
    assert_eq!(error.sample_identifiers, [lost.identifier]);
    assert_eq!(error.error_count, 1);
    assert_eq!(error.event_id, notice["id"].as_str().unwrap());
    assert!(!error.stripe_meter_id.is_empty() && !error.error_message.is_empty());
}
