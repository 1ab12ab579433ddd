//! The billing portal, and the faults and keys that every new route has like the old ones.

use std::time::Duration;

use stripe_sim::{Config, Fault, FaultEffect, FaultResponse};

use crate::support::{Account, DAY, KEY, NOON, id};

const SESSIONS: &str = "/v1/billing_portal/sessions";

#[tokio::test]
async fn a_session_is_a_link_for_a_customer() {
    let account = Account::open().await;
    let customer = account.customer().await;
    let form = [
        ("customer", customer.as_str()),
        ("return_url", "https://acme.example/billing"),
    ];
    let session = account.post(SESSIONS, &form).await.ok();
    assert_eq!(session["customer"], customer.as_str());
    let url = session["url"].as_str().unwrap();
    assert!(url.starts_with("https://billing.stripe.com/p/session/"));
    assert_eq!(account.sim.ledger().portal_sessions, [session]);
    account
        .post(SESSIONS, &[])
        .await
        .refused(400, Some("parameter_missing"), Some("customer"));
    account
        .post(SESSIONS, &[("customer", "cus_nobody")])
        .await
        .refused(400, Some("resource_missing"), Some("customer"));
    account
        .post(SESSIONS, &[form[0], ("return_url", "home")])
        .await
        .refused(400, Some("url_invalid"), Some("return_url"));
}

#[tokio::test]
async fn the_new_routes_have_faults_and_keys_too() {
    let account = Account::open().await;
    let (clock, customer) = account.clock(NOON).await;
    let route = "POST /v1/test_helpers/test_clocks/{id}/advance";
    let path = format!("/v1/test_helpers/test_clocks/{clock}/advance");
    let to = (NOON + DAY).to_string();
    let form = [("frozen_time", to.as_str())];
    let after = FaultEffect::TimeoutAfter { hang_ms: 10 };
    account.sim.inject(Fault::once(route, after)).unwrap();
    let lost = account.try_post(&path, &form, Some("k")).await;
    lost.unwrap_err();
    let replayed = account.post_keyed(&path, &form, "k").await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.ok()["status"], "advancing");
    for (route, method, path) in [
        ("POST /v1/billing_portal/sessions", "POST", SESSIONS),
        ("GET /v1/invoices", "GET", "/v1/invoices"),
        ("GET /v1/events", "GET", "/v1/events"),
        ("GET /v2/core/events", "GET", "/v2/core/events"),
        ("GET /v1/webhook_endpoints", "GET", "/v1/webhook_endpoints"),
    ] {
        for status in [409, 429, 500] {
            let respond = FaultEffect::Respond(FaultResponse::status(status));
            account.sim.inject(Fault::once(route, respond)).unwrap();
            let answer = match method {
                "POST" => account.post(path, &[("customer", &customer)]).await,
                _ => account.get(path, &[]).await,
            };
            assert_eq!(answer.status, status, "{route}");
        }
    }
    let half = Fault::once("GET /v1/invoices", FaultEffect::CutBody);
    account.sim.inject(half).unwrap();
    let request = account.request(reqwest::Method::GET, "/v1/invoices");
    let cut = account.raw(request.bearer_auth(KEY)).await;
    cut.unwrap_err();
    assert!(account.sim.unspent_faults().is_empty());
}

#[tokio::test]
async fn a_restart_keeps_clocks_invoices_events_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config {
        state_file: Some(folder.path().join("stripe.json")),
        ..Config::default()
    };
    let account = Account::open_with(config()).await;
    account.sim.set_clock(NOON);
    let meter = account.meter("sum", &[]).await;
    let price = account.metered_price(&meter).await;
    let (clock, customer) = account.clock(NOON).await;
    account.event(&customer, "r-1", "3", NOON).await.ok();
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", price.as_str()),
        ("collection_method", "send_invoice"),
        ("days_until_due", "10"),
    ];
    let subscription = id(&account.post("/v1/subscriptions", &form).await.ok());
    account.advance(&clock, NOON + 31 * DAY).await;
    let settings = serde_json::json!({ "summary_lag_s": 7 });
    account
        .control(reqwest::Method::POST, "/_sim/settings", &settings)
        .await
        .ok();
    let before = account.sim.ledger();
    let events = account.get("/v1/events", &[]).await.ok();
    assert_eq!(before.invoices[0]["status"], "draft");
    account.sim.stop().await;

    let account = Account::open_with(config()).await;
    let after = account.sim.ledger();
    assert_eq!(after.invoices, before.invoices);
    assert_eq!(after.test_clocks, before.test_clocks);
    assert_eq!(account.get("/v1/events", &[]).await.ok(), events);
    let settings = account
        .control(
            reqwest::Method::GET,
            "/_sim/settings",
            &serde_json::Value::Null,
        )
        .await
        .ok();
    assert_eq!(settings["summary_lag_s"], 7);
    // What was due goes on being due.
    account.advance(&clock, NOON + 45 * DAY).await;
    assert_eq!(account.sim.ledger().invoices[0]["total"], 300);
    let path = format!("/v1/subscriptions/{subscription}");
    assert_eq!(account.get(&path, &[]).await.ok()["status"], "past_due");
    account.sim.advance_clock(Duration::from_secs(1));
}
