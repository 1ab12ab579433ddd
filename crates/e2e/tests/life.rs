//! Goal: what becomes of an organization after its link: an admin changes and cancels its subscription,
//! or it ends in Stripe; its reports go on being recorded, and it comes back.
//! Method: the whole system, and Stripe's own books in the end.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use billing_e2e::actors::{Admin, Instance, http, linked_instance, now, terms};
use billing_e2e::{STRIPE_KEY, Service, System};
use billing_harness::eventually;
use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect, FaultResponse};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_subscription_ended_comes_back() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, link) = linked_instance(&system, &admin).await;
    let id = instance.organization;
    let unlink = format!("/api/admin/organizations/{id}/unlink");
    let reason = json!({"reason": "the contract ended"});
    let going_on = admin.post(&unlink, &reason).await;
    assert_eq!(going_on.status, StatusCode::CONFLICT);

    cancel(&system, link.text("/organization/stripe_subscription_id")).await;
    eventually("the organization is canceled", async || {
        let listed = admin.listed("linked", id).await?;
        (listed["subscription_status"] == "canceled").then_some(())
    })
    .await;
    // Recorded, and nobody is billed for it.
    let free = report(&admin, &instance, 1, "not_billed").await;

    let unlinked = admin.post(&unlink, &reason).await;
    assert_eq!(unlinked.status, StatusCode::OK, "{:?}", unlinked.json);
    assert_eq!(
        unlinked.text("/organization/subscription_status"),
        "pending"
    );
    report(&admin, &instance, -1, "waiting").await;

    let again = admin.link(id, &terms()).await;
    assert_eq!(again.status, StatusCode::OK, "{:?}", again.json);
    assert_eq!(
        again.text("/organization/stripe_customer_id"),
        link.text("/organization/stripe_customer_id"),
        "one organization is one customer"
    );
    assert_ne!(
        again.text("/organization/stripe_subscription_id"),
        link.text("/organization/stripe_subscription_id")
    );
    report(&admin, &instance, 4, "sent").await;
    let reports = admin.reports(id).await;
    let sent = reports.values().filter(|it| it["delivery_state"] == "sent");
    assert_eq!(sent.count(), 1, "{reports:?}");
    assert_eq!(reports[&free]["delivery_state"], "not_billed");
}

/// What waits for Stripe when its subscription ends is delivered before the organization is unlinked:
/// the next link bills nothing of before its start.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_unlinked_that_is_still_to_be_delivered() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = paying(&system, &admin).await;
    let id = instance.organization;
    let away = FaultEffect::Respond(FaultResponse::status(429));
    let away = Fault {
        count: None,
        ..Fault::once("POST /v1/billing/meter_events", away)
    };
    system.stripe.inject(away).unwrap();
    let answer = instance.report(30, now() - TimeDelta::hours(1)).await;
    let unsent = answer.text("/report_id").to_owned();
    admin.delivered(id, &unsent, &["queued"]).await;
    let linked = organization(&admin, &instance).await;
    let subscription = linked["stripe_subscription_id"].as_str().unwrap();
    cancel(&system, subscription).await;
    eventually_canceled(&admin, &instance).await;

    let unlink = format!("/api/admin/organizations/{id}/unlink");
    let reason = json!({"reason": "the contract ended"});
    let early = admin.post(&unlink, &reason).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{:?}", early.json);
    assert_eq!(early.text("/error/code"), "link_conflict");

    system.stripe.clear_faults();
    admin.delivered(id, &unsent, &["sent"]).await;
    eventually("it is unlinked", async || {
        let answer = admin.post(&unlink, &reason).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    let again = admin.link(id, &terms()).await;
    assert_eq!(again.status, StatusCode::OK, "{:?}", again.json);
    assert_eq!(admin.reports(id).await[&unsent]["delivery_state"], "sent");
}

/// An organization that was a customer in Stripe before it was one here.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_is_in_stripe_already_is_adopted_by_one_organization() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (one, two) = (Instance::of(&system), Instance::of(&system));
    for instance in [&one, &two] {
        let answer = instance.report(45, now() - TimeDelta::hours(1)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    }
    let customer = http()
        .post(format!("{}/v1/customers", system.stripe.base_url()))
        .basic_auth(STRIPE_KEY, None::<&str>)
        .form(&[("name", "Acme"), ("email", "billing@acme.example")]);
    let customer: Value = customer.send().await.unwrap().json().await.unwrap();
    let link_of =
        |instance: &Instance| format!("/api/admin/organizations/{}/link", instance.organization);
    let preview = admin
        .post(&format!("{}/preview", link_of(&one)), &terms())
        .await;
    let similar = preview.text("/preview/similar_customers/0/stripe_customer_id");
    assert_eq!(similar, customer["id"], "{:?}", preview.json);

    let mut adopting = terms();
    adopting["adopt_customer_id"] = customer["id"].clone();
    let linked = admin.post(&link_of(&one), &adopting).await;
    assert_eq!(linked.status, StatusCode::OK, "{:?}", linked.json);
    assert_eq!(
        linked.text("/organization/stripe_customer_id"),
        customer["id"]
    );
    report(&admin, &one, 1, "sent").await;
    let ledger = system.stripe.ledger();
    assert_eq!(ledger.customers.len(), 1);
    let sent = &ledger.meter_events[0];
    assert_eq!(sent.customer, customer["id"], "{sent:?}");

    let refused = admin.post(&link_of(&two), &adopting).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.text("/error/code"), "stripe_refused");
    assert!(admin.listed("pending", two.organization).await.is_some());
    // On a customer of its own it is linked all the same.
    let linked = admin.post(&link_of(&two), &terms()).await;
    assert_eq!(linked.status, StatusCode::OK, "{:?}", linked.json);
    assert_eq!(system.stripe.ledger().customers.len(), 2);
}

/// An organization without a trial, whose subscription began three days ago by Stripe's clock.
async fn paying(system: &System, admin: &Admin) -> Instance {
    let instance = Instance::of(system);
    let start = now() - TimeDelta::days(3);
    let answer = instance.report(40, start - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let mut terms = terms();
    terms["trial_days"] = json!(0);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

async fn organization(admin: &Admin, instance: &Instance) -> Value {
    let id = instance.organization;
    let answer = admin.get(&format!("/api/admin/organizations/{id}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.json["organization"].clone()
}

async fn eventually_canceled(admin: &Admin, instance: &Instance) -> Value {
    eventually("the subscription is canceled", async || {
        let organization = organization(admin, instance).await;
        let is_over = organization["link_operation"]["state"] == "succeeded";
        (is_over && organization["subscription_status"] == "canceled").then_some(organization)
    })
    .await
}

/// What all invoices ask for, in cents.
fn invoiced(system: &System) -> i64 {
    let invoices = system.stripe.ledger().invoices;
    let totals = invoices.iter().map(|it| it["total"].as_i64().unwrap());
    totals.sum()
}

/// Reports a day's usage that is delivered and another's that cannot be, because stripe-svc is away;
/// cancels at once, and waits until the admin sees that it drains. Answers the second report's id.
async fn cancel_with_a_full_queue(
    system: &mut System,
    admin: &Admin,
    instance: &Instance,
) -> String {
    let id = instance.organization;
    let first = instance.report(40, now() - TimeDelta::days(2)).await;
    admin
        .delivered(id, first.text("/report_id"), &["sent"])
        .await;
    system.kill_service(Service::Stripe);
    let second = instance.report(30, now() - TimeDelta::days(1)).await;
    assert_eq!(second.status, StatusCode::OK, "{:?}", second.json);
    let second = second.text("/report_id").to_owned();
    admin.delivered(id, &second, &["queued"]).await;
    let asking = admin.clone();
    let path = format!("/api/admin/organizations/{id}/cancel");
    // It is answered when it is done, or when the gateway's deadline is over.
    tokio::spawn(async move { asking.post(&path, &json!({"mode": "now"})).await });
    eventually("it drains", async || {
        let operation = organization(admin, instance).await["link_operation"].clone();
        let is_draining = operation["error"]["code"] == "draining";
        (is_draining && operation["cancel_mode"] == "now").then_some(())
    })
    .await;
    assert_eq!(
        organization(admin, instance).await["subscription_status"],
        "active"
    );
    second
}

/// bencher#951: an immediate cancellation dropped the usage of the open period.
#[tokio::test(flavor = "multi_thread")]
async fn fm19_what_was_queued_is_on_the_last_invoice_of_a_cancellation_at_once() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = paying(&system, &admin).await;
    let second = cancel_with_a_full_queue(&mut system, &admin, &instance).await;
    assert_eq!(invoiced(&system), 0);

    system.start_service(Service::Stripe);
    let ended = eventually_canceled(&admin, &instance).await;
    assert!(ended["cancel_at"].is_string(), "{ended}");
    admin
        .delivered(instance.organization, &second, &["sent"])
        .await;
    // 70 seat-days at 26.5 cents.
    assert_eq!(invoiced(&system), 1_855);

    // What comes after it is recorded, and nobody is billed for it.
    report(&admin, &instance, 1, "not_billed").await;
    let path = format!("/api/admin/organizations/{}/cancel", instance.organization);
    let again = admin.post(&path, &json!({"mode": "now"})).await;
    assert_eq!(again.status, StatusCode::OK, "{:?}", again.json);
    assert_eq!(invoiced(&system), 1_855);
}

/// Whoever dies in the middle of a cancellation, it is made once and after everything is delivered.
#[tokio::test(flavor = "multi_thread")]
async fn fm19_services_that_are_killed_in_the_middle_of_a_cancellation_go_on() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = paying(&system, &admin).await;
    cancel_with_a_full_queue(&mut system, &admin, &instance).await;
    system.kill_service(Service::Org);
    system.kill_service(Service::Ingest);
    system.start_service(Service::Stripe);
    system.start_service(Service::Ingest);
    // org-svc is away while the queue is delivered, and hears of it when it is there again.
    eventually("everything is delivered", async || {
        (system.stripe.ledger().meter_events.len() == 2).then_some(())
    })
    .await;
    assert_eq!(invoiced(&system), 0);
    system.start_service(Service::Org);
    eventually_canceled(&admin, &instance).await;
    assert_eq!(invoiced(&system), 1_855);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_changes_the_plan_and_ends_the_subscription_with_its_period() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, _) = linked_instance(&system, &admin).await;
    let path = format!("/api/admin/organizations/{}", instance.organization);
    let lookup_key = || {
        let ledger = system.stripe.ledger();
        ledger.subscriptions[0]["items"]["data"][0]["price"]["lookup_key"].clone()
    };
    let update = async |body: Value| {
        let answer = admin.patch(&format!("{path}/subscription"), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        answer
    };
    update(json!({"admin_email": "accounts@acme.example"})).await;
    assert_eq!(lookup_key(), "vaultai_managed_cloud_on_on_premise");
    assert_eq!(
        system.stripe.ledger().customers[0]["email"],
        "accounts@acme.example"
    );
    let changed = update(json!({"deployment_type": "managed-cloud"})).await;
    assert_eq!(
        changed.text("/organization/admin_email"),
        "accounts@acme.example"
    );
    assert_eq!(lookup_key(), "vaultai_managed_cloud_on_managed_cloud");
    let answer = instance.report(50, now() + TimeDelta::seconds(1)).await;
    let id = answer.text("/report_id");
    let row = admin.delivered(instance.organization, id, &["sent"]).await;
    assert_eq!(row["deployment_type"], "managed-cloud");

    let at_end = json!({"mode": "at_period_end"});
    let ending = admin.post(&format!("{path}/cancel"), &at_end).await;
    assert_eq!(ending.status, StatusCode::OK, "{:?}", ending.json);
    assert_eq!(ending.text("/organization/subscription_status"), "trial");
    assert_ne!(ending.text("/organization/cancel_at"), "");
    let ledger = system.stripe.ledger();
    assert_eq!(ledger.subscriptions[0]["cancel_at_period_end"], true);
}

/// Sends a report of so many seconds from now and waits for it to get there; answers its id.
async fn report(admin: &Admin, instance: &Instance, seconds: i64, state: &str) -> String {
    let answer = instance
        .report(52, now() + TimeDelta::seconds(seconds))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let id = answer.text("/report_id").to_owned();
    admin.delivered(instance.organization, &id, &[state]).await;
    id
}

async fn cancel(system: &System, subscription: &str) {
    let url = format!(
        "{}/v1/subscriptions/{subscription}",
        system.stripe.base_url()
    );
    let request = http().delete(url).basic_auth(STRIPE_KEY, None::<&str>);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}
