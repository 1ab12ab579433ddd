//! What was compared with Stripe's meter, as JSON and as pages.

use billing_proto::common::v1::{Finding, FindingKind};
use prost_types::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    org::NO_ADMIN,
    world::{Answer, Away, SITE, World},
};

const PATH: &str = "/api/admin/reconciliation";
const ACME: Uuid = Uuid::from_u128(0xac);

async fn get(world: &World, cookie: &str, path: &str) -> Answer {
    Answer::of(world.get(path).header("cookie", cookie)).await
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// One open finding, and one that is resolved.
pub(crate) fn findings() -> Vec<Finding> {
    let finding = |day: i64, resolve_time| Finding {
        organization_id: ACME.to_string(),
        day_start_time: at(day * 86_400),
        expected_count: 45,
        found_value: "46.5".to_owned(),
        resend_count: 0,
        first_see_time: at(day * 86_400 + 100_000),
        last_see_time: at(day * 86_400 + 200_000),
        resolve_time,
        id: Uuid::from_u128(u128::try_from(day).unwrap()).to_string(),
        kind: FindingKind::Invoice.into(),
        period_start_time: at(day * 86_400),
        period_end_time: at((day + 30) * 86_400),
        stripe_invoice_id: "in_1".to_owned(),
        dismissal: None,
    };
    vec![finding(20_030, None), finding(20_029, at(20_031 * 86_400))]
}

#[tokio::test]
async fn findings_are_told_with_both_numbers_and_the_last_full_pass() {
    let world = World::new().await;
    world.ingest.find(findings());
    let admin = world.admin().await;
    let answer = get(&world, &admin, PATH).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.json(),
        json!({
            "last_full_pass_at": "2024-11-03T02:13:20Z",
            "skipped_count": 0,
            "pass_started_at": null,
            "open_finding_count": 1,
            "findings": [{
                "id": Uuid::from_u128(20_030), "organization_id": ACME, "kind": "invoice",
                "day": "2024-11-03", "period_start": "2024-11-03T00:00:00Z",
                "period_end": "2024-12-03T00:00:00Z", "stripe_invoice_id": "in_1",
                "expected": 45, "found": "46.5", "dismissal": null, "resend_count": 0, "first_seen_at": "2024-11-04T03:46:40Z",
                "last_seen_at": "2024-11-05T07:33:20Z", "resolved_at": null,
            }],
            "next_cursor": null,
        })
    );
    let all = get(&world, &admin, &format!("{PATH}?resolved=true&limit=1")).await;
    assert_eq!(all.json()["next_cursor"], "1");
    let last = get(&world, &admin, &format!("{PATH}?resolved=true&cursor=1")).await;
    assert_eq!(
        last.json()["findings"][0]["resolved_at"],
        "2024-11-04T00:00:00Z"
    );
    assert_eq!(last.json()["next_cursor"], Value::Null);
    for (query, field) in [
        ("cursor=nonsense", "cursor"),
        ("limit=0", "limit"),
        ("resolved=maybe", "resolved"),
    ] {
        let bad = get(&world, &admin, &format!("{PATH}?{query}")).await;
        assert_eq!(bad.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(bad.error().1, [field]);
    }
}

#[tokio::test]
async fn a_finding_is_dismissed_with_a_reason_and_listed_with_it() {
    let world = World::new().await;
    world.ingest.find(findings());
    let admin = world.admin().await;
    let dismiss = async |id: Uuid, body: Value| {
        let path = format!("{PATH}/findings/{id}/dismiss");
        let request = world.post(&path).header("cookie", &admin);
        Answer::of(request.header("origin", SITE).json(&body)).await
    };
    let id = Uuid::from_u128(20_030);
    let seen = dismiss(id, json!({"reason": "credited by hand"})).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    let dismissal = json!({"at": "2024-11-03T02:13:20Z", "by": "admin@example.com",
        "reason": "credited by hand"});
    assert_eq!(seen.json()["finding"]["dismissal"], dismissal);
    let open = get(&world, &admin, PATH).await;
    assert_eq!(open.json()["findings"], json!([]));
    let all = get(&world, &admin, &format!("{PATH}?resolved=true")).await;
    assert_eq!(all.json()["findings"][0]["dismissal"], dismissal);
    for (id, body, field) in [
        (id, json!({}), "reason"),
        (id, json!({"reason": 7}), "reason"),
        (Uuid::nil(), json!({"reason": "seen"}), "id"),
    ] {
        let bad = dismiss(id, body).await;
        assert_eq!(bad.status, StatusCode::BAD_REQUEST, "{}", bad.text);
        assert_eq!(bad.error().1, [field]);
    }
}

#[tokio::test]
async fn only_admins_see_them() {
    let world = World::new().await;
    let answer = Answer::of(world.get(PATH)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let user = world.sign_in(NO_ADMIN).await;
    let answer = get(&world, &user, PATH).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let page = Answer::of(world.get("/reconciliation")).await;
    assert_eq!(page.header("location"), "/sign-in?next=%2Freconciliation");
}

#[tokio::test]
async fn the_front_page_says_how_many_there_are_and_leads_to_them() {
    let world = World::new().await;
    let admin = world.admin().await;
    let none = get(&world, &admin, "/").await;
    let differs = "Days on which Stripe counts something else";
    assert!(!none.text.contains(differs), "{}", none.text);
    for told in ["Compared with Stripe", "2024-11-03 02:13 UTC"] {
        assert!(none.text.contains(told), "{told}: {}", none.text);
    }
    world.ingest.find(findings());
    let index = get(&world, &admin, "/").await;
    assert!(index.text.contains(differs), "{}", index.text);
    assert!(index.text.contains("href=\"/reconciliation\""));
    let page = get(&world, &admin, "/reconciliation").await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in ["2024-11-03", ">45<", ">46.5<"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(page.text.contains(&format!("/organizations/{ACME}")));
    assert!(!page.text.contains("2024-11-02"), "it is resolved");
}

#[tokio::test]
async fn without_ingest_svc_the_front_page_says_that_it_is_not_known() {
    let world = World::without(Away::Ingest).await;
    let admin = world.admin().await;
    let index = get(&world, &admin, "/").await;
    assert_eq!(index.status, StatusCode::OK);
    assert!(index.text.contains(">?</span>"), "{}", index.text);
    assert!(!index.text.contains("Nothing needs a look."));
    let page = get(&world, &admin, "/reconciliation").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
}
