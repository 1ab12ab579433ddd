//! Idempotency keys: what is replayed, what is refused and what is forgotten.

use std::time::Duration;

use stripe_sim::{Fault, FaultEffect, FaultResponse};

use crate::support::{Account, NOON, id};

const PATH: &str = "/v1/customers";

#[tokio::test]
async fn the_same_request_replays_and_another_is_refused() {
    let account = Account::open().await;
    let first = account
        .post_keyed(PATH, &[("name", "A"), ("phone", "1")], "k")
        .await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = account
        .post_keyed(PATH, &[("phone", "1"), ("name", "A")], "k")
        .await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_eq!(first.body, again.body);
    let other = account.post_keyed(PATH, &[("name", "B")], "k").await;
    assert_eq!(other.body["error"]["type"], "idempotency_error");
    other.refused(400, None, None);
    let other = account
        .post_keyed("/v1/products", &[("name", "A"), ("phone", "1")], "k")
        .await;
    other.refused(400, None, None);
    let ledger = account.sim.ledger();
    assert_eq!(ledger.customers.len(), 1);
    assert_eq!(ledger.requests_by_route["POST /v1/customers"].replayed, 1);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let account = Account::open().await;
    let first = account.post_keyed(PATH, &[], "k").await.ok();
    account
        .sim
        .advance_clock(Duration::from_secs(24 * 3_600 - 60));
    assert_eq!(account.post_keyed(PATH, &[], "k").await.ok(), first);
    account.sim.advance_clock(Duration::from_secs(120));
    assert_ne!(
        id(&account.post_keyed(PATH, &[], "k").await.ok()),
        id(&first)
    );
}

#[tokio::test]
async fn validation_errors_and_limits_leave_the_key_free() {
    let account = Account::open().await;
    account
        .post_keyed(PATH, &[("email", "nobody")], "k")
        .await
        .refused(400, Some("email_invalid"), Some("email"));
    let limited = Fault::once(
        "POST /v1/customers",
        FaultEffect::Respond(FaultResponse::status(429)),
    );
    account.sim.inject(limited).unwrap();
    account
        .post_keyed(PATH, &[("name", "A")], "k")
        .await
        .refused(429, Some("rate_limit"), None);
    account.post_keyed(PATH, &[("name", "B")], "k").await.ok();
}

#[tokio::test]
async fn a_refusal_of_what_had_begun_is_replayed() {
    let account = Account::open().await;
    account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let form = [
        ("event_name", "other"),
        ("payload[stripe_customer_id]", customer.as_str()),
        ("payload[value]", "1"),
    ];
    let path = "/v1/billing/meter_events";
    account
        .post_keyed(path, &form, "k")
        .await
        .refused(400, Some("no_meter"), Some("event_name"));
    let more = [
        ("display_name", "x"),
        ("event_name", "other"),
        ("default_aggregation[formula]", "sum"),
    ];
    account.post("/v1/billing/meters", &more).await.ok();
    let replay = account.post_keyed(path, &form, "k").await;
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    replay.refused(400, Some("no_meter"), Some("event_name"));
    account.post_keyed(path, &form, "k-2").await.ok();
}

#[tokio::test]
async fn a_concurrent_request_with_the_same_key_is_turned_away() {
    let account = Account::open().await;
    account
        .sim
        .inject(Fault::once("POST /v1/customers", FaultEffect::DelayMs(400)))
        .unwrap();
    let second = async {
        account.until_struck().await;
        account.post_keyed(PATH, &[], "k").await
    };
    let (first, second) = tokio::join!(account.post_keyed(PATH, &[], "k"), second);
    second.refused(409, Some("idempotency_key_in_use"), None);
    let first = first.ok();
    assert_eq!(
        account.post_keyed(PATH, &[], "k").await.ok(),
        first,
        "a 409 is not saved"
    );
}

#[tokio::test]
async fn a_new_key_does_not_shield_from_a_taken_identifier() {
    let account = Account::open().await;
    account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let at = NOON.to_string();
    let form = [
        ("event_name", "seats"),
        ("identifier", "r-1"),
        ("timestamp", at.as_str()),
        ("payload[stripe_customer_id]", customer.as_str()),
        ("payload[value]", "1"),
    ];
    let path = "/v1/billing/meter_events";
    account.post_keyed(path, &form, "k-1").await.ok();
    account.post_keyed(path, &form, "k-1").await.ok();
    account
        .post_keyed(path, &form, "k-2")
        .await
        .refused(400, None, Some("identifier"));
}

#[tokio::test]
async fn a_key_has_a_length() {
    let account = Account::open().await;
    account.post_keyed(PATH, &[], &"k".repeat(255)).await.ok();
    account
        .post_keyed(PATH, &[], &"k".repeat(256))
        .await
        .refused(400, None, None);
}
