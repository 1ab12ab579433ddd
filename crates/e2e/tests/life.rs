//! Goal: what becomes of an organization after its link: its subscription ends in Stripe, its reports
//! go on being recorded, and it comes back.
//! Method: the whole system; a person at Stripe's own dashboard cancels.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::actors::{Admin, Instance, http, linked_instance, now, terms};
use billing_e2e::{STRIPE_KEY, System};
use billing_harness::eventually;
use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::json;

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
