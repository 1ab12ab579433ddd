//! Goal: on the day of the switch the older system's organizations, reports and accounts are there,
//! and nothing of the past is billed.
//! Method: an older database with rows, migrated; a whole system on it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::{
    System,
    actors::{Admin, Instance, new_organization, now, terms},
};
use billing_harness::{TestDatabase, eventually};
use chrono::TimeDelta;
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::Value;
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
