//! Deliveries: signed, at least once, tried again, and as disorderly as a test wants.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use stripe_sim::{Config, WebhookConfig};

use crate::receiver::Receiver;
use crate::support::{Account, NOON, id};

const ENDPOINTS: &str = "/v1/webhook_endpoints";
const SECRET: &str = "whsec_of_the_test";

fn configured(url: &str) -> Config {
    Config {
        seed: Some(5),
        webhook: Some(WebhookConfig {
            url: url.to_owned(),
            secret: SecretString::from(SECRET),
        }),
        webhook_retry_speedup: 10_000,
        ..Config::default()
    }
}

async fn told() -> (Account, Receiver) {
    let receiver = Receiver::open().await;
    let account = Account::open_with(configured(&receiver.url)).await;
    account.sim.set_clock(NOON);
    (account, receiver)
}

async fn control(account: &Account, body: Value) {
    let path = "/_sim/webhooks";
    account.control(Method::POST, path, &body).await.ok();
}

async fn flush(account: &Account, body: Value) -> Value {
    let path = "/_sim/webhooks/flush";
    account.control(Method::POST, path, &body).await.ok()
}

async fn deliveries(account: &Account) -> Vec<Value> {
    let path = "/_sim/webhooks";
    let shown = account.control(Method::GET, path, &Value::Null).await.ok();
    shown["deliveries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_delivery_is_signed_and_carries_the_event() {
    let receiver = Receiver::open().await;
    let account = Account::open().await;
    let form = [
        ("url", receiver.url.as_str()),
        ("enabled_events[]", "customer.created"),
        ("enabled_events[]", "Invoice paid"),
        ("api_version", "2024-06-20"),
    ];
    let refused = account.post(ENDPOINTS, &form).await;
    refused.refused(400, None, Some("enabled_events"));
    let form = [form[0], form[1], form[3]];
    let endpoint = account.post(ENDPOINTS, &form).await.ok();
    let secret = endpoint["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let customer = account.customer().await;
    let path = format!("/v1/customers/{customer}");
    account.post(&path, &[("name", "New")]).await.ok();
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.kinds(), ["customer.created"]);
    let letter = &receiver.letters()[0];
    let signed_at = letter.signed_at(secret).expect("a good signature");
    let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(real.as_secs()).unwrap();
    assert!((now - 5..=now).contains(&signed_at), "the real time");
    assert_eq!(letter.signed_at("whsec_other"), None);
    let event = letter.value();
    assert_eq!(event["data"]["object"]["id"], customer.as_str());
    assert_eq!(event["api_version"], "2024-06-20");
    assert_eq!(event["pending_webhooks"], 1);
    let shown = account
        .get(&format!("/v1/events/{}", id(&event)), &[])
        .await
        .ok();
    assert_eq!(shown["pending_webhooks"], 0);
    assert_eq!(shown["api_version"], "2026-09-30.endive");

    control(&account, json!({ "signature_skew_s": -1_000 })).await;
    account.customer().await;
    account.sim.flush_webhooks().await;
    let late = receiver.letters()[1].signed_at(secret).unwrap();
    assert!(late <= now - 990);
}

#[tokio::test]
async fn what_is_not_answered_with_2xx_comes_again() {
    let (account, receiver) = told().await;
    receiver.answer_with(&[500, 302, 404]);
    account.customer().await;
    receiver.wait_for(4).await;
    account.sim.flush_webhooks().await;
    let letters = receiver.letters();
    let ids: Vec<String> = letters.iter().map(|it| id(&it.value())).collect();
    assert!(ids.iter().all(|it| *it == ids[0]) && ids.len() == 4);
    let delivery = &deliveries(&account).await[0];
    assert_eq!(
        (
            &delivery["state"],
            &delivery["attempts"],
            &delivery["last_status"]
        ),
        (&json!("delivered"), &json!(4), &json!(200))
    );
    // Waits grow, and the clock moves them: without speed the first is five minutes.
    control(&account, json!({ "retry_speedup": 1 })).await;
    receiver.answer_with(&[500]);
    account.customer().await;
    let flushed = flush(&account, json!({})).await;
    assert_eq!(flushed, json!({ "flushed": true, "waiting": 1 }));
    account.sim.advance_clock(Duration::from_secs(290));
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 5);
    account.sim.advance_clock(Duration::from_secs(20));
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 6);
    // A clock that is set back strands nothing, and `all` waits for no wait.
    receiver.answer_with(&[500, 500]);
    account.customer().await;
    account.sim.flush_webhooks().await;
    account.sim.set_clock(NOON - 86_400);
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 8);
    let flushed = flush(&account, json!({ "all": true })).await;
    assert_eq!(flushed["waiting"], 0);
    assert_eq!(receiver.letters().len(), 9);
}

#[tokio::test]
async fn it_gives_up_in_the_end() {
    let (account, receiver) = told().await;
    control(&account, json!({ "retry_speedup": 1_000_000_000 })).await;
    receiver.answer_with(&[500; 20]);
    account.customer().await;
    receiver.wait_for(10).await;
    account.sim.flush_webhooks().await;
    assert_eq!(deliveries(&account).await[0]["state"], "failed");
    assert_eq!(receiver.letters().len(), 10);
}

#[tokio::test]
async fn deliveries_are_doubled_dropped_delayed_and_shuffled_on_demand() {
    let (account, receiver) = told().await;
    for _ in 0..5 {
        account.customer().await;
    }
    account.sim.flush_webhooks().await;
    let in_order = |receiver: &Receiver| {
        let letters = receiver.letters();
        let ids: Vec<String> = letters
            .iter()
            .map(|it| id(&it.value()["data"]["object"]))
            .collect();
        ids
    };
    let customers = |account: &Account| {
        let customers = account.sim.ledger().customers;
        customers.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(in_order(&receiver), customers(&account));

    control(&account, json!({ "duplicate": 1.0 })).await;
    account.customer().await;
    account.sim.flush_webhooks().await;
    let letters = receiver.letters();
    assert_eq!(letters.len(), 7);
    assert_eq!(letters[5].body.len(), letters[6].body.len());
    assert_eq!(id(&letters[5].value()), id(&letters[6].value()));

    control(&account, json!({ "duplicate": 0.0, "drop": 1.0 })).await;
    account.customer().await;
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 7);
    assert_eq!(deliveries(&account).await[7]["state"], "dropped");

    control(
        &account,
        json!({ "drop": 0.0, "delay_ms": [60_000, 60_000] }),
    )
    .await;
    account.customer().await;
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 7);
    account.sim.advance_clock(Duration::from_secs(61));
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 8);

    control(&account, json!({ "delay_ms": [0, 0], "shuffle": true })).await;
    for _ in 0..20 {
        account.customer().await;
    }
    receiver.wait_for(28).await;
    let (got, sent) = (in_order(&receiver), customers(&account));
    let (mut got, mut sent) = (got[8..].to_vec(), sent[8..].to_vec());
    assert_ne!(got, sent);
    got.sort();
    sent.sort();
    assert_eq!(got, sent);
    let bad = json!({ "duplicate": 3 });
    let answer = account.control(Method::POST, "/_sim/webhooks", &bad).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_restart_delivers_what_was_left() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/hooks", free.local_addr().unwrap());
    drop(free);
    let config = |url: &str| Config {
        state_file: Some(folder.path().join("stripe.json")),
        webhook_retry_speedup: 1,
        ..configured(url)
    };
    let account = Account::open_with(config(&nowhere)).await;
    account.sim.set_clock(NOON);
    let customer = account.customer().await;
    account.sim.flush_webhooks().await;
    let left = &deliveries(&account).await[0];
    assert_eq!(
        (&left["state"], &left["attempts"]),
        (&json!("waiting"), &json!(1))
    );
    assert!(left["last_error"].is_string());
    account.sim.stop().await;

    let receiver = Receiver::open().await;
    let account = Account::open_with(config(&receiver.url)).await;
    receiver.wait_for(1).await;
    let event = receiver.letters()[0].value();
    assert_eq!(event["data"]["object"]["id"], customer.as_str());
    assert_eq!(
        account.get("/v1/events", &[]).await.ok()["data"][0]["id"],
        event["id"]
    );
}

#[tokio::test]
async fn thin_events_go_to_who_names_them_and_to_the_configured_one() {
    let (account, receiver) = told().await;
    let everything = Receiver::open().await;
    let naming = Receiver::open().await;
    let kind = "v1.billing.meter.no_meter_found";
    for (url, events) in [(&everything.url, "*"), (&naming.url, kind)] {
        let form = [("url", url.as_str()), ("enabled_events[]", events)];
        account.post(ENDPOINTS, &form).await.ok();
    }
    let settings = json!({ "meter_errors": "reported" });
    let path = "/_sim/settings";
    account.control(Method::POST, path, &settings).await.ok();
    account.event("cus_nobody", "r-1", "1", NOON).await.ok();
    account.sim.advance_clock(Duration::from_secs(11));
    account.sim.flush_webhooks().await;
    assert_eq!(naming.kinds(), [kind]);
    assert_eq!(receiver.kinds(), [kind]);
    assert!(everything.kinds().is_empty());
    let letter = &receiver.letters()[0];
    assert!(letter.signed_at(SECRET).is_some());
    let notice = letter.value();
    assert_eq!(notice["object"], "v2.core.event");
    assert!(notice.get("data").is_none(), "its data is fetched");
    let path = format!("/v2/core/events/{}", id(&notice));
    let whole = account.get(&path, &[]).await.ok();
    assert_eq!(whole["data"]["reason"]["error_count"], 1);
}

#[tokio::test]
async fn endpoints_are_kept_changed_and_deleted() {
    let receiver = Receiver::open().await;
    let account = Account::open().await;
    let form = [("url", receiver.url.as_str()), ("enabled_events[]", "*")];
    let endpoint = account.post(ENDPOINTS, &form).await.ok();
    let path = format!("{ENDPOINTS}/{}", id(&endpoint));
    let shown = account.get(&path, &[]).await.ok();
    assert!(shown.get("secret").is_none(), "shown only once");
    let off = account.post(&path, &[("disabled", "true")]).await.ok();
    assert_eq!(off["status"], "disabled");
    account.customer().await;
    account.post(&path, &[("disabled", "false")]).await.ok();
    account.customer().await;
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 1);
    let listed = account.get(ENDPOINTS, &[]).await.ok();
    assert_eq!(listed["data"][0]["id"], endpoint["id"]);
    assert_eq!(account.delete(&path, &[]).await.ok()["deleted"], true);
    account.customer().await;
    account.sim.flush_webhooks().await;
    assert_eq!(receiver.letters().len(), 1);
    for (form, param) in [
        (&[("enabled_events[]", "*")][..], "url"),
        (
            &[("url", "https://x.example"), ("enabled_events[]", "*")][..],
            "url",
        ),
        (&[("url", "http://x.example")][..], "enabled_events"),
        (
            &[
                ("url", "http://x.example"),
                ("enabled_events[]", "all of them"),
            ][..],
            "enabled_events",
        ),
    ] {
        let refused = account.post(ENDPOINTS, form).await;
        assert_eq!(refused.body["error"]["param"], param, "{form:?}");
    }
}
