//! Goal: the product's four steps, as the specification tells them, hold over the public doors.
//! Method: a whole system; an instance and an admin over HTTP; Stripe's own books at the end.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use billing_e2e::actors::{Admin, Instance, http, new_organization, now, terms};
use billing_e2e::{STRIPE_KEY, System, actors};
use billing_harness::eventually;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};

const DAY_S: i64 = 86_400;

fn has_keys(value: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| value.get(key).is_some())
}

async fn stripe_get(system: &System, path: &str) -> Value {
    let url = format!("{}/{path}", system.stripe.base_url().trim_end_matches('/'));
    let answer = http()
        .get(url)
        .basic_auth(STRIPE_KEY, None::<&str>)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_reports_an_admin_links_it_and_stripe_counts_its_users() {
    let system = System::start().await;
    let instance = Instance::of(&system);
    let first_report = the_instance_reports(&instance).await;
    let admin = Admin::sign_in(&system).await;
    the_admin_sees_it(&admin, &instance).await;
    let customer = the_admin_links_it(&system, &admin, &instance).await;
    the_next_report_is_billed(&system, &admin, &instance, &customer, &first_report).await;
}

async fn the_instance_reports(instance: &Instance) -> String {
    let an_hour_ago = now() - TimeDelta::hours(1);
    let first = instance.report(45, an_hour_ago).await;
    assert_eq!(first.status, StatusCode::OK, "{:?}", first.json);
    assert_eq!(first.json["success"], true);
    assert_eq!(first.json["message"], "Usage report received");
    assert_eq!(first.json["organization_status"], "pending");
    let again = instance.report(45, an_hour_ago).await;
    assert_eq!(again.text("/report_id"), first.text("/report_id"));
    first.text("/report_id").to_owned()
}

async fn the_admin_sees_it(admin: &Admin, instance: &Instance) {
    let row = admin
        .listed("pending", instance.organization)
        .await
        .unwrap();
    assert!(has_keys(
        &row,
        &[
            "id",
            "name",
            "instance_url",
            "subscription_status",
            "created_at"
        ]
    ));
    assert_eq!(row["name"], "Acme Corp");
    assert_eq!(row["user_count"], 45);
    let list = admin.get("/api/admin/organizations").await.json;
    assert_eq!(
        list["summary"],
        json!({ "total": 1, "linked": 0, "pending": 1 })
    );
}

async fn the_admin_links_it(system: &System, admin: &Admin, instance: &Instance) -> String {
    let organization = instance.organization;
    let unknown = admin.link(new_organization(), &terms()).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let link = admin.link(organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    assert_eq!(
        link.json["message"],
        "Organization linked to Stripe successfully"
    );
    assert_eq!(link.text("/organization/subscription_status"), "trial");
    let trial_end: DateTime<Utc> = link.text("/organization/trial_end").parse().unwrap();
    let trial = trial_end - now();
    assert!(
        trial > TimeDelta::hours(95) && trial < TimeDelta::hours(97),
        "{trial}"
    );

    let same = admin.link(organization, &terms()).await;
    assert_eq!(
        same.status,
        StatusCode::OK,
        "the same terms again are the same link"
    );
    assert_eq!(same.json["organization"], link.json["organization"]);
    let mut other = terms();
    other["trial_days"] = json!(9);
    assert_eq!(
        admin.link(organization, &other).await.status,
        StatusCode::CONFLICT
    );

    let row = admin.listed("linked", organization).await.unwrap();
    assert_eq!(row["plan_type"], "managed-cloud");
    assert_eq!(row["deployment_type"], "on-premise");
    let customer = link.text("/organization/stripe_customer_id").to_owned();
    let in_stripe = stripe_get(system, &format!("v1/customers/{customer}")).await;
    assert_eq!(in_stripe["email"], "billing@acme.example");
    assert_eq!(
        in_stripe["metadata"]["organization_id"],
        organization.to_string()
    );
    let subscription = link.text("/organization/stripe_subscription_id");
    let in_stripe = stripe_get(system, &format!("v1/subscriptions/{subscription}")).await;
    assert_eq!(in_stripe["status"], "trialing");
    assert_eq!(in_stripe["customer"], customer);
    customer
}

async fn the_next_report_is_billed(
    system: &System,
    admin: &Admin,
    instance: &Instance,
    customer: &str,
    first_report: &str,
) {
    let organization = instance.organization;
    let after = now() + TimeDelta::seconds(1);
    let second = instance.report(52, after).await;
    assert_eq!(
        second.text("/organization_status"),
        "trial",
        "{:?}",
        second.json
    );
    let sent = admin
        .delivered(organization, second.text("/report_id"), &["sent"])
        .await;
    assert!(sent["stripe_meter_event_id"].is_string());
    let kept = admin
        .delivered(organization, first_report, &["not_billed"])
        .await;
    assert_eq!(kept["stripe_meter_event_id"], Value::Null);

    let meters = stripe_get(system, "v1/billing/meters?limit=1").await;
    let meter = meters["data"][0]["id"].as_str().unwrap().to_owned();
    let start = after.timestamp() - after.timestamp().rem_euclid(DAY_S);
    let end = start + DAY_S;
    let path = format!(
        "v1/billing/meters/{meter}/event_summaries?customer={customer}&start_time={start}&end_time={end}"
    );
    eventually("Stripe's own summary is 52 users", async || {
        let summary = stripe_get(system, &path).await;
        (summary["data"][0]["aggregated_value"].as_f64() == Some(52.0)).then_some(())
    })
    .await;
}

/// The later report said what was known already, so nothing but its time tells that it came: a report
/// from before it, which arrives after it, says nothing of today.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_overtaken_does_not_rename_who_is_pending() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let mut instance = Instance::of(&system);
    let (name, id) = (instance.name.clone(), instance.organization);
    let minutes_ago = |minutes| now() - TimeDelta::minutes(minutes);
    for (minutes, says, known) in [
        (50, &name, &name),
        (10, &name, &name),
        (30, &"Formerly".to_owned(), &name),
        (5, &"Since".to_owned(), &"Since".to_owned()),
    ] {
        instance.name.clone_from(says);
        let answer = instance.report(5, minutes_ago(minutes)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        let listed = admin.listed("pending", id).await.unwrap();
        assert_eq!(
            listed["name"], **known,
            "after the one of {minutes} minutes ago"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_every_field_named_and_nothing_is_stored() {
    let system = System::start().await;
    let instance = Instance::of(&system);
    let good = instance.report_body(45, now());
    for token in [None, Some("nope")] {
        assert_eq!(
            instance.post(token, &good).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let ahead = (now() + TimeDelta::hours(2)).to_rfc3339();
    let cases = [
        ("organization_id", json!("abc-123-def-456")),
        ("organization_id", Value::Null),
        ("organization_name", json!(" ")),
        ("organization_name", json!("x".repeat(201))),
        ("organization_name", json!("a\u{7}b")),
        ("instance_url", json!(7)),
        ("user_count", json!(-1)),
        ("user_count", json!("many")),
        ("user_count", json!(10_000_001)),
        ("user_count", json!(4.5)),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!(ahead)),
    ];
    for (field, value) in cases {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = instance.post(Some(actors::TOKEN), &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field} = {value}");
        assert_eq!(
            answer.text("/error/fields/0/field"),
            field,
            "{:?}",
            answer.json
        );
    }
    // Wrong types and wrong values at once: each is named.
    let all = json!({ "organization_id": 1, "organization_name": "", "instance_url": "",
        "user_count": -1, "timestamp": "x" });
    let answer = instance.post(Some(actors::TOKEN), &all).await;
    let named = answer.json["error"]["fields"].as_array().map(Vec::len);
    assert_eq!(named, Some(5), "{:?}", answer.json);
    let mut large = good.clone();
    large["organization_name"] = json!("x".repeat(17 * 1024));
    let answer = instance.post(Some(actors::TOKEN), &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);

    let admin = Admin::sign_in(&system).await;
    assert_eq!(
        admin.get("/api/admin/organizations").await.json["summary"]["total"],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_and_bad_terms_are_told_apart_and_stripe_is_never_asked() {
    let system = System::start().await;
    let instance = Instance::of(&system);
    let admin = Admin::sign_in(&system).await;
    let at = now();
    assert_eq!(instance.report(45, at).await.status, StatusCode::OK);
    let conflict = instance.report(46, at).await;
    assert_eq!(conflict.status, StatusCode::CONFLICT, "{:?}", conflict.json);
    assert_eq!(conflict.text("/error/code"), "report_conflict");
    for (field, value) in [
        ("plan_type", json!("gold")),
        ("deployment_type", json!("moon")),
        ("admin_email", json!("nope")),
        ("trial_days", json!(-1)),
        ("trial_days", json!(731)),
    ] {
        let mut bad = terms();
        bad[field] = value.clone();
        let answer = admin.link(instance.organization, &bad).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{field} = {value}"
        );
        assert_eq!(
            answer.text("/error/fields/0/field"),
            field,
            "{:?}",
            answer.json
        );
    }
    assert!(
        system.stripe.ledger().customers.is_empty(),
        "Stripe was never asked"
    );
}
