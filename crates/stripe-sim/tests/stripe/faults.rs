//! Faults: whether the effect happened is exactly what each says, whatever the caller saw.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect, FaultResponse};

use crate::support::{Account, eventually};

const ROUTE: &str = "POST /v1/customers";
const PATH: &str = "/v1/customers";

#[tokio::test]
async fn connections_end_before_or_after_the_effect() {
    for (effect, effects) in [
        (FaultEffect::Refuse, 0),
        (FaultEffect::TimeoutBefore { hang_ms: 50 }, 0),
        (FaultEffect::TimeoutAfter { hang_ms: 50 }, 1),
        (FaultEffect::CutBody, 1),
    ] {
        let account = Account::open().await;
        account
            .sim
            .inject(Fault::once(ROUTE, effect.clone()))
            .unwrap();
        account
            .try_post(PATH, &[("name", "A")], Some("k"))
            .await
            .unwrap_err();
        assert!(account.sim.unspent_faults().is_empty());
        let ledger = account.sim.ledger();
        assert_eq!(ledger.customers.len(), effects, "{effect:?}");
        assert_eq!(ledger.requests_by_route[ROUTE].by_outcome["dropped"], 1);
        // The retry under the same key never makes a second one.
        let retried = account.post_keyed(PATH, &[("name", "A")], "k").await;
        assert_eq!(
            retried.header("idempotent-replayed").is_some(),
            effects == 1
        );
        retried.ok();
        assert_eq!(account.sim.ledger().customers.len(), 1);
    }
}

#[tokio::test]
async fn a_500_before_the_effect_passes_and_one_after_it_stays() {
    let account = Account::open().await;
    let before = FaultResponse::status(500);
    account
        .sim
        .inject(Fault::once(ROUTE, FaultEffect::Respond(before)))
        .unwrap();
    account
        .post_keyed(PATH, &[], "k")
        .await
        .refused(500, None, None);
    assert!(account.sim.ledger().customers.is_empty());
    account.post_keyed(PATH, &[], "k").await.ok();

    let after = FaultResponse {
        after_effect: true,
        ..FaultResponse::status(500)
    };
    account
        .sim
        .inject(Fault::once(ROUTE, FaultEffect::Respond(after.clone())))
        .unwrap();
    account
        .post_keyed(PATH, &[], "k-2")
        .await
        .refused(500, None, None);
    assert_eq!(account.sim.ledger().customers.len(), 2);
    // Stripe saves a 500 of what had begun: the key replays it.
    account
        .post_keyed(PATH, &[], "k-2")
        .await
        .refused(500, None, None);

    // One that only an edge gave leaves the true answer under the key.
    let edge = FaultResponse {
        saved: Some(false),
        ..after
    };
    account
        .sim
        .inject(Fault::once(ROUTE, FaultEffect::Respond(edge)))
        .unwrap();
    account
        .post_keyed(PATH, &[], "k-3")
        .await
        .refused(500, None, None);
    account.post_keyed(PATH, &[], "k-3").await.ok();
    assert_eq!(account.sim.ledger().customers.len(), 3);
}

#[tokio::test]
async fn a_slow_call_takes_effect_though_its_caller_left() {
    let account = Account::open().await;
    account
        .sim
        .inject(Fault::once(ROUTE, FaultEffect::DelayMs(300)))
        .unwrap();
    let call = account.post(PATH, &[]);
    tokio::time::timeout(Duration::from_millis(100), call)
        .await
        .unwrap_err();
    assert!(account.sim.ledger().customers.is_empty());
    eventually("the effect", || !account.sim.ledger().customers.is_empty()).await;
}

#[tokio::test]
async fn the_control_plane_queues_a_refusal_of_any_kind() {
    let account = Account::open().await;
    let error = json!({
        "type": "invalid_request_error",
        "code": "resource_missing",
        "message": "No such price",
        "param": "items[0][price]",
    });
    let fault = json!({
        "route": "POST /v1/subscriptions",
        "count": 1,
        "respond": { "status": 400, "error": error },
    });
    let queued = account
        .control(Method::POST, "/_sim/faults", &fault)
        .await
        .ok();
    assert_eq!(queued["faults"][0]["fired"], 0);
    let refused = account.post("/v1/subscriptions", &[]).await;
    let message = refused.refused(400, Some("resource_missing"), Some("items[0][price]"));
    assert_eq!(message, "No such price");
    let missing = account.post("/v1/subscriptions", &[]).await;
    missing.refused(400, Some("parameter_missing"), Some("items"));

    let limits = json!([{
        "route": "*",
        "count": 2,
        "respond": { "status": 429, "retry_after_s": 3, "headers": { "Stripe-Should-Retry": "true" } },
    }]);
    account
        .control(Method::POST, "/_sim/faults", &limits)
        .await
        .ok();
    for _ in 0..2 {
        let limited = account.get("/v1/customers", &[]).await;
        assert_eq!(limited.header("retry-after"), Some("3"));
        assert_eq!(limited.header("stripe-should-retry"), Some("true"));
        limited.refused(429, Some("rate_limit"), None);
    }
    account.get("/v1/customers", &[]).await.ok();

    for bad in [
        json!({ "route": "POST /v1/nowhere", "refuse": true }),
        json!({ "route": "*", "count": 1 }),
        json!({ "route": "*", "respond": { "status": 200 } }),
        json!({ "route": "*", "refuse": true, "probability": 2 }),
    ] {
        let answer = account.control(Method::POST, "/_sim/faults", &bad).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    account
        .control(
            Method::POST,
            "/_sim/faults",
            &json!({ "route": "*", "refuse": true }),
        )
        .await
        .ok();
    let cleared = account
        .control(Method::DELETE, "/_sim/faults", &Value::Null)
        .await
        .ok();
    assert_eq!(cleared["faults"], json!([]));
    account.get("/v1/customers", &[]).await.ok();
}

#[tokio::test]
async fn chance_is_repeatable_by_its_seed() {
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let config = stripe_sim::Config {
            seed: Some(7),
            ..stripe_sim::Config::default()
        };
        let account = Account::open_with(config).await;
        let half = Fault::always(ROUTE, FaultEffect::Respond(FaultResponse::status(503)));
        account.sim.inject(half.with_probability(0.5)).unwrap();
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(account.post(PATH, &[]).await.status);
        }
        assert!(statuses.contains(&200) && statuses.contains(&503));
        outcomes.push(statuses);
    }
    assert_eq!(outcomes[0], outcomes[1]);
}
