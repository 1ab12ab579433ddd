//! `/api/admin/organizations`.

use billing_proto::{
    common::v1::{
        DeploymentType, LinkOperationKind, LinkOperationState, PlanType, SubscriptionStatus,
    },
    org::v1::LinkOperation,
};
use reqwest::{
    RequestBuilder, StatusCode,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ingest::report_id,
    org::{NO_ADMIN, REFUSED, SLOW, UNPRICED, time},
    world::{Answer, Away, SITE, World, report_of},
};

const LIST: &str = "/api/admin/organizations";
const ACME: Uuid = Uuid::from_u128(0xac);
const BETA: Uuid = Uuid::from_u128(0xbe);

async fn get(world: &World, cookie: &str, path: &str) -> Answer {
    Answer::of(world.get(path).header("cookie", cookie)).await
}

fn link(world: &World, cookie: &str, id: impl std::fmt::Display, body: &Value) -> RequestBuilder {
    world
        .post(&format!("{LIST}/{id}/link"))
        .header("cookie", cookie)
        .header("origin", SITE)
        .json(body)
}

fn terms() -> Value {
    json!({"admin_email": "billing@acme.com", "deployment_type": "on-premise",
        "plan_type": "managed-cloud", "trial_days": 4})
}

#[tokio::test]
async fn only_admins_come_in() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let paths = [
        LIST.to_owned(),
        format!("{LIST}/{ACME}"),
        format!("{LIST}/{ACME}/usage"),
    ];
    let user = world.sign_in(NO_ADMIN).await;
    for path in &paths {
        let answer = Answer::of(world.get(path)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.error().0, "unauthenticated");
        let answer = get(&world, &user, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.error().0, "permission_denied");
    }
    let answer = Answer::of(link(&world, &user, ACME, &terms())).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let admin = world.admin().await;
    assert_eq!(get(&world, &admin, LIST).await.status, StatusCode::OK);
    world.org.expire_sessions();
    let answer = get(&world, &admin, LIST).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn both_lists_have_the_specifications_fields() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.add(BETA, "Beta SARL");
    world.report(&report_of(ACME)).await;
    let admin = world.admin().await;
    Answer::of(link(&world, &admin, BETA, &terms())).await;
    let answer = get(&world, &admin, LIST).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({
            "summary": {"total": 2, "linked": 1, "pending": 1},
            "organizations": {
                "pending": [{
                    "id": ACME, "name": "Acme Corp", "instance_url": "acme.vaultai.eu",
                    "subscription_status": "pending", "created_at": "2024-11-01T10:00:00Z",
                    "user_count": 45, "last_report_at": "2024-11-03T03:00:00Z",
                }],
                "linked": [{
                    "id": BETA, "name": "Beta SARL", "instance_url": "acme.vaultai.eu",
                    "stripe_customer_id": "cus_NEW123", "stripe_subscription_id": "sub_NEW789",
                    "deployment_type": "on-premise", "plan_type": "managed-cloud",
                    "subscription_status": "trial", "admin_email": "billing@acme.com",
                    "created_at": "2024-11-01T10:00:00Z", "trial_end": "2027-01-19T08:00:00Z",
                    "user_count": null, "last_report_at": null,
                    "link_operation": {"id": Uuid::from_u128(99), "kind": "link", "state": "succeeded",
                        "created_at": "2027-01-15T08:00:00Z", "error": null},
                }],
            },
            "next_pending_cursor": null,
            "next_linked_cursor": null,
            "reporting_available": true,
            "ignored": 0, "counted_at": "2027-01-15T08:00:00Z",
            "collection_paused_count": 0,
        })
    );
}

#[tokio::test]
async fn filters_and_the_order_go_to_org_svc() {
    let world = World::new().await;
    for (id, name, plan) in [
        (ACME, "acme", PlanType::SelfHosted),
        (BETA, "Beta SARL", PlanType::ManagedCloud),
        (Uuid::from_u128(3), "Zeta", PlanType::SelfHosted),
    ] {
        world.org.add(id, name);
        world.org.change(id, |organization| {
            organization.stripe_customer_id = format!("cus_{name}");
            organization.plan_type = plan.into();
            organization.deployment_type = DeploymentType::OnPremise.into();
        });
    }
    let admin = world.admin().await;
    for (query, picked) in [
        ("plan=self-hosted&sort=name", vec!["acme", "Zeta"]),
        ("plan=self-hosted&sort=-name", vec!["Zeta", "acme"]),
        (
            "sort=-name&plan=self-hosted,managed-cloud",
            vec!["Zeta", "Beta SARL", "acme"],
        ),
        ("deployment=managed-cloud", vec![]),
    ] {
        let answer = get(&world, &admin, &format!("{LIST}?{query}")).await;
        let list = answer.json()["organizations"]["linked"].clone();
        let names: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["name"].clone())
            .collect();
        assert_eq!(names, picked, "{query}: {}", answer.text);
    }
    let answer = get(
        &world,
        &admin,
        &format!("{LIST}?sort=users&plan=gold&deployment=moon"),
    )
    .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let (_, fields) = answer.error();
    assert_eq!(fields, ["plan", "deployment", "sort"]);
}

#[tokio::test]
async fn what_an_instance_says_otherwise_and_what_is_wrong_is_shown() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.change(ACME, |organization| {
        organization.reported_name = "Acme Inc".to_owned();
        organization.reported_instance_url = "new.acme.eu".to_owned();
        organization.billing_problem = "It needs migration.".to_owned();
        organization.link_operation = Some(LinkOperation {
            id: Uuid::from_u128(1).to_string(),
            state: LinkOperationState::Refused.into(),
            kind: LinkOperationKind::Link.into(),
            create_time: Some(time(1_800_000_000)),
            error_code: "tax_id_invalid".to_owned(),
            error_message: "The tax id is not valid.".to_owned(),
            ..LinkOperation::default()
        });
    });
    let admin = world.admin().await;
    let answer = get(&world, &admin, &format!("{LIST}/{ACME}")).await;
    let organization = &answer.json()["organization"];
    assert_eq!(organization["reported_name"], "Acme Inc");
    assert_eq!(organization["reported_instance_url"], "new.acme.eu");
    assert_eq!(organization["billing_problem"], "It needs migration.");
    assert_eq!(
        organization["link_operation"]["error"],
        json!({"code": "tax_id_invalid", "message": "The tax id is not valid."})
    );
}

#[tokio::test]
async fn the_list_is_searched_filtered_and_paged() {
    let world = World::new().await;
    for n in 1..=5_u128 {
        world.org.add(Uuid::from_u128(n), &format!("Company {n}"));
    }
    let admin = world.admin().await;
    let names = |answer: &Answer| -> Vec<String> {
        let body = answer.json();
        let rows = body["organizations"]["pending"].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let answer = get(&world, &admin, &format!("{LIST}?q=Company%203")).await;
    assert_eq!(names(&answer), ["Company 3"]);
    let answer = get(&world, &admin, &format!("{LIST}?limit=2")).await;
    assert_eq!(names(&answer), ["Company 1", "Company 2"]);
    let cursor = answer.json()["next_pending_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let next = format!("{LIST}?limit=2&pending_cursor={cursor}");
    assert_eq!(
        names(&get(&world, &admin, &next).await),
        ["Company 3", "Company 4"]
    );
    world.org.change(Uuid::from_u128(2), |organization| {
        organization.subscription_status = SubscriptionStatus::Canceled.into();
    });
    let answer = get(&world, &admin, &format!("{LIST}?status=canceled,trial")).await;
    assert_eq!(names(&answer), ["Company 2"]);
    for (query, field) in [
        ("status=gold", "status"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("pending_cursor=nonsense", "pending_cursor"),
        ("linked_cursor=nonsense", "linked_cursor"),
    ] {
        let answer = get(&world, &admin, &format!("{LIST}?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let want = ("invalid_argument".to_owned(), vec![field.to_owned()]);
        assert_eq!(answer.error(), want);
    }
}

#[tokio::test]
async fn without_ingest_svc_the_counts_are_unknown_and_nothing_else() {
    let world = World::without(Away::Ingest).await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let answer = get(&world, &admin, LIST).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!(body["reporting_available"], false);
    assert_eq!(
        body["organizations"]["pending"][0]["user_count"],
        Value::Null
    );
    let usage = get(&world, &admin, &format!("{LIST}/{ACME}/usage")).await;
    assert_eq!(usage.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!usage.header("retry-after").is_empty());
}

#[tokio::test]
async fn without_org_svc_an_admin_is_asked_to_come_again() {
    let world = World::without(Away::Org).await;
    let cookie = "better-auth.session_token=62NI0pXvJpUBkuOT3KxWX56hUPyz4Las.43ZmDA0roxkUt05j4Hk2ptAEM%2BCu8DVX7TC%2BmZOob6U%3D";
    let answer = get(&world, cookie, LIST).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.error().0, "unavailable");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn an_organizations_reports_are_listed() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut second = report_of(ACME);
    second["timestamp"] = json!("2024-11-04T03:00:00.5Z");
    world.report(&report_of(ACME)).await;
    world.report(&second).await;
    let admin = world.admin().await;
    let usage = format!("{LIST}/{ACME}/usage");
    let answer = get(&world, &admin, &format!("{usage}?limit=1")).await;
    let id = report_id(&ACME.to_string(), 1_730_689_200);
    assert_eq!(
        answer.json(),
        json!({
            "organization_id": ACME,
            "reports": [{
                "id": id, "user_count": 45, "deployment_type": "unassigned",
                "reported_at": "2024-11-04T03:00:00.500Z",
                "received_at": "2024-11-04T03:00:01.250Z", "delivery_state": "waiting",
                "counts": true, "count_low": false, "baseline_user_count": null,
            "stripe_meter_event_id": null, "error": null,
            }],
            "next_cursor": "1",
        })
    );
    let last = get(&world, &admin, &format!("{usage}?limit=1&cursor=1"))
        .await
        .json();
    assert_eq!(last["reports"][0]["reported_at"], "2024-11-03T03:00:00Z");
    assert_eq!(last["next_cursor"], Value::Null);
    let bad = get(&world, &admin, &format!("{usage}?cursor=nonsense")).await;
    assert_eq!(bad.error().1, ["cursor"]);
}

#[tokio::test]
async fn an_organization_that_is_not_there_is_not_found() {
    let world = World::new().await;
    let admin = world.admin().await;
    for path in [format!("{LIST}/{ACME}"), format!("{LIST}/{ACME}/usage")] {
        let answer = get(&world, &admin, &path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.error().0, "organization_not_found");
    }
    let answer = get(&world, &admin, &format!("{LIST}/no-uuid")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error().1, ["organization_id"]);
    let answer = Answer::of(link(&world, &admin, ACME, &terms())).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = Answer::of(link(&world, &admin, "no-uuid", &terms())).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_link_is_answered_as_specified() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let answer = Answer::of(link(&world, &admin, ACME, &terms())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.text,
        format!(
            r#"{{"success":true,"message":"Organization linked to Stripe successfully","organization":{{"id":"{ACME}","name":"Acme Corp","stripe_customer_id":"cus_NEW123","stripe_subscription_id":"sub_NEW789","subscription_status":"trial","trial_end":"2027-01-19T08:00:00Z"}}}}"#
        )
    );
    let again = Answer::of(link(&world, &admin, ACME, &terms())).await;
    assert_eq!(again.text, answer.text);
}

#[tokio::test]
async fn a_link_that_fails_says_why() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.add(BETA, "Beta SARL");
    let admin = world.admin().await;
    Answer::of(link(&world, &admin, BETA, &terms())).await;
    let other = |email: &str| {
        let mut other = terms();
        other["admin_email"] = json!(email);
        other
    };
    for (id, email, status, code) in [
        (BETA, "x@acme.com", StatusCode::CONFLICT, "link_conflict"),
        (
            ACME,
            REFUSED,
            StatusCode::UNPROCESSABLE_ENTITY,
            "stripe_refused",
        ),
        (
            ACME,
            UNPRICED,
            StatusCode::UNPROCESSABLE_ENTITY,
            "price_not_found",
        ),
    ] {
        let answer = Answer::of(link(&world, &admin, id, &other(email))).await;
        assert_eq!(answer.status, status, "{email}");
        assert_eq!(answer.error().0, code);
    }
    let answer = Answer::of(link(&world, &admin, ACME, &other(REFUSED))).await;
    assert_eq!(answer.json()["error"]["message"], "No such tax region.");
    let answer = Answer::of(link(&world, &admin, ACME, &other(SLOW))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        answer.json(),
        json!({"success": true, "message": "The link goes on in the background", "operation": {
            "id": Uuid::from_u128(99), "kind": "link", "state": "running", "created_at": "2027-01-15T08:00:00Z",
            "error": null}})
    );
}

#[tokio::test]
async fn bad_terms_are_named_all_at_once_and_reach_nobody() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    for (field, value) in [
        ("admin_email", json!("nope")),
        ("admin_email", json!(7)),
        ("admin_email", Value::Null),
        ("deployment_type", json!("moon")),
        ("deployment_type", json!("On-Premise")),
        ("plan_type", json!("gold")),
        ("plan_type", json!([])),
        ("trial_days", json!(-1)),
        ("trial_days", json!(731)),
        ("trial_days", json!("4")),
        ("trial_days", json!(4.0)),
        ("trial_days", Value::Null),
        ("adopt_customer_id", json!("")),
        ("adopt_customer_id", json!("cus/1")),
        ("adopt_customer_id", json!(1)),
    ] {
        let mut body = terms();
        body[field] = value.clone();
        let answer = Answer::of(link(&world, &admin, ACME, &body)).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{field}: {value}"
        );
        let want = ("invalid_argument".to_owned(), vec![field.to_owned()]);
        assert_eq!(answer.error(), want);
    }
    let answer = Answer::of(link(&world, &admin, ACME, &json!({}))).await;
    assert_eq!(answer.error().1.len(), 4);
    let answer = Answer::of(link(&world, &admin, ACME, &json!([]))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error().0, "malformed_body");
    assert!(world.org.get(ACME).link_operation.is_none());
}

#[tokio::test]
async fn the_customer_to_adopt_is_passed_on_and_null_is_none() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    for (value, passed_on) in [(Value::Null, ""), (json!("cus_chosen"), "cus_chosen")] {
        let mut body = terms();
        body["adopt_customer_id"] = value;
        let answer = Answer::of(link(&world, &admin, ACME, &body)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let stored = world.org.get(ACME).link_operation.unwrap().terms.unwrap();
        assert_eq!(stored.adopt_customer_id, passed_on);
    }
}

#[tokio::test]
async fn a_link_that_another_site_sends_is_not_believed() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let path = format!("{LIST}/{ACME}/link");
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("referer", "https://evil.example/page"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "cors"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "text/plain"),
    ] {
        let request = world.post(&path).header("cookie", &admin).json(&terms());
        // `headers` replaces what is there; `header` would add a second one.
        let name = HeaderName::from_static(name);
        let replaced = HeaderMap::from_iter([(name.clone(), value.parse().unwrap())]);
        let answer = Answer::of(request.headers(replaced)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(answer.error().0, "origin_not_trusted");
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    let request = world.post(&path).json(&terms());
    assert_eq!(Answer::of(request).await.status, StatusCode::UNAUTHORIZED);
}

/// The specification's own line: `curl` with the session's cookie and JSON, and no `Origin`, which
/// only browsers send.
#[tokio::test]
async fn a_program_links_with_the_cookie_and_json_alone() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let request = world.post(&format!("{LIST}/{ACME}/link"));
    let answer = Answer::of(request.header("cookie", &admin).json(&terms())).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(world.org.get(ACME).link_operation.is_some());
}

#[tokio::test]
async fn what_has_ended_is_unlinked_with_a_reason() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let unlink = async |body: &Value| {
        let request = world.post(&format!("{LIST}/{ACME}/unlink"));
        let request = request.header("cookie", &admin).json(body);
        Answer::of(request.header("origin", SITE)).await
    };
    let reason = json!({"reason": "moved to another contract"});
    assert_eq!(
        Answer::of(link(&world, &admin, ACME, &terms()))
            .await
            .status,
        StatusCode::OK
    );
    let going_on = unlink(&reason).await;
    assert_eq!(going_on.status, StatusCode::CONFLICT);
    assert_eq!(going_on.error().0, "link_conflict");

    world.org.change(ACME, |organization| {
        organization.subscription_status = SubscriptionStatus::Canceled.into();
        organization.cancel_time = Some(time(1_800_000_000));
        organization.current_period_end_time = Some(time(1_800_000_000));
    });
    let ended = get(&world, &admin, &format!("{LIST}/{ACME}")).await.json();
    assert_eq!(ended["organization"]["cancel_at"], "2027-01-15T08:00:00Z");
    assert_eq!(
        ended["organization"]["current_period_end"],
        "2027-01-15T08:00:00Z"
    );
    for bad in [json!({}), json!({"reason": 7}), json!({"reason": " "})] {
        let answer = unlink(&bad).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        assert_eq!(answer.error().1, ["reason"]);
    }
    let from_elsewhere = world
        .post(&format!("{LIST}/{ACME}/unlink"))
        .header("cookie", &admin)
        .header("origin", "https://evil.example")
        .json(&reason);
    let answer = Answer::of(from_elsewhere).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    let answer = unlink(&reason).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(
        answer.json()["organization"]["subscription_status"],
        "pending"
    );
}
