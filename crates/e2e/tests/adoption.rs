//! Goal: on the day of the switch the older system's organizations, reports and accounts are there,
//! and nothing of the past is billed.
//! Method: an older database with rows, migrated; a whole system on it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::{
    STRIPE_KEY, System,
    actors::{Admin, Instance, TOKEN, http, new_organization, now, terms},
};
use billing_harness::{TestDatabase, eventually};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

/// As the older system made them: a token and a deployment type per organization, times without a
/// zone, nothing that keeps a report from being there twice.
const OLDER_TABLES: &str = "
    CREATE TABLE organizations (
        id uuid PRIMARY KEY, name text NOT NULL, instance_url text,
        billing_token text NOT NULL UNIQUE, deployment_type varchar(20) NOT NULL,
        stripe_customer_id text UNIQUE, stripe_subscription_id text UNIQUE,
        plan_type varchar(20), subscription_status varchar(20) DEFAULT 'pending',
        trial_end timestamp, admin_email text,
        created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
    CREATE TABLE usage_reports (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        organization_id uuid REFERENCES organizations (id),
        user_count integer NOT NULL, deployment_type varchar(20) NOT NULL,
        reported_at timestamp DEFAULT now(), stripe_meter_event_id text);";

async fn older_database(pending: Uuid, linked: Uuid) -> TestDatabase {
    let database = TestDatabase::empty();
    let db = database.connect().await;
    db.execute_unprepared(OLDER_TABLES).await.unwrap();
    let rows = format!(
        "INSERT INTO organizations (id, name, instance_url, billing_token, deployment_type,
            stripe_customer_id, stripe_subscription_id, plan_type, subscription_status) VALUES
            ('{pending}', 'Old Pending', 'old.example', 't1', 'on-premise', NULL, NULL, NULL, 'pending'),
            ('{linked}', 'Old Linked', 'older.example', 't2', 'managed-cloud', 'cus_old', 'sub_old',
                'self-hosted', 'trialing');
         INSERT INTO usage_reports (organization_id, user_count, deployment_type, reported_at,
            stripe_meter_event_id) VALUES
            ('{pending}', 11, 'on-premise', '2026-01-02 03:00:00', NULL),
            ('{pending}', 11, 'on-premise', '2026-01-02 03:00:00', NULL),
            ('{linked}', 7, 'managed-cloud', '2026-01-02 03:00:00', 'evt_old');"
    );
    db.execute_unprepared(&rows).await.unwrap();
    migrations::up(&db).await.unwrap();
    db.close().await.unwrap();
    database
}

async fn states(admin: &Admin, organization: Uuid) -> Vec<String> {
    let reports = admin.reports(organization).await.into_values();
    let state = |report: Value| report.get("delivery_state")?.as_str().map(str::to_owned);
    let mut states: Vec<_> = reports.filter_map(state).collect();
    states.sort();
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_goes_on_and_its_past_is_not_billed() {
    let (pending, linked) = (new_organization(), new_organization());
    let system = System::start_on(older_database(pending, linked).await).await;
    let admin = Admin::sign_in(&system).await;

    let row = admin
        .listed("pending", pending)
        .await
        .expect("it is pending");
    assert_eq!(row.get("name").and_then(Value::as_str), Some("Old Pending"));
    assert_eq!(states(&admin, pending).await, ["not_billed", "not_billed"]);
    assert_eq!(states(&admin, linked).await, ["sent"]);

    // The one that was linked before is shown as needing a person, and sends nothing.
    let row = admin.listed("linked", linked).await.expect("it is linked");
    assert_eq!(
        row.get("subscription_status").and_then(Value::as_str),
        Some("trial")
    );
    assert!(
        row.get("billing_problem").is_some_and(Value::is_string),
        "{row}"
    );
    let old = Instance::named(&system, linked, "Old Linked");
    let report = old.report(8, now()).await;
    assert_eq!(report.status, StatusCode::OK, "{:?}", report.json);
    admin
        .delivered(linked, report.text("/report_id"), &["waiting"])
        .await;
    assert_eq!(
        admin.link(linked, &terms()).await.status,
        StatusCode::CONFLICT
    );

    // The one that was pending is linked as any other; only what comes after is billed.
    let old = Instance::named(&system, pending, "Old Pending");
    old.report(12, now() - TimeDelta::hours(1)).await;
    let link = admin.link(pending, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    let report = old.report(13, now() + TimeDelta::seconds(1)).await;
    admin
        .delivered(pending, report.text("/report_id"), &["sent"])
        .await;
    let expected = ["not_billed", "not_billed", "not_billed", "sent"];
    eventually("the past is not billed", async || {
        (states(&admin, pending).await == expected).then_some(())
    })
    .await;
    assert_eq!(system.stripe.ledger().meter_events.len(), 1);
}

async fn stripe(system: &System, method: Method, path: &str, form: &[(&str, &str)]) -> Value {
    let url = format!("{}{path}", system.stripe.base_url());
    let request = http().request(method, url);
    let request = request.basic_auth(STRIPE_KEY, None::<&str>);
    let answer = request.form(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

/// Nothing but a new link ends the `billing_problem` of an organization that was linked before.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_linked_before_is_billed_after_a_new_link() {
    let (pending, linked) = (new_organization(), new_organization());
    let system = System::start_on(older_database(pending, linked).await).await;
    let admin = Admin::sign_in(&system).await;

    // Its customer and subscription, as the older system made them.
    let named = [("name", "Old Linked"), ("email", "billing@acme.example")];
    let customer = stripe(&system, Method::POST, "/v1/customers", &named).await;
    let customer = customer["id"].as_str().unwrap();
    let prices = stripe(&system, Method::GET, "/v1/prices", &[]).await;
    let form = [
        ("customer", customer),
        ("items[0][price]", prices["data"][0]["id"].as_str().unwrap()),
        ("collection_method", "send_invoice"),
        ("days_until_due", "30"),
    ];
    let subscription = stripe(&system, Method::POST, "/v1/subscriptions", &form).await;
    let subscription = subscription["id"].as_str().unwrap();
    let db = system.database().connect().await;
    let update = format!(
        "UPDATE organizations SET stripe_customer_id = '{customer}',
            stripe_subscription_id = '{subscription}' WHERE id = '{linked}'"
    );
    db.execute_unprepared(&update).await.unwrap();
    db.close().await.unwrap();
    let instance = Instance::named(&system, linked, "Old Linked");
    let report = async |at: DateTime<Utc>| {
        let mut body = instance.report_body(8, at);
        body["instance_url"] = json!("older.example");
        instance.post(Some(TOKEN), &body).await
    };
    let waiting = report(now()).await;
    let waiting = waiting.text("/report_id");
    admin.delivered(linked, waiting, &["waiting"]).await;

    // It ends in Stripe, is unlinked, and linked anew with the same customer.
    let path = format!("/v1/subscriptions/{subscription}");
    stripe(&system, Method::DELETE, &path, &[]).await;
    eventually("the organization is canceled", async || {
        let listed = admin.listed("linked", linked).await?;
        (listed["subscription_status"] == "canceled").then_some(())
    })
    .await;
    let unlink = format!("/api/admin/organizations/{linked}/unlink");
    eventually("it is unlinked", async || {
        let reason = json!({"reason": "It moves to the new meter."});
        let answer = admin.post(&unlink, &reason).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    let mut adopting = terms();
    adopting["adopt_customer_id"] = customer.into();
    let link = admin.link(linked, &adopting).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    let row = admin.listed("linked", linked).await.unwrap();
    assert_eq!(row["billing_problem"], Value::Null, "{row}");
    let billed = report(now() + TimeDelta::seconds(1)).await;
    admin
        .delivered(linked, billed.text("/report_id"), &["sent"])
        .await;
    admin.delivered(linked, waiting, &["not_billed"]).await;
    let sent = &system.stripe.ledger().meter_events;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].customer, customer);
}
