//! Stripe's door, and what admins see behind it.

use http::StatusCode;
use serde_json::json;

use crate::{
    org::NO_ADMIN,
    stripe::{DEAD_EVENT, SIGNATURE},
    world::{Answer, Away, SITE, World},
};

const DOOR: &str = "/api/webhooks/stripe";
const EVENTS: &str = "/api/admin/webhook-events";

#[tokio::test]
async fn an_event_passes_to_the_letter_and_is_answered_once_it_is_stored() {
    let world = World::new().await;
    // No JSON that anybody would write again the same.
    let body = "{ \"id\":\"evt_1\",\n\t\"type\" : \"x\", \"u\":\"\\u0000\" }  ";
    let request = world.post(DOOR).header("Stripe-Signature", SIGNATURE);
    let answer = Answer::of(request.body(body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(*world.stripe.received.lock().unwrap(), [body.as_bytes()]);

    let large = "x".repeat(512 * 1024);
    let request = world.post(DOOR).header("Stripe-Signature", SIGNATURE);
    assert_eq!(
        Answer::of(request.body(large.clone())).await.status,
        StatusCode::OK
    );
    let request = world.post(DOOR).header("Stripe-Signature", SIGNATURE);
    let answer = Answer::of(request.body(large + "x")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.error().0, "body_too_large");
    assert!(answer.text.contains("512 KiB"), "{}", answer.text);
}

#[tokio::test]
async fn what_stripe_did_not_sign_is_a_400_of_its_own() {
    let world = World::new().await;
    for request in [
        world.post(DOOR),
        world.post(DOOR).header("Stripe-Signature", "t=1,v1=ff"),
    ] {
        let answer = Answer::of(request.body("{}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.error().0, "signature_invalid");
    }
    assert!(world.stripe.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn while_stripe_svc_is_away_stripe_is_told_to_come_again() {
    let world = World::without(Away::Stripe).await;
    let request = world.post(DOOR).header("Stripe-Signature", SIGNATURE);
    let answer = Answer::of(request.body("{}")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error().0, "unavailable");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn admins_see_what_was_given_up_and_have_it_tried_again() {
    let world = World::new().await;
    assert_eq!(
        Answer::of(world.get(EVENTS)).await.status,
        StatusCode::UNAUTHORIZED
    );
    let cookie = world.sign_in(NO_ADMIN).await;
    let answer = Answer::of(world.get(EVENTS).header("cookie", &cookie)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    let cookie = world.admin().await;
    let get = |path: &str| Answer::of(world.get(path).header("cookie", &cookie));
    let answer = get(&format!("{EVENTS}?state=dead")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.json(),
        json!({
            "events": [{
                "event_id": DEAD_EVENT,
                "event_type": "customer.subscription.updated",
                "state": "dead",
                "attempt_count": 12,
                "received_at": "2027-01-15T08:00:00Z",
                "next_attempt_at": null,
                "ended_at": "2027-01-15T10:46:40Z",
                "error": {"code": "resource_missing", "message": "Stripe has no subscription sub_1."},
            }],
            "next_cursor": "more",
        })
    );
    assert_eq!(
        get(&format!("{EVENTS}?state=queued")).await.json()["events"],
        json!([])
    );
    let wrong = get(&format!("{EVENTS}?state=gone&limit=x")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.error().1, ["state", "limit"]);
    assert_eq!(
        get(&format!("{EVENTS}?cursor=x")).await.error().1,
        ["cursor"]
    );

    let retry = |id: &str, origin: &str| {
        let request = world.post(&format!("{EVENTS}/{id}/retry"));
        Answer::of(request.header("cookie", &cookie).header("origin", origin))
    };
    let answer = retry(DEAD_EVENT, SITE).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["event"]["state"], "queued");
    assert_eq!(retry("evt_none", SITE).await.error().1, ["event_id"]);
    let foreign = retry(DEAD_EVENT, "https://elsewhere.example").await;
    assert_eq!(foreign.error().0, "origin_not_trusted");

    let answer = get("/api/admin/meter-errors").await;
    let error = &answer.json()["errors"][0];
    assert_eq!(error["error"]["code"], "no_meter");
    assert_eq!(error["sample_identifiers"], json!(["report-1"]));
    assert_eq!(error["stripe_meter_id"], json!(null));
}
