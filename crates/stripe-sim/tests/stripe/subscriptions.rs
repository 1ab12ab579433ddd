//! Subscriptions from their creation to their end.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Account, DAY, NOON, Pairs, id, pairs};

/// An account with a customer and a metered price.
async fn subscribable() -> (Account, String, String) {
    let account = Account::open().await;
    let meter = account.meter("sum", &[("event_time_window", "day")]).await;
    let price = account.metered_price(&meter).await;
    let customer = account.customer().await;
    (account, customer, price)
}

async fn subscribe(account: &Account, customer: &str, price: &str, more: Pairs<'_>) -> Value {
    let mut form = vec![("customer", customer), ("items[0][price]", price)];
    form.extend(more);
    account.post("/v1/subscriptions", &form).await.ok()
}

const INVOICED: [(&str, &str); 2] = [
    ("collection_method", "send_invoice"),
    ("days_until_due", "30"),
];

fn days(count: i64) -> Duration {
    Duration::from_secs((count * DAY).unsigned_abs())
}

#[tokio::test]
async fn a_trial_ends_and_periods_follow() {
    let (account, customer, price) = subscribable().await;
    let mut form = INVOICED.to_vec();
    form.extend([
        ("trial_period_days", "14"),
        ("billing_mode[type]", "flexible"),
        ("metadata[organization_id]", "org-1"),
        (
            "trial_settings[end_behavior][missing_payment_method]",
            "pause",
        ),
    ]);
    let subscription = subscribe(&account, &customer, &price, &form).await;
    let start = subscription["trial_start"].as_i64().unwrap();
    assert_eq!(subscription["status"], "trialing");
    assert_eq!(subscription["trial_end"], start + 14 * DAY);
    assert_eq!(subscription["billing_mode"]["type"], "flexible");
    let item = &subscription["items"]["data"][0];
    assert_eq!(item["plan"]["id"], price.as_str());
    assert_eq!(item["current_period_end"], start + 14 * DAY);
    assert!(
        item.get("quantity").is_none(),
        "a metered item has no quantity"
    );

    account.sim.advance_clock(days(15));
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let active = account.get(&path, &[]).await.ok();
    assert_eq!(
        active["status"], "active",
        "an invoiced trial needs no payment method"
    );
    let item = &active["items"]["data"][0];
    assert_eq!(item["current_period_start"], start + 14 * DAY);
    assert_eq!(
        item["current_period_end"],
        start + 45 * DAY,
        "March has 31 days"
    );
    account.sim.advance_clock(days(365));
    let later = account.get(&path, &[]).await.ok();
    let end = later["items"]["data"][0]["current_period_end"]
        .as_i64()
        .unwrap();
    assert!((0..=31 * DAY).contains(&(end - account.sim.now())));
    let shown = account
        .get(&format!("/v1/customers/{customer}"), &[])
        .await
        .ok();
    assert_eq!(shown["currency"], "eur");
}

#[tokio::test]
async fn a_trial_without_payment_method_ends_as_it_was_told_to() {
    for (behavior, status) in [
        ("cancel", "canceled"),
        ("pause", "paused"),
        ("create_invoice", "active"),
    ] {
        let (account, customer, price) = subscribable().await;
        let end = (NOON + 5 * DAY).to_string();
        let form = [
            ("trial_end", end.as_str()),
            (
                "trial_settings[end_behavior][missing_payment_method]",
                behavior,
            ),
        ];
        let subscription = subscribe(&account, &customer, &price, &form).await;
        account.sim.advance_clock(days(6));
        let path = format!("/v1/subscriptions/{}", id(&subscription));
        assert_eq!(account.get(&path, &[]).await.ok()["status"], status);
        if status == "paused" {
            let resumed = account.post(&format!("{path}/resume"), &[]).await.ok();
            assert_eq!(resumed["status"], "active");
            let start = resumed["items"]["data"][0]["current_period_start"]
                .as_i64()
                .unwrap();
            assert!(
                start >= NOON + 6 * DAY,
                "a new period begins when it is resumed"
            );
        }
    }
}

#[tokio::test]
async fn without_a_trial_it_is_active() {
    let (account, customer, price) = subscribable().await;
    let subscription = subscribe(&account, &customer, &price, &INVOICED).await;
    assert_eq!(subscription["status"], "active");
    assert!(subscription["trial_end"].is_null());
    assert_eq!(
        subscription["billing_mode"]["type"], "flexible",
        "the default of this version"
    );
    let anchor = (NOON + 12 * 3_600).to_string();
    let mut form = INVOICED.to_vec();
    form.push(("billing_cycle_anchor", &anchor));
    let anchored = subscribe(&account, &customer, &price, &form).await;
    assert_eq!(
        anchored["items"]["data"][0]["current_period_end"],
        NOON + 12 * 3_600
    );
}

/// What is sent besides the customer, and the code and parameter of the refusal.
#[rustfmt::skip]
const REFUSED: [(&str, Option<&str>, Option<&str>); 9] = [
    ("items[0][price]=ONCE", None, Some("items[0][price]")),
    ("items[0][price]=INACTIVE", None, Some("items[0][price]")),
    ("items[0][price]=METERED&items[1][price]=DOLLARS", None, Some("items[1][price]")),
    ("items[0][price]=METERED&items[1][price]=METERED", None, Some("items[1][price]")),
    ("items[0][price]=METERED&items[0][quantity]=2", None, Some("items[0][quantity]")),
    // Nothing can be charged, for nobody has a payment method here.
    ("items[0][price]=DOLLARS", Some("resource_missing"), None),
    ("items[0][price]=METERED&collection_method=send_invoice", Some("parameter_missing"), Some("days_until_due")),
    ("items[0][price]=METERED&days_until_due=3", None, Some("days_until_due")),
    ("items[0][price]=METERED&trial_period_days=1&trial_end=1800000000", Some("parameters_exclusive"), Some("trial_end")),
];

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused() {
    let (account, customer, price) = subscribable().await;
    let product = id(&account.post("/v1/products", &[("name", "Once")]).await.ok());
    let create = async |more: &str| {
        let form = format!("product={product}&unit_amount=100&{more}");
        id(&account.post("/v1/prices", &pairs(&form)).await.ok())
    };
    let once = create("currency=eur").await;
    let dollars = create("currency=usd&recurring[interval]=month").await;
    let inactive = create("currency=eur&recurring[interval]=month&active=false").await;
    for (more, code, param) in REFUSED {
        println!("{more}");
        let form = format!("customer={customer}&{more}")
            .replace("ONCE", &once)
            .replace("INACTIVE", &inactive)
            .replace("METERED", &price)
            .replace("DOLLARS", &dollars);
        account
            .post("/v1/subscriptions", &pairs(&form))
            .await
            .refused(400, code, param);
    }
    let silent = id(&account
        .post("/v1/customers", &[("name", "No address")])
        .await
        .ok());
    let mut form = vec![("customer", silent.as_str()), ("items[0][price]", &price)];
    form.extend(INVOICED);
    account
        .post("/v1/subscriptions", &form)
        .await
        .refused(400, None, Some("customer"));
    assert!(account.sim.ledger().subscriptions.is_empty());
}

#[tokio::test]
async fn it_is_found_by_customer_status_and_metadata() {
    let (account, customer, price) = subscribable().await;
    let other = account.customer().await;
    let trial = [
        ("trial_period_days", "3"),
        ("metadata[organization_id]", "org-1"),
    ];
    let one = id(&subscribe(&account, &customer, &price, &trial).await);
    let two = id(&subscribe(&account, &customer, &price, &INVOICED).await);
    let three = id(&subscribe(&account, &other, &price, &INVOICED).await);
    account
        .delete(&format!("/v1/subscriptions/{two}"), &[])
        .await
        .ok();
    let cases: &[(Pairs<'_>, &[&String])] = &[
        (&[], &[&three, &one]),
        (&[("customer", &customer)], &[&one]),
        (&[("customer", &customer), ("status", "all")], &[&two, &one]),
        (
            &[
                ("customer", &customer),
                ("status", "all"),
                ("starting_after", &two),
            ],
            &[&one],
        ),
        (&[("status", "trialing")], &[&one]),
        (&[("status", "ended")], &[&two]),
        (&[("status", "active"), ("price", &price)], &[&three]),
        (&[("collection_method", "send_invoice")], &[&three]),
    ];
    for (query, found) in cases {
        let list = account.get("/v1/subscriptions", query).await.ok();
        let ids: Vec<String> = list["data"].as_array().unwrap().iter().map(id).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), *found, "{query:?}");
    }
    let query = [(
        "query",
        "metadata['organization_id']:'org-1' AND status:'trialing'",
    )];
    let found = account.get("/v1/subscriptions/search", &query).await.ok();
    assert_eq!(found["data"][0]["id"], one.as_str());
    let expand = [
        ("expand[]", "customer"),
        ("expand[]", "items.data.price.product"),
    ];
    let expanded = account
        .get(&format!("/v1/subscriptions/{one}"), &expand)
        .await
        .ok();
    assert_eq!(expanded["customer"]["id"], customer.as_str());
    assert_eq!(
        expanded["items"]["data"][0]["price"]["product"]["name"],
        "Seats"
    );
}

#[tokio::test]
async fn a_cancellation_is_scheduled_taken_back_or_immediate() {
    let (account, customer, price) = subscribable().await;
    let subscription = subscribe(&account, &customer, &price, &INVOICED).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let end = &subscription["items"]["data"][0]["current_period_end"];
    let scheduled = account
        .post(&path, &[("cancel_at_period_end", "true")])
        .await
        .ok();
    assert_eq!(&scheduled["cancel_at"], end);
    assert_eq!(scheduled["status"], "active");
    assert!(!scheduled["canceled_at"].is_null());
    let kept = account
        .post(&path, &[("cancel_at_period_end", "false")])
        .await
        .ok();
    assert!(kept["cancel_at"].is_null() && kept["canceled_at"].is_null());
    account
        .post(
            &path,
            &[("cancel_at_period_end", "true"), ("metadata[why]", "test")],
        )
        .await
        .ok();
    account.sim.advance_clock(days(40));
    let ended = account.get(&path, &[]).await.ok();
    assert_eq!(ended["status"], "canceled");
    assert_eq!(
        &ended["ended_at"], end,
        "it ended when it was due, not when the clock came by"
    );
    assert_eq!(
        ended["cancellation_details"]["reason"],
        "cancellation_requested"
    );
    account
        .delete(&path, &[])
        .await
        .refused(404, Some("resource_missing"), Some("id"));
    account
        .post(&path, &[("cancel_at_period_end", "false")])
        .await
        .refused(400, None, None);
    account.post(&path, &[("metadata[why]", "")]).await.ok();

    let subscription = subscribe(&account, &customer, &price, &[("trial_period_days", "9")]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let form = [
        ("cancellation_details[comment]", "bye"),
        ("invoice_now", "true"),
    ];
    let canceled = account.delete(&path, &form).await.ok();
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["cancellation_details"]["comment"], "bye");
    let subscription = subscribe(&account, &customer, &price, &[("trial_period_days", "9")]).await;
    account
        .delete(&format!("/v1/customers/{customer}"), &[])
        .await
        .ok();
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    assert_eq!(account.get(&path, &[]).await.ok()["status"], "canceled");
}

#[tokio::test]
async fn a_trial_is_moved_and_ended_early() {
    let (account, customer, price) = subscribable().await;
    let subscription = subscribe(&account, &customer, &price, &[("trial_period_days", "9")]).await;
    let path = format!("/v1/subscriptions/{}", id(&subscription));
    let end = (NOON + 20 * DAY).to_string();
    let moved = account.post(&path, &[("trial_end", &end)]).await.ok();
    assert_eq!(moved["trial_end"], NOON + 20 * DAY);
    assert_eq!(
        moved["items"]["data"][0]["current_period_end"],
        NOON + 20 * DAY
    );
    let ended = account.post(&path, &[("trial_end", "now")]).await.ok();
    assert_eq!(ended["status"], "active");
    let start = ended["items"]["data"][0]["current_period_start"]
        .as_i64()
        .unwrap();
    assert_eq!(ended["trial_end"], start);
}

#[tokio::test]
async fn a_customer_has_subscriptions_of_one_currency_at_a_time() {
    let (account, customer, price) = subscribable().await;
    let product = account
        .post("/v1/products", &[("name", "Other")])
        .await
        .ok();
    let other = [
        ("currency", "usd"),
        ("unit_amount", "100"),
        ("recurring[interval]", "month"),
        ("product", &*id(&product)),
    ];
    let other = id(&account.post("/v1/prices", &other).await.ok());
    let first = subscribe(&account, &customer, &other, &INVOICED).await;
    let mut form = vec![("customer", &*customer), ("items[0][price]", &*price)];
    form.extend(INVOICED);
    let refused = account.post("/v1/subscriptions", &form).await;
    let message = refused.refused(400, None, None);
    assert!(message.contains("cannot combine currencies"), "{message}");
    assert!(message.ends_with("with currency usd."), "{message}");
    // Once the other one has ended, nothing speaks against it.
    let path = format!("/v1/subscriptions/{}", id(&first));
    account.delete(&path, &[]).await.ok();
    subscribe(&account, &customer, &price, &INVOICED).await;
}
