//! An empty database: up, down, up, by one and by two at once; and who may touch what.
use std::collections::BTreeMap;

use crate::support::{Db, connect};
use migrations::MigrationStatus;

const SCHEMA: &str = "
    SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name <> 'seaql_migrations' ORDER BY table_name, column_name";
const ORGANIZATION: &str = "0b9ad4a2-54b2-4be7-9a36-d1c6d1b6a001";

#[tokio::test]
async fn up_down_and_up_again() {
    let db = Db::empty().await;
    let applied = db.up().await;
    assert_eq!(applied.first().map(String::as_str), Some("0001_roles"));
    let schema = db.rows(SCHEMA).await;
    assert!(db.up().await.is_empty(), "a second up is a no-op");
    let status = migrations::status(&db.connection).await.unwrap();
    assert!(status.iter().all(|(_, s)| *s == MigrationStatus::Applied));

    let taken_back = migrations::down(&db.connection, None).await.unwrap();
    assert!(taken_back.iter().eq(applied.iter().rev()));
    assert!(db.rows(SCHEMA).await.is_empty());
    let status = migrations::status(&db.connection).await.unwrap();
    assert!(status.iter().all(|(_, s)| *s == MigrationStatus::Pending));

    assert_eq!(db.up().await, applied);
    assert_eq!(db.rows(SCHEMA).await, schema);
}

#[tokio::test]
async fn down_goes_as_many_steps_as_it_is_told() {
    let db = Db::migrated().await;
    let taken_back = migrations::down(&db.connection, Some(1)).await.unwrap();
    assert_eq!(taken_back.len(), 1);
    assert_eq!(db.up().await, taken_back);
}

#[tokio::test]
async fn two_that_start_together_apply_everything_once() {
    let db = Db::empty().await;
    let other = connect(db.url()).await;
    let (one, two) = futures::join!(migrations::up(&db.connection), migrations::up(&other));
    let mut counts = [one.unwrap().len(), two.unwrap().len()];
    counts.sort_unstable();
    let all = migrations::status(&db.connection).await.unwrap().len();
    assert_eq!(counts, [0, all]);
}

/// Every table has one service that reads and writes it.
#[tokio::test]
async fn each_table_is_one_rooms() {
    let db = Db::migrated().await;
    let granted = db
        .rows(
            "SELECT c.relname AS tab, string_agg(role, ',') AS roles FROM pg_class c
             CROSS JOIN unnest(ARRAY['billing_ingest', 'billing_org', 'billing_stripe']) AS role
             WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
               AND has_table_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
             GROUP BY 1 ORDER BY 1",
        )
        .await;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let rooms: BTreeMap<String, String> = granted
        .iter()
        .map(|row| (text(&row["tab"]), text(&row["roles"])))
        .collect();
    for (table, roles) in &rooms {
        assert!(!roles.contains(','), "{table} is open to {roles}");
    }
    for (table, role) in [
        ("organizations", "billing_org"),
        ("link_operations", "billing_org"),
        ("audit_events", "billing_org"),
        ("admins", "billing_org"),
        ("notices", "billing_org"),
        ("user", "billing_org"),
        ("sign_in_budgets", "billing_org"),
        ("sign_in_failures", "billing_org"),
        ("session", "billing_org"),
        ("usage_reports", "billing_ingest"),
        ("notices_to_tell", "billing_ingest"),
        ("audit_events_to_tell", "billing_ingest"),
        ("usage_report_spool", "billing_ingest"),
        ("signing_keys", "billing_ingest"),
        ("organization_reporting", "billing_ingest"),
        ("reconciliation_findings", "billing_ingest"),
        ("reconciliation_pass", "billing_ingest"),
        ("billing_findings", "billing_ingest"),
        ("stripe_calls", "billing_stripe"),
        ("stripe_meter_events", "billing_stripe"),
    ] {
        assert_eq!(rooms.get(table).map(String::as_str), Some(role), "{table}");
    }
    assert!(!rooms.contains_key("seaql_migrations"));
    let tables = "pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'seaql_migrations'";
    assert_eq!(db.count(tables).await, u64::try_from(rooms.len()).unwrap());

    db.denied_to("billing_ingest", "SELECT FROM organizations");
    db.denied_to(
        "billing_ingest",
        "INSERT INTO stripe_calls (id) VALUES (NULL)",
    );
    db.denied_to("billing_org", "UPDATE usage_reports SET user_count = 1");
    db.denied_to("billing_org", "DELETE FROM stripe_meter_events");
    db.denied_to("billing_stripe", "SELECT FROM organizations");
    db.denied_to("billing_stripe", "SELECT FROM \"session\"");
    db.denied_to("billing_org", "CREATE TABLE mine (x int)");
}

#[tokio::test]
async fn services_write_their_rows() {
    let db = Db::migrated().await;
    insert_as_services_do(&db, ORGANIZATION);
    assert_eq!(db.count("organizations").await, 1);
    assert_eq!(db.count("usage_reports").await, 1);

    let again = "INSERT INTO usage_reports (organization_id, organization_name, instance_url, user_count, deployment_type, reported_at, received_at, delivery_state)
        SELECT organization_id, organization_name, instance_url, 46, deployment_type, reported_at, received_at, delivery_state FROM usage_reports";
    let error = db.try_as("billing_ingest", again).unwrap_err();
    assert!(
        error.contains("usage_reports_organization_time_key"),
        "{error}"
    );
}

#[tokio::test]
async fn the_audit_trail_only_grows() {
    let db = Db::migrated().await;
    let insert = "INSERT INTO audit_events (id, occurred_at, action) VALUES (gen_random_uuid(), now(), 'link')";
    db.try_as("billing_org", insert).unwrap();
    db.denied_to("billing_org", "UPDATE audit_events SET action = 'nothing'");
    db.denied_to("billing_org", "DELETE FROM audit_events");
    db.denied_to("billing_org", "TRUNCATE audit_events");
    assert_eq!(db.count("audit_events").await, 1);
}

#[tokio::test]
async fn a_row_that_breaks_the_domains_rules_is_refused() {
    let db = Db::migrated().await;
    insert_as_services_do(&db, ORGANIZATION);
    for (role, sql, constraint) in [
        (
            "billing_org",
            "UPDATE organizations SET name = ''",
            "organizations_name_check",
        ),
        (
            "billing_org",
            "UPDATE organizations SET plan_type = 'gold'",
            "organizations_plan_type_check",
        ),
        (
            "billing_org",
            "UPDATE organizations SET subscription_status = 'active'",
            "organizations_pending_check",
        ),
        (
            "billing_org",
            "UPDATE organizations SET stripe_subscription_id = 'sub_1'",
            "organizations_subscription_has_customer_check",
        ),
        (
            "billing_ingest",
            "UPDATE usage_reports SET user_count = -1",
            "usage_reports_user_count_check",
        ),
        (
            "billing_ingest",
            "UPDATE usage_reports SET delivery_state = 'sent'",
            "usage_reports_sent_check",
        ),
        (
            "billing_ingest",
            "UPDATE usage_reports SET received_at = NULL",
            "usage_reports_new_check",
        ),
    ] {
        let error = db.try_as(role, sql).unwrap_err();
        assert!(error.contains(constraint), "{sql}: {error}");
    }
}

/// What org-svc and ingest-svc insert for an organization's first report.
fn insert_as_services_do(db: &Db, organization: &str) {
    let sql = format!(
        "INSERT INTO organizations (id, name, instance_url, subscription_status, created_at, updated_at)
         VALUES ('{organization}', 'Acme Corp', 'acme.vaultai.eu', 'pending', now(), now())"
    );
    db.try_as("billing_org", &sql).unwrap();
    let sql = format!(
        "INSERT INTO usage_reports (organization_id, organization_name, instance_url, user_count, deployment_type, reported_at, received_at, delivery_state)
         VALUES ('{organization}', 'Acme Corp', 'acme.vaultai.eu', 45, 'unassigned', '2024-11-03T03:00:00Z', now(), 'waiting')"
    );
    db.try_as("billing_ingest", &sql).unwrap();
}
