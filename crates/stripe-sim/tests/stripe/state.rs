//! The state file, the control plane, and simulators side by side.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Config, Simulator};

use crate::support::{Account, KEY, NOON, eventually};

#[tokio::test]
async fn a_restart_finds_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stripe.json");
    let config = || Config {
        state_file: Some(file.clone()),
        ..Config::default()
    };
    let account = Account::open_with(config()).await;
    account.sim.set_clock(NOON);
    let meter = account.meter("sum", &[]).await;
    let price = account.metered_price(&meter).await;
    let customer = account
        .post_keyed("/v1/customers", &[("email", "a@b.example")], "k")
        .await
        .ok();
    let who = customer["id"].as_str().unwrap();
    account.event(who, "r-1", "3", NOON).await.ok();
    let form = [
        ("customer", who),
        ("items[0][price]", &price),
        ("trial_period_days", "5"),
    ];
    let subscription = account.post("/v1/subscriptions", &form).await.ok();
    let before = account.sim.ledger();
    account.sim.stop().await;
    // Customers and their addresses are in it: it is its owner's alone.
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let account = Account::open_with(config()).await;
    let after = account.sim.ledger();
    assert_eq!(after.customers, before.customers);
    assert_eq!(after.prices, before.prices);
    assert_eq!(after.subscriptions, before.subscriptions);
    assert_eq!(after.meter_events, before.meter_events);
    assert!(
        (NOON..NOON + 3_600).contains(&account.sim.now()),
        "the clock's offset is kept"
    );
    // The rules go on where they were: keys, identifiers and what is due.
    let replay = account
        .post_keyed("/v1/customers", &[("email", "a@b.example")], "k")
        .await
        .ok();
    assert_eq!(replay, customer);
    account
        .event(who, "r-1", "3", NOON)
        .await
        .refused(400, None, Some("identifier"));
    account.sim.advance_clock(Duration::from_secs(6 * 86_400));
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());
    assert_eq!(account.get(&path, &[]).await.ok()["status"], "active");
}

#[tokio::test]
async fn ids_do_not_come_again_after_a_restart_with_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config {
        state_file: Some(folder.path().join("stripe.json")),
        seed: Some(3),
        ..Config::default()
    };
    let account = Account::open_with(config()).await;
    let first = account.customer().await;
    account.sim.stop().await;
    let account = Account::open_with(config()).await;
    assert_ne!(account.customer().await, first);
    assert_eq!(account.sim.ledger().customers.len(), 2);
}

#[tokio::test]
async fn a_change_is_on_disk_soon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stripe.json");
    let config = Config {
        state_file: Some(file.clone()),
        ..Config::default()
    };
    let account = Account::open_with(config).await;
    let customer = account.customer().await;
    eventually("the customer is on disk", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&customer))
    })
    .await;
}

#[tokio::test]
async fn a_file_of_something_else_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for (text, complaint) in [
        ("{}", "is not one of this simulator"),
        (r#"{"version":99}"#, "version 99"),
    ] {
        let file = folder.path().join("stripe.json");
        std::fs::write(&file, text).unwrap();
        let config = Config {
            state_file: Some(file.clone()),
            ..Config::default()
        };
        let error = Simulator::start(config).await.unwrap_err();
        assert!(error.to_string().contains(complaint), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[tokio::test]
async fn the_control_plane_tells_and_moves() {
    let account = Account::open().await;
    let get = async |path| account.control(Method::GET, path, &Value::Null).await;
    account.meter("sum", &[]).await;
    let customer = account.customer().await;
    account.event(&customer, "r-1", "2", NOON).await.ok();
    let ledger = get("/_sim/ledger").await.ok();
    assert_eq!(ledger["customers"][0]["id"], customer.as_str());
    let event = &ledger["meter_events"][0];
    assert_eq!(
        (&event["identifier"], &event["value"]),
        (&json!("r-1"), &json!("2"))
    );
    assert_eq!(
        (&event["timestamp"], &event["received_order"]),
        (&json!(NOON), &json!(0))
    );
    let count = &ledger["requests_by_route"]["POST /v1/billing/meter_events"];
    assert_eq!(
        (&count["calls"], &count["by_outcome"]["200"]),
        (&json!(1), &json!(1))
    );
    let brief = get("/_sim/ledger?omit=meter_events,recent_requests")
        .await
        .ok();
    assert_eq!(brief["meter_events"], json!([]));
    assert_eq!(brief["meter_event_count"], 1);

    let later = json!({ "seconds": 3_600 });
    let clock = account
        .control(Method::POST, "/_sim/clock/advance", &later)
        .await
        .ok();
    assert!(clock["now"].as_i64().unwrap() >= NOON + 3_600);
    let bad = account
        .control(Method::POST, "/_sim/clock/advance", &json!({ "hours": 1 }))
        .await;
    assert_eq!(bad.status, 400);
    account
        .control(Method::POST, "/_sim/reset", &Value::Null)
        .await
        .ok();
    let ledger = get("/_sim/ledger").await.ok();
    assert_eq!(
        (&ledger["customers"], &ledger["meter_event_count"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/_sim/nothing").await.status, 404);
}

#[tokio::test]
async fn simulators_do_not_share_anything() {
    let (one, two) = (Account::open().await, Account::open().await);
    one.customer().await;
    assert_eq!(one.sim.ledger().customers.len(), 1);
    assert!(two.sim.ledger().customers.is_empty());
    let addr = one.sim.addr();
    one.sim.stop().await;
    let config = Config {
        addr,
        ..Config::default()
    };
    let again = Account::open_with(config).await;
    let answer = again
        .raw(again.request(Method::GET, "/v1/customers").bearer_auth(KEY))
        .await;
    assert_eq!(answer.unwrap().body["data"], json!([]));
}
