//! `ProvisionSubscription` on a customer that is in Stripe already, which an admin chose.

use billing_proto::stripe::v1::{
    ProvisionSubscriptionRequest, provision_subscription_response::Outcome,
};
use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect, FaultResponse};
use tonic::Code;

use crate::support::{World, another, answer, link, once};

const UPDATE_CUSTOMER: &str = "POST /v1/customers/{id}";

/// The sample link, on this customer.
fn adopting(customer: &str) -> ProvisionSubscriptionRequest {
    ProvisionSubscriptionRequest {
        adopt_customer_id: customer.to_owned(),
        organization_name: "Acme Corp".to_owned(),
        ..link()
    }
}

async fn in_stripe(world: &World, customer: &str) -> Value {
    let path = format!("/v1/customers/{customer}");
    world.stripe(Method::GET, &path, &[]).await
}

async fn owner_of(world: &World, customer: &str) -> Option<String> {
    let sql = format!(
        "SELECT max(organization_id::text) FROM stripe_customers WHERE stripe_customer_id = '{customer}'"
    );
    world.row(&sql).await.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn an_adopted_customer_is_used_in_place_of_a_new_one_and_gets_the_terms() {
    for lost in [
        None,
        Some(FaultEffect::TimeoutAfter { hang_ms: 50 }),
        Some(FaultEffect::CutBody),
        Some(FaultEffect::Respond(answer(500))),
    ] {
        let world = World::start().await;
        let service = world.service().await;
        let chosen = world.customer().await;
        let request = adopting(&chosen);
        if let Some(effect) = lost {
            world.fault(once(UPDATE_CUSTOMER, effect));
        }
        let provisioned = service.provisioned(&request).await;
        world.assert_faults_struck();
        assert_eq!(provisioned.stripe_customer_id, chosen);
        let (customer, subscription) = world.one_of_each();
        let marks = json!({"organization_id": request.organization_id, "operation_id": request.operation_id});
        assert_eq!(
            (&customer["name"], &customer["email"], &customer["metadata"]),
            (&json!("Acme Corp"), &json!("billing@acme.example"), &marks)
        );
        assert_eq!(subscription["customer"], chosen.as_str());
        assert_eq!(
            owner_of(&world, &chosen).await,
            Some(request.organization_id.clone())
        );
        assert_eq!(service.provisioned(&request).await, provisioned);
        world.one_of_each();
    }
}

/// Has the customer pay in another currency already, as Stripe then refuses ours.
async fn subscribe_in_dollars(world: &World, customer: &str) {
    let product = world.stripe(Method::POST, "/v1/products", &[("name", "Other")]);
    let product = product.await["id"].as_str().unwrap().to_owned();
    let price = [
        ("currency", "usd"),
        ("unit_amount", "900"),
        ("recurring[interval]", "month"),
        ("product", &*product),
    ];
    let price = world.stripe(Method::POST, "/v1/prices", &price).await;
    let email = [("email", "theirs@acme.example")];
    let path = format!("/v1/customers/{customer}");
    world.stripe(Method::POST, &path, &email).await;
    let subscription = [
        ("customer", customer),
        ("items[0][price]", price["id"].as_str().unwrap()),
        ("collection_method", "send_invoice"),
        ("days_until_due", "30"),
    ];
    world
        .stripe(Method::POST, "/v1/subscriptions", &subscription)
        .await;
}

/// Paymenter#986: the name, address and metadata of the customer were changed, then Stripe refused the
/// subscription, and the changes stayed.
#[tokio::test]
async fn fm33_a_refused_link_leaves_the_adopted_customer_as_it_was() {
    let world = World::start().await;
    let service = world.service().await;
    let chosen = world.customer().await;
    subscribe_in_dollars(&world, &chosen).await;
    let before = in_stripe(&world, &chosen).await;
    let updates = world.calls(UPDATE_CUSTOMER);
    let request = adopting(&chosen);
    let refused = service.refused(&request).await;
    assert!(refused.message.contains("currencies"), "{refused:?}");
    assert_eq!(in_stripe(&world, &chosen).await, before);
    assert_eq!(service.refused(&request).await, refused);
    assert_eq!(world.calls(UPDATE_CUSTOMER), updates);
    // It is nobody's: another organization may adopt it, and this one gets a customer of its own.
    assert_eq!(owner_of(&world, &chosen).await, None);
    let other = service.refused(&adopting(&chosen)).await;
    assert!(other.message.contains("currencies"), "{other:?}");
    let own = ProvisionSubscriptionRequest {
        adopt_customer_id: String::new(),
        ..another(&request)
    };
    let provisioned = service.provisioned(&own).await;
    assert_ne!(provisioned.stripe_customer_id, chosen);
    assert_open_calls(&world, 0).await;
}

/// The same of a customer that the organization had before: its next link may be refused, too.
#[tokio::test]
async fn fm33_a_refused_link_leaves_the_organizations_own_customer_as_it_was() {
    let world = World::start().await;
    let service = world.service().await;
    let first = link();
    let linked = service.provisioned(&first).await;
    let path = format!("/v1/subscriptions/{}", linked.stripe_subscription_id);
    world.stripe(Method::DELETE, &path, &[]).await;
    subscribe_in_dollars(&world, &linked.stripe_customer_id).await;
    let before = in_stripe(&world, &linked.stripe_customer_id).await;
    let again = ProvisionSubscriptionRequest {
        admin_email: "new@acme.example".to_owned(),
        ..another(&first)
    };
    service.refused(&again).await;
    assert_eq!(in_stripe(&world, &linked.stripe_customer_id).await, before);
    assert_open_calls(&world, 0).await;
}

/// A subscription whose invoices are sent needs the address before; a refusal takes it away again.
#[tokio::test]
async fn fm33_a_customer_without_an_address_gets_one_and_loses_it_with_the_refusal() {
    for refusal in [false, true] {
        for lost in [
            None,
            Some(FaultEffect::TimeoutAfter { hang_ms: 50 }),
            Some(FaultEffect::Respond(answer(500))),
        ] {
            let world = World::start().await;
            let service = world.service().await;
            let customer = world.stripe(Method::POST, "/v1/customers", &[("name", "A")]);
            let chosen = customer.await["id"].as_str().unwrap().to_owned();
            let before = in_stripe(&world, &chosen).await;
            if let Some(effect) = lost {
                world.fault(once(UPDATE_CUSTOMER, effect));
            }
            let request = adopting(&chosen);
            if refusal {
                world.fault(once("POST /v1/subscriptions", FaultEffect::Respond(no())));
                service.refused(&request).await;
                assert_eq!(in_stripe(&world, &chosen).await, before);
            } else {
                service.provisioned(&request).await;
                let (customer, _) = world.one_of_each();
                assert_eq!(customer["email"], "billing@acme.example");
                assert_eq!(customer["name"], "Acme Corp");
            }
            assert_open_calls(&world, 0).await;
        }
    }
}

/// Stripe refuses the change of the customer, after the subscription was made: it is canceled.
#[tokio::test]
async fn fm33_a_customer_that_cannot_be_changed_keeps_no_subscription() {
    for lost in [None, Some(FaultEffect::TimeoutAfter { hang_ms: 50 })] {
        let world = World::start().await;
        let service = world.service().await;
        let chosen = world.customer().await;
        world.fault(once(UPDATE_CUSTOMER, FaultEffect::Respond(no())));
        let before = in_stripe(&world, &chosen).await;
        if let Some(effect) = lost {
            world.fault(once("DELETE /v1/subscriptions/{id}", effect));
        }
        let request = adopting(&chosen);
        let refused = service.refused(&request).await;
        let (customer, subscription) = world.one_of_each();
        assert_eq!(facts(&customer), facts(&before));
        assert_eq!(subscription["status"], "canceled");
        assert_eq!(world.sim.ledger().invoices.len(), 0);
        assert_eq!(owner_of(&world, &chosen).await, None);
        assert_eq!(service.refused(&request).await, refused);
        assert_open_calls(&world, 0).await;
    }
}

/// The process ends between the subscription and the change: the same operation resumes there.
#[tokio::test]
async fn fm33_a_link_that_was_cut_off_before_the_change_is_ended_by_the_next_replica() {
    let world = World::start().await;
    let service = world.service().await;
    let chosen = world.customer().await;
    let before = in_stripe(&world, &chosen).await;
    world.fault(Fault::always(UPDATE_CUSTOMER, FaultEffect::Refuse));
    let request = adopting(&chosen);
    let status = service.provision(&request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let (customer, subscription) = world.one_of_each();
    assert_eq!(facts(&customer), facts(&before), "it is changed last");
    service.kill();
    world.sim.clear_faults();
    // Past the time in which a key may be sent again.
    world.advance(chrono::TimeDelta::hours(24));
    let provisioned = world.service().await.provisioned(&request).await;
    assert_eq!(subscription["id"], *provisioned.stripe_subscription_id);
    let (customer, _) = world.one_of_each();
    assert_eq!(customer["name"], "Acme Corp");
    assert_eq!(
        owner_of(&world, &chosen).await,
        Some(request.organization_id)
    );
    assert_open_calls(&world, 0).await;
}

/// What a link changes of a customer. Its currency comes with a subscription, and nobody can change it.
fn facts(customer: &Value) -> [&Value; 3] {
    ["name", "email", "metadata"].map(|name| &customer[name])
}

async fn assert_open_calls(world: &World, count: i64) {
    let row = world
        .row("SELECT count(*) FROM stripe_calls WHERE state = 'open'")
        .await;
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), count);
}

fn no() -> FaultResponse {
    FaultResponse {
        error: Some(json!({"type": "invalid_request_error", "message": "No."})),
        ..answer(400)
    }
}

#[tokio::test]
async fn the_organizations_customer_is_the_adopted_one_once_the_link_is_made() {
    let world = World::start().await;
    let service = world.service().await;
    // The first operation left a customer of its own behind.
    world.fault(once("POST /v1/subscriptions", FaultEffect::Respond(no())));
    let first = link();
    service.refused(&first).await;
    let own = world.sim.ledger().customers[0]["id"].clone();

    let chosen = world.customer().await;
    let adopting = ProvisionSubscriptionRequest {
        adopt_customer_id: chosen.clone(),
        ..another(&first)
    };
    world.fault(once("POST /v1/subscriptions", FaultEffect::Respond(no())));
    service.refused(&adopting).await;
    let plain = |request| ProvisionSubscriptionRequest {
        adopt_customer_id: String::new(),
        ..another(request)
    };
    // What was refused changed nothing.
    let third = service.provisioned(&plain(&first)).await;
    assert_eq!(third.stripe_customer_id, own.as_str().unwrap());
    end(&world, &third.stripe_subscription_id).await;
    let fourth = service.provisioned(&another(&adopting)).await;
    assert_eq!(fourth.stripe_customer_id, chosen);
    end(&world, &fourth.stripe_subscription_id).await;
    let fifth = service.provisioned(&plain(&first)).await;
    assert_eq!(fifth.stripe_customer_id, chosen);
    assert_eq!(world.sim.ledger().customers.len(), 2);
}

async fn end(world: &World, subscription: &str) {
    let path = format!("/v1/subscriptions/{subscription}");
    world.stripe(Method::DELETE, &path, &[]).await;
}

#[tokio::test]
async fn a_customer_that_is_billed_already_is_refused_and_left_as_it_is() {
    let world = World::start().await;
    let service = world.service().await;
    let linked = service.provisioned(&link()).await;
    let theirs = linked.stripe_customer_id;
    // As if it had been made by hand: no organization of ours has it.
    world.execute("DELETE FROM stripe_customers").await;
    let before = in_stripe(&world, &theirs).await;
    let request = ProvisionSubscriptionRequest {
        organization_name: "Globex".to_owned(),
        ..adopting(&theirs)
    };
    let refused = service.refused(&request).await;
    assert_eq!(refused.code, "customer_has_subscription");
    assert!(refused.message.contains(&linked.stripe_subscription_id));
    assert_eq!(in_stripe(&world, &theirs).await, before);
    // Final, though the subscription may have ended since.
    let path = format!("/v1/subscriptions/{}", linked.stripe_subscription_id);
    world.stripe(Method::DELETE, &path, &[]).await;
    assert_eq!(service.refused(&request).await, refused);
    assert_eq!(
        service
            .provisioned(&another(&request))
            .await
            .stripe_customer_id,
        theirs
    );
}

#[tokio::test]
async fn another_organizations_customer_is_refused_and_left_as_it_is() {
    let world = World::start().await;
    let service = world.service().await;
    let owner = link();
    let linked = service.provisioned(&owner).await;
    let theirs = linked.stripe_customer_id;
    // Even where its subscription has ended: it is billed under it again when it is linked again.
    let path = format!("/v1/subscriptions/{}", linked.stripe_subscription_id);
    world.stripe(Method::DELETE, &path, &[]).await;
    let before = in_stripe(&world, &theirs).await;
    let refused = service.refused(&adopting(&theirs)).await;
    assert_eq!(refused.code, "customer_of_another_organization");
    assert_eq!(in_stripe(&world, &theirs).await, before);
    assert_eq!(owner_of(&world, &theirs).await, Some(owner.organization_id));
}

#[tokio::test]
async fn a_customer_that_is_not_there_is_refused_and_none_is_made() {
    let world = World::start().await;
    let service = world.service().await;
    let deleted = world.customer().await;
    let path = format!("/v1/customers/{deleted}");
    world.stripe(Method::DELETE, &path, &[]).await;
    for chosen in ["cus_never", &deleted] {
        let request = adopting(chosen);
        let refused = service.refused(&request).await;
        assert_eq!(refused.code, "resource_missing", "{refused:?}");
        assert!(refused.message.contains(chosen));
        assert_eq!(service.refused(&request).await, refused);
    }
    // Deleted between our look and our call: Stripe says so itself.
    let chosen = world.customer().await;
    let gone = FaultResponse {
        error: Some(
            json!({"type": "invalid_request_error", "code": "resource_missing",
            "message": format!("No such customer: '{chosen}'"), "param": "customer"}),
        ),
        ..answer(404)
    };
    world.fault(once(UPDATE_CUSTOMER, FaultEffect::Respond(gone)));
    let request = adopting(&chosen);
    let refused = service.refused(&request).await;
    assert_eq!(refused.code, "resource_missing");
    assert_eq!(service.refused(&request).await, refused);
    world.assert_faults_struck();
    let subscriptions = world.sim.ledger().subscriptions;
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0]["status"], "canceled");
    assert_eq!(world.calls("POST /v1/customers"), 2, "the test made two");
    // It has ended, so it keeps nobody else from it.
    service.provisioned(&adopting(&chosen)).await;
}

#[tokio::test]
async fn of_two_organizations_that_adopt_one_customer_at_once_one_has_it() {
    let world = World::start().await;
    let (one, two) = (world.service().await, world.service().await);
    let chosen = world.customer().await;
    // Slow enough that both are on their way at once.
    world.fault(Fault::always("*", FaultEffect::DelayMs(100)));
    let requests = [adopting(&chosen), adopting(&chosen)];
    let (first, second) = tokio::join!(one.provision(&requests[0]), two.provision(&requests[1]));
    let mut owners = Vec::new();
    for (outcome, request) in [first, second].into_iter().zip(&requests) {
        match outcome.unwrap() {
            Outcome::Provisioned(provisioned) => {
                assert_eq!(provisioned.stripe_customer_id, chosen);
                owners.push(request.organization_id.clone());
            }
            Outcome::Refusal(refusal) => {
                assert_eq!(refusal.code, "customer_of_another_organization");
            }
        }
    }
    assert_eq!(owners.len(), 1);
    let (customer, _) = world.one_of_each();
    assert_eq!(
        customer["metadata"]["organization_id"],
        owners[0].as_str(),
        "the other one changed it"
    );
    assert_eq!(owner_of(&world, &chosen).await, owners.pop());
}

/// What one of them has begun and nobody knows the end of is not the other's.
#[tokio::test]
async fn a_customer_that_is_being_adopted_is_taken() {
    let world = World::start().await;
    let service = world.service().await;
    let chosen = world.customer().await;
    world.fault(Fault::always(UPDATE_CUSTOMER, FaultEffect::Refuse));
    let first = adopting(&chosen);
    let status = service.provision(&first).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    world.sim.clear_faults();
    let refused = service.refused(&adopting(&chosen)).await;
    assert_eq!(refused.code, "customer_of_another_organization");
    service.provisioned(&first).await;
    world.one_of_each();
}

#[tokio::test]
async fn another_customer_under_a_known_operation_is_not_taken_for_it() {
    let world = World::start().await;
    let service = world.service().await;
    let chosen = world.customer().await;
    let adopted = adopting(&chosen);
    service.provisioned(&adopted).await;
    let fresh = link();
    service.provisioned(&fresh).await;
    let refused = adopting("cus_never");
    service.refused(&refused).await;
    for (request, other) in [
        (&adopted, ""),
        (&adopted, "cus_other"),
        (&fresh, chosen.as_str()),
        (&refused, ""),
        (&refused, "cus_other"),
    ] {
        let other = ProvisionSubscriptionRequest {
            adopt_customer_id: other.to_owned(),
            ..request.clone()
        };
        let status = service.provision(&other).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{other:?}");
    }
}
