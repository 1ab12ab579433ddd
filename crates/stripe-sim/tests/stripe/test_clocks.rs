//! Test clocks: what lives on one sees its time and no other.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Account, DAY, NOON, id};

const CLOCKS: &str = "/v1/test_helpers/test_clocks";

async fn subscribe(account: &Account, customer: &str, more: &[(&str, &str)]) -> Value {
    let meters = account.get("/v1/billing/meters", &[]).await.ok();
    let meter = match meters["data"].as_array().unwrap().first() {
        Some(meter) => id(meter),
        None => account.meter("sum", &[]).await,
    };
    let price = account.metered_price(&meter).await;
    let mut form = vec![("customer", customer), ("items[0][price]", price.as_str())];
    form.extend(more);
    account.post("/v1/subscriptions", &form).await.ok()
}

async fn read(account: &Account, subscription: &Value) -> Value {
    let path = format!("/v1/subscriptions/{}", id(subscription));
    account.get(&path, &[]).await.ok()
}

#[tokio::test]
async fn a_clock_moves_only_by_its_own_advance() {
    let account = Account::open().await;
    let start = NOON + 1_000 * DAY;
    let (clock, customer) = account.clock(start).await;
    let shown = account
        .get(&format!("/v1/customers/{customer}"), &[])
        .await
        .ok();
    assert_eq!(
        (&shown["test_clock"], &shown["created"]),
        (&clock.as_str().into(), &start.into())
    );
    let trial = [("trial_period_days", "10")];
    let there = subscribe(&account, &customer, &trial).await;
    let other = account.customer().await;
    let here = subscribe(&account, &other, &trial).await;
    assert_eq!(there["test_clock"], clock.as_str());
    assert_eq!(there["trial_end"], start + 10 * DAY);
    assert!(here["test_clock"].is_null());

    let eleven_days = u64::try_from(11 * DAY).unwrap();
    account.sim.advance_clock(Duration::from_secs(eleven_days));
    assert_eq!(read(&account, &here).await["status"], "active");
    assert_eq!(read(&account, &there).await["status"], "trialing");
    account.advance(&clock, start + 10 * DAY).await;
    let path = format!("{CLOCKS}/{clock}");
    let ready = account.get(&path, &[]).await.ok();
    assert_eq!(
        (&ready["status"], &ready["frozen_time"]),
        (&"ready".into(), &(start + 10 * DAY).into())
    );
    assert_eq!(read(&account, &there).await["status"], "active");
    account
        .post(
            &format!("{path}/advance"),
            &[("frozen_time", &start.to_string())],
        )
        .await
        .refused(400, None, Some("frozen_time"));
}

#[tokio::test]
async fn each_end_of_a_trial_comes_on_the_clock() {
    for (behavior, status, method) in [
        ("cancel", "canceled", "charge_automatically"),
        ("pause", "paused", "charge_automatically"),
        ("create_invoice", "active", "charge_automatically"),
        ("cancel", "active", "send_invoice"),
        ("pause", "active", "send_invoice"),
    ] {
        let account = Account::open().await;
        let (clock, customer) = account.clock(NOON).await;
        let mut form = vec![
            ("trial_period_days", "5"),
            (
                "trial_settings[end_behavior][missing_payment_method]",
                behavior,
            ),
            ("collection_method", method),
        ];
        if method == "send_invoice" {
            form.push(("days_until_due", "10"));
        }
        let subscription = subscribe(&account, &customer, &form).await;
        account.advance(&clock, NOON + 5 * DAY - 1).await;
        assert_eq!(read(&account, &subscription).await["status"], "trialing");
        account.advance(&clock, NOON + 6 * DAY).await;
        let ended = read(&account, &subscription).await;
        assert_eq!(ended["status"], status, "{behavior} {method}");
        if status == "canceled" {
            assert_eq!(ended["ended_at"], NOON + 5 * DAY);
        }
    }
}

#[tokio::test]
async fn collection_pauses_until_it_was_told_to() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    let subscription = subscribe(&account, &customer, &[]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let until = (NOON + 3 * DAY).to_string();
    let form = [
        ("pause_collection[behavior]", "void"),
        ("pause_collection[resumes_at]", until.as_str()),
    ];
    let paused = account.post(&path, &form).await.ok();
    assert_eq!(
        (&paused["status"], &paused["pause_collection"]["behavior"]),
        (&"active".into(), &"void".into())
    );
    account.advance(&clock, NOON + 3 * DAY).await;
    assert!(
        read(&account, &subscription).await["pause_collection"].is_null(),
        "resumed when due"
    );
    account.post(&path, &form[..1]).await.ok();
    let cleared = account.post(&path, &[("pause_collection", "")]).await.ok();
    assert!(cleared["pause_collection"].is_null());
}

#[tokio::test]
async fn usage_is_timed_by_the_customers_clock() {
    let account = Account::open().await;
    account.meter("sum", &[]).await;
    let start = NOON - 300 * DAY;
    let (_, customer) = account.clock(start).await;
    account.event(&customer, "r-1", "3", start).await.ok();
    account.event(&customer, "r-2", "3", NOON).await.refused(
        400,
        Some("timestamp_in_future"),
        Some("timestamp"),
    );
}

#[tokio::test]
async fn lists_show_what_is_on_a_clock_to_who_asks() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    let subscription = id(&subscribe(&account, &customer, &[]).await);
    for (path, own) in [
        ("/v1/customers", &customer),
        ("/v1/subscriptions", &subscription),
    ] {
        assert_eq!(
            account.get(path, &[]).await.ok()["data"],
            serde_json::json!([])
        );
        let listed = account.get(path, &[("test_clock", &clock)]).await.ok();
        assert_eq!(listed["data"][0]["id"], own.as_str());
    }
    let by_customer = [("customer", customer.as_str())];
    let listed = account.get("/v1/subscriptions", &by_customer).await.ok();
    assert_eq!(listed["data"][0]["id"], subscription.as_str());
}

#[tokio::test]
async fn a_clock_has_three_customers_and_takes_them_with_it() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    let subscription = subscribe(&account, &customer, &[]).await;
    let form = [("test_clock", clock.as_str())];
    account.post("/v1/customers", &form).await.ok();
    account.post("/v1/customers", &form).await.ok();
    account
        .post("/v1/customers", &form)
        .await
        .refused(400, None, Some("test_clock"));
    let listed = account.get(CLOCKS, &[]).await.ok();
    assert_eq!(listed["data"][0]["id"], clock.as_str());
    let path = format!("{CLOCKS}/{clock}");
    assert_eq!(account.delete(&path, &[]).await.ok()["deleted"], true);
    account
        .get(&path, &[])
        .await
        .refused(404, Some("resource_missing"), Some("id"));
    assert_eq!(read(&account, &subscription).await["status"], "canceled");
    account.post("/v1/customers", &form).await.refused(
        400,
        Some("resource_missing"),
        Some("test_clock"),
    );
    let gone = account
        .get(&format!("/v1/customers/{customer}"), &[])
        .await
        .ok();
    assert_eq!(gone["deleted"], true);
}
