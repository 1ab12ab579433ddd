//! Events: what is told, in what order, with what in it.

use serde_json::{Value, json};

use crate::support::{Account, DAY, NOON, id};

/// The types of all events, oldest first.
async fn kinds(account: &Account) -> Vec<String> {
    let events = account.get("/v1/events", &[("limit", "100")]).await.ok();
    let kind = |it: &Value| it["type"].as_str().unwrap().to_owned();
    events["data"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(kind)
        .collect()
}

/// The newest event of a type.
async fn newest(account: &Account, kind: &str) -> Value {
    let events = account.get("/v1/events", &[("type", kind)]).await.ok();
    events["data"][0].clone()
}

async fn subscribe(account: &Account, customer: &str, more: &[(&str, &str)]) -> String {
    let meter = account.meter("sum", &[]).await;
    let price = account.metered_price(&meter).await;
    let mut form = vec![("customer", customer), ("items[0][price]", price.as_str())];
    form.extend(more);
    id(&account.post("/v1/subscriptions", &form).await.ok())
}

#[tokio::test]
async fn a_life_is_told_in_its_order() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    let sent = [
        ("trial_period_days", "14"),
        ("collection_method", "send_invoice"),
        ("days_until_due", "10"),
    ];
    let subscription = subscribe(&account, &customer, &sent).await;
    let end = NOON + 14 * DAY;
    account.advance(&clock, end + DAY).await;
    account.event(&customer, "r-1", "2", end + 60).await.ok();
    account.advance(&clock, end + 45 * DAY).await;
    let path = format!("/v1/customers/{customer}");
    account.post(&path, &[("name", "Acme")]).await.ok();
    account.delete(&path, &[]).await.ok();
    assert_eq!(
        kinds(&account).await,
        [
            "customer.created",
            "customer.subscription.created",
            "customer.subscription.trial_will_end",
            "customer.subscription.updated",
            "invoice.created",
            "customer.subscription.updated",
            "invoice.finalized",
            "invoice.overdue",
            "customer.subscription.updated",
            "customer.updated",
            "customer.subscription.deleted",
            "customer.deleted",
        ]
    );
    let notice = newest(&account, "customer.subscription.trial_will_end").await;
    assert_eq!(notice["created"], end - 3 * DAY);
    assert_eq!(notice["request"]["id"], Value::Null);
    let updated = newest(&account, "customer.subscription.updated").await;
    assert_eq!(updated["data"]["object"]["status"], "past_due");
    assert_eq!(
        updated["data"]["previous_attributes"],
        json!({ "status": "active" })
    );
    let finalized = newest(&account, "invoice.finalized").await;
    assert_eq!(finalized["data"]["object"]["total"], 200);
    let deleted = newest(&account, "customer.subscription.deleted").await;
    assert_eq!(deleted["data"]["object"]["id"], subscription.as_str());
    assert_eq!(deleted["data"]["object"]["status"], "canceled");
    let one = format!("/v1/events/{}", id(&deleted));
    assert_eq!(account.get(&one, &[]).await.ok(), deleted);
    account.get("/v1/events/evt_none", &[]).await.refused(
        404,
        Some("resource_missing"),
        Some("id"),
    );
}

#[tokio::test]
async fn paused_and_resumed_are_told() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    let trial = [
        ("trial_period_days", "2"),
        (
            "trial_settings[end_behavior][missing_payment_method]",
            "pause",
        ),
    ];
    let subscription = subscribe(&account, &customer, &trial).await;
    account.advance(&clock, NOON + 3 * DAY).await;
    let path = format!("/v1/subscriptions/{subscription}/resume");
    account.post(&path, &[]).await.ok();
    assert_eq!(
        kinds(&account).await[2..],
        [
            // A trial of less than three days is told of at once.
            "customer.subscription.trial_will_end",
            "customer.subscription.updated",
            "customer.subscription.paused",
            "customer.subscription.updated",
            "customer.subscription.resumed",
        ]
    );
}

#[tokio::test]
async fn a_failed_charge_and_a_payment_are_told() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    subscribe(&account, &customer, &[]).await;
    account.event(&customer, "r-1", "2", NOON).await.ok();
    account.advance(&clock, NOON + 32 * DAY).await;
    let failed = newest(&account, "invoice.payment_failed").await;
    let invoice = id(&failed["data"]["object"]);
    let path = format!("/v1/invoices/{invoice}/pay");
    let out_of_band = [("paid_out_of_band", "true")];
    account.post_keyed(&path, &out_of_band, "k-1").await.ok();
    let paid = newest(&account, "invoice.paid").await;
    assert_eq!(paid["data"]["object"]["id"], invoice.as_str());
    assert_eq!(paid["request"]["idempotency_key"], "k-1");
    let grouped = [("types[]", "invoice.*"), ("limit", "100")];
    let invoices = account.get("/v1/events", &grouped).await.ok();
    assert_eq!(invoices["data"].as_array().unwrap().len(), 5);
    // A replay happens only once.
    let before = account.sim.ledger().event_count;
    account.post_keyed(&path, &out_of_band, "k-1").await.ok();
    assert_eq!(account.sim.ledger().event_count, before);
}
