//! Products, prices with their lookup keys, and meters.

use crate::support::{Account, id};

#[tokio::test]
async fn an_amount_is_whole_or_exact() {
    let account = Account::open().await;
    let product = id(&account
        .post("/v1/products", &[("name", "Seats")])
        .await
        .ok());
    for (given, value, whole, exact) in [
        ("unit_amount", "250", Some(250), "250"),
        ("unit_amount_decimal", "250.0", Some(250), "250"),
        (
            "unit_amount_decimal",
            "12.345678901234",
            None,
            "12.345678901234",
        ),
    ] {
        let form = [
            ("product", product.as_str()),
            ("currency", "EUR"),
            (given, value),
        ];
        let price = account.post("/v1/prices", &form).await.ok();
        assert_eq!(price["unit_amount"].as_i64(), whole, "{value}");
        assert_eq!(price["unit_amount_decimal"], exact);
        assert_eq!(price["currency"], "eur");
        assert_eq!(price["type"], "one_time");
    }
    let form = [
        ("product", product.as_str()),
        ("currency", "eur"),
        ("unit_amount_decimal", "1.1234567890123"),
    ];
    account
        .post("/v1/prices", &form)
        .await
        .refused(400, None, Some("unit_amount_decimal"));
}

#[tokio::test]
async fn a_lookup_key_has_one_holder_and_can_be_transferred() {
    let account = Account::open().await;
    let product = id(&account
        .post("/v1/products", &[("name", "Seats")])
        .await
        .ok());
    let form = |transfer: &'static str| {
        [
            ("product", product.clone()),
            ("currency", "eur".to_owned()),
            ("unit_amount", "100".to_owned()),
            ("lookup_key", "team_monthly".to_owned()),
            ("transfer_lookup_key", transfer.to_owned()),
        ]
    };
    let create = async |transfer: &'static str| {
        let form = form(transfer);
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
        account.post("/v1/prices", &form).await
    };
    let old = id(&create("false").await.ok());
    let message = create("false").await.refused(400, None, Some("lookup_key"));
    assert_eq!(
        message,
        format!("A price (`{old}`) already uses that lookup key.")
    );
    let new = id(&create("true").await.ok());
    let listed = account
        .get("/v1/prices", &[("lookup_keys[]", "team_monthly")])
        .await
        .ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["id"], new.as_str());
    let old = account.get(&format!("/v1/prices/{old}"), &[]).await.ok();
    assert!(old["lookup_key"].is_null());
    let expanded = account
        .get("/v1/prices", &[("expand[]", "data.product")])
        .await
        .ok();
    assert_eq!(expanded["data"][0]["product"]["id"], product.as_str());
    let more = [("active", "false"), ("nickname", "old")];
    let changed = account.post(&format!("/v1/prices/{new}"), &more).await.ok();
    assert_eq!(changed["active"], false);
    let active = account
        .get("/v1/prices", &[("active", "true"), ("product", &product)])
        .await
        .ok();
    assert_eq!(active["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_product_changes_and_keeps_its_own_id() {
    let account = Account::open().await;
    let form = [
        ("id", "seats"),
        ("name", "Seats"),
        ("metadata[a]", "1"),
        ("metadata[b]", "2"),
    ];
    account.post("/v1/products", &form).await.ok();
    account.post("/v1/products", &form).await.refused(
        400,
        Some("resource_already_exists"),
        Some("id"),
    );
    let form = [
        ("active", "false"),
        ("description", "Per seat"),
        ("metadata[a]", ""),
    ];
    let product = account.post("/v1/products/seats", &form).await.ok();
    assert_eq!(product["metadata"], serde_json::json!({ "b": "2" }));
    assert_eq!(product["type"], "service");
    let listed = account
        .get("/v1/products", &[("active", "true")])
        .await
        .ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 0);
    assert_eq!(account.get("/v1/products/seats", &[]).await.ok(), product);
}

#[tokio::test]
async fn an_event_name_has_one_active_meter() {
    let account = Account::open().await;
    let window = [("event_time_window", "day")];
    let meter = account.meter("sum", &window).await;
    let shown = account
        .get(&format!("/v1/billing/meters/{meter}"), &[])
        .await
        .ok();
    assert_eq!(
        shown["customer_mapping"]["event_payload_key"],
        "stripe_customer_id"
    );
    assert_eq!(shown["value_settings"]["event_payload_key"], "value");
    let again = [
        ("display_name", "x"),
        ("event_name", "seats"),
        ("default_aggregation[formula]", "sum"),
    ];
    account.post("/v1/billing/meters", &again).await.refused(
        400,
        Some("resource_already_exists"),
        Some("event_name"),
    );
    let off = account
        .post(&format!("/v1/billing/meters/{meter}/deactivate"), &[])
        .await
        .ok();
    assert_eq!(off["status"], "inactive");
    let active = account
        .get("/v1/billing/meters", &[("status", "active")])
        .await
        .ok();
    assert_eq!(active["data"].as_array().unwrap().len(), 0);
    let on = account
        .post(&format!("/v1/billing/meters/{meter}/reactivate"), &[])
        .await
        .ok();
    assert!(on["status_transitions"]["deactivated_at"].is_null());
    let renamed = [("display_name", "Seat days")];
    let renamed = account
        .post(&format!("/v1/billing/meters/{meter}"), &renamed)
        .await
        .ok();
    assert_eq!(renamed["display_name"], "Seat days");
}
