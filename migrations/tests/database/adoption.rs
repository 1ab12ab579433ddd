//! Older databases, in the shapes that the specification implies, with rows in them. None is lost;
//! every row can be updated afterwards; and the services can work beside them.
use crate::support::Db;
use serde_json::{Value, json};

const ACME: &str = "8c3a1a52-0000-4000-8000-000000000001";
const BETA: &str = "8c3a1a52-0000-4000-8000-000000000002";
const NEEDS_MIGRATION: &str = "needs migration: the catalog names no meter for its subscription";

/// The tables of the specification, to the letter.
const SPECIFIED: &str = "
    CREATE TABLE organizations (
        id UUID PRIMARY KEY, name TEXT NOT NULL, instance_url TEXT,
        stripe_customer_id TEXT UNIQUE, stripe_subscription_id TEXT UNIQUE,
        deployment_type VARCHAR(20), plan_type VARCHAR(20), subscription_status VARCHAR(20) DEFAULT 'pending', trial_end TIMESTAMP,
        admin_email TEXT, created_at TIMESTAMP DEFAULT NOW(), updated_at TIMESTAMP DEFAULT NOW());
    CREATE TABLE usage_reports (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(), organization_id UUID REFERENCES organizations(id),
        user_count INTEGER NOT NULL, deployment_type VARCHAR(20) NOT NULL, reported_at TIMESTAMP DEFAULT NOW(), stripe_meter_event_id TEXT);";

/// The older tables: a token for each organization, its deployment type required, and looser types.
const OLDER: &str = "
    CREATE TYPE status AS ENUM ('inactive', 'trialing', 'active', 'cancelled');
    CREATE TABLE organizations (
        id VARCHAR(36) PRIMARY KEY, name VARCHAR(255) NOT NULL, billing_token TEXT NOT NULL UNIQUE,
        deployment_type VARCHAR(50) NOT NULL DEFAULT 'cloud' CHECK (deployment_type IN ('cloud', 'on_premise', 'managed_cloud')),
        stripe_customer_id VARCHAR(255), stripe_subscription_id VARCHAR(255),
        subscription_status status DEFAULT 'inactive', created_at TIMESTAMP(3) DEFAULT NOW());
    CREATE INDEX organizations_pending_idx ON organizations (lower(name)) WHERE subscription_status = 'inactive';
    CREATE TABLE usage_reports (
        id TEXT PRIMARY KEY, organization_id VARCHAR(36) NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
        user_count BIGINT NOT NULL, deployment_type TEXT, reported_at TIMESTAMP(3), stripe_meter_event_id TEXT,
        instance_url TEXT NOT NULL, created_by TEXT NOT NULL,
        UNIQUE (organization_id, reported_at));";

async fn adopted(tables: &str, rows: &str) -> Db {
    let db = Db::with(&format!("SET timezone = 'Europe/Paris'; {tables} {rows}")).await;
    let before = (
        db.count("organizations").await,
        db.count("usage_reports").await,
    );
    db.up().await;
    let after = (
        db.count("organizations").await,
        db.count("usage_reports").await,
    );
    assert_eq!(after, before, "no row is lost");
    assert_can_go_on(&db).await;
    db
}

/// Every adopted row fulfils every rule, so that it can be updated; columns have the specification's
/// types; and the services insert beside what is there.
async fn assert_can_go_on(db: &Db) {
    db.run(
        "DO $$ DECLARE c record; BEGIN
           FOR c IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint
                    WHERE conrelid IN ('organizations'::regclass, 'usage_reports'::regclass) AND contype = 'c' LOOP
             EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', c.tab, c.conname);
           END LOOP;
         END $$",
    );
    let types = db
        .row("SELECT string_agg(table_name || '.' || column_name || ' ' || data_type, ', ' ORDER BY table_name, column_name) AS t
              FROM information_schema.columns WHERE (table_name, column_name) IN (
                ('organizations', 'id'), ('organizations', 'name'), ('organizations', 'subscription_status'), ('organizations', 'trial_end'),
                ('organizations', 'created_at'), ('usage_reports', 'id'), ('usage_reports', 'organization_id'),
                ('usage_reports', 'user_count'), ('usage_reports', 'deployment_type'), ('usage_reports', 'reported_at'))")
        .await;
    let expected = "organizations.created_at timestamp with time zone, organizations.id uuid, organizations.name text, \
        organizations.subscription_status character varying, organizations.trial_end timestamp with time zone, \
        usage_reports.deployment_type character varying, usage_reports.id uuid, usage_reports.organization_id uuid, \
        usage_reports.reported_at timestamp with time zone, usage_reports.user_count integer";
    assert_eq!(types["t"], expected);

    db.try_as(
        "billing_org",
        "UPDATE organizations SET reported_name = 'New'",
    )
    .unwrap();
    let new = "INSERT INTO organizations (id, name, instance_url, subscription_status, created_at, updated_at)
               VALUES (gen_random_uuid(), 'Acme', 'acme.vaultai.eu', 'pending', now(), now())";
    db.try_as("billing_org", new).unwrap();
    db.try_as("billing_org", new).unwrap();
    let new = "INSERT INTO usage_reports (id, organization_id, organization_name, instance_url, user_count, deployment_type, reported_at, received_at, delivery_state)
               VALUES (gen_random_uuid(), $1, 'N', 'n', 1, 'unassigned', $2, now(), 'waiting')";
    let pairs = "SELECT o.id AS o, r.reported_at AS t FROM organizations o JOIN usage_reports r ON r.organization_id = o.id
                 WHERE r.reported_at IS NOT NULL GROUP BY 1, 2";
    for pair in db.rows(pairs).await {
        let text = |name: &str| format!("'{}'", pair[name].as_str().unwrap());
        let new = new.replace("$1", &text("o")).replace("$2", &text("t"));
        db.try_as("billing_ingest", &new).unwrap();
        let error = db.try_as("billing_ingest", &new).unwrap_err();
        assert!(
            error.contains("usage_reports_organization_time_key"),
            "{error}"
        );
    }
    let unknown = new
        .replace("$1", "gen_random_uuid()")
        .replace("$2", "now()");
    let error = db.try_as("billing_ingest", &unknown).unwrap_err();
    assert!(error.contains("foreign key"), "{error}");
    db.run("DELETE FROM usage_reports WHERE NOT adopted; DELETE FROM organizations WHERE legacy IS NULL");
}

async fn organization(db: &Db, id: &str) -> Value {
    db.row(&format!("SELECT * FROM organizations WHERE id = '{id}'"))
        .await
}

async fn reports(db: &Db) -> Vec<Value> {
    db.rows("SELECT * FROM usage_reports ORDER BY user_count")
        .await
}

#[tokio::test]
async fn the_specifications_own_tables() {
    let db = adopted(
        SPECIFIED,
        &format!(
            "INSERT INTO organizations VALUES
                ('{ACME}', 'Acme Corp', 'acme.vaultai.eu', 'cus_1', 'sub_1', 'on-premise', 'self-hosted', 'trial', '2024-11-07 03:00', 'b@acme.example', '2024-10-15 08:00', '2024-10-16 08:00'),
                ('{BETA}', 'Beta SARL', NULL, NULL, NULL, NULL, NULL, 'pending', NULL, NULL, '2024-11-02 14:30', NULL);
             INSERT INTO usage_reports (organization_id, user_count, deployment_type, reported_at, stripe_meter_event_id) VALUES
                ('{ACME}', 45, 'on-premise', '2024-11-03 03:00', 'evt_1'), ('{ACME}', 46, 'on-premise', '2024-11-04 03:00', NULL),
                ('{ACME}', 47, 'on-premise', '2024-11-04 03:00', NULL);"
        ),
    )
    .await;
    let acme = organization(&db, ACME).await;
    assert_eq!(acme["subscription_status"], "trial");
    assert_eq!(
        acme["created_at"], "2024-10-15T08:00:00+00:00",
        "a time without a zone is UTC"
    );
    assert_eq!(acme["trial_end"], "2024-11-07T03:00:00+00:00");
    assert_eq!(acme["billing_problem"], NEEDS_MIGRATION);
    assert_eq!(acme["billing_start_at"], Value::Null);
    assert_eq!(acme["legacy"]["stripe_customer_id"], "cus_1");
    let beta = organization(&db, BETA).await;
    assert_eq!(beta["billing_problem"], Value::Null);
    assert_eq!(beta["updated_at"], beta["created_at"]);

    let reports = reports(&db).await;
    let states = reports
        .iter()
        .map(|r| r["delivery_state"].as_str().unwrap());
    assert!(states.eq(["sent", "not_billed", "not_billed"]));
    assert!(
        reports
            .iter()
            .all(|r| r["adopted"] == true && r["legacy"] == Value::Null)
    );
    assert_eq!(reports[0]["reported_at"], "2024-11-03T03:00:00+00:00");
    let latest = db.row("SELECT * FROM organization_reporting").await;
    assert_eq!(latest["organization_id"], ACME);
    assert_eq!(latest["last_reported_at"], "2024-11-04T03:00:00+00:00");
    assert_eq!(latest["billable"], false);
}

#[tokio::test]
async fn the_older_tables() {
    let db = adopted(
        OLDER,
        &format!(
            "INSERT INTO organizations (id, name, billing_token, deployment_type, stripe_customer_id, stripe_subscription_id, subscription_status, created_at) VALUES
                (upper('{ACME}'), 'Acme Corp', 'token-1', 'on_premise', 'cus_1', 'sub_1', 'trialing', '2024-10-15 08:00'),
                ('{BETA}', 'Beta SARL', 'token-2', 'cloud', NULL, NULL, NULL, NULL);
             INSERT INTO usage_reports VALUES
                ('report-xyz-789', upper('{ACME}'), 45, 'on_premise', '2024-11-03 03:00', 'evt_1', 'acme', 'cron'),
                (gen_random_uuid()::text, '{BETA}', 99999999999, 'cloud', '2024-11-03 03:00', '', 'beta', 'cron');"
        ),
    )
    .await;
    let acme = organization(&db, ACME).await;
    assert_eq!(acme["billing_token"], "token-1", "it stays in its column");
    assert_eq!(
        acme["legacy"].get("billing_token"),
        None,
        "and nowhere else"
    );
    assert_eq!(acme["deployment_type"], "on-premise");
    assert_eq!(acme["subscription_status"], "trial");
    assert_eq!(acme["legacy"]["subscription_status"], "trialing");
    let beta = organization(&db, BETA).await;
    assert_eq!(beta["subscription_status"], "pending");
    assert_eq!(beta["deployment_type"], Value::Null);
    assert_eq!(beta["legacy"]["deployment_type"], "cloud");
    assert_ne!(beta["created_at"], Value::Null);

    let reports = reports(&db).await;
    assert_eq!(reports[0]["organization_id"], ACME);
    assert_eq!(reports[0]["legacy"]["id"], "report-xyz-789");
    assert_eq!(reports[0]["deployment_type"], "on-premise");
    assert_eq!(reports[0]["older_instance_url"], "acme");
    assert_eq!(reports[0]["created_by"], "cron");
    assert_eq!(reports[1]["user_count"], 10_000_000);
    assert_eq!(reports[1]["legacy"]["user_count"], 99_999_999_999_u64);
    assert_eq!(reports[1]["deployment_type"], "unassigned");
    assert_eq!(reports[1]["delivery_state"], "not_billed");
}

/// Without the deployment type, and with little else.
#[tokio::test]
async fn tables_that_lack_columns() {
    let db = adopted(
        "CREATE TABLE organizations (id TEXT, name TEXT, billing_token TEXT NOT NULL);
         CREATE TABLE usage_reports (organization_id TEXT, user_count TEXT, reported_at TEXT);",
        &format!(
            "INSERT INTO organizations VALUES ('{ACME}', NULL, 't'), ('{BETA}', E' \\t', 't');
             INSERT INTO usage_reports VALUES ('{ACME}', '45', '2024-11-03T03:00:00Z'), ('{ACME}', 'many', ''), ('nobody', NULL, '2024-11-03 04:00+01');"
        ),
    )
    .await;
    assert_eq!(
        organization(&db, ACME).await["name"],
        "Unnamed organization"
    );
    assert_eq!(organization(&db, BETA).await["legacy"]["name"], " \t");
    let reports = reports(&db).await;
    assert_eq!(reports[2]["user_count"], 45);
    assert_eq!(reports[2]["reported_at"], "2024-11-03T03:00:00+00:00");
    let of_nobody = reports
        .iter()
        .find(|r| r["legacy"]["organization_id"] == "nobody")
        .unwrap();
    assert_eq!(of_nobody["organization_id"], Value::Null);
    assert_eq!(of_nobody["reported_at"], "2024-11-03T03:00:00+00:00");
    assert!(reports.iter().any(|r| r["legacy"]["user_count"] == "many"));
}

#[tokio::test]
async fn orphans_and_reports_without_time_or_organization_stay() {
    let db = adopted(
        &SPECIFIED.replace(" REFERENCES organizations(id)", ""),
        &format!(
            "INSERT INTO organizations (id, name) VALUES ('{ACME}', 'Acme');
             INSERT INTO usage_reports (organization_id, user_count, deployment_type, reported_at) VALUES
                ('{ACME}', 1, 'on-premise', NULL), (NULL, 2, 'on-premise', now()), ('{BETA}', 3, 'moon', now());"
        ),
    )
    .await;
    let reports = reports(&db).await;
    assert_eq!(reports[0]["reported_at"], Value::Null);
    assert_eq!(reports[1]["organization_id"], Value::Null);
    assert_eq!(reports[2]["organization_id"], BETA);
    assert_eq!(reports[2]["deployment_type"], "unassigned");
    let key = db.row("SELECT convalidated FROM pg_constraint WHERE conrelid = 'usage_reports'::regclass AND contype = 'f'").await;
    assert_eq!(key["convalidated"], false);
    // A row that says nothing new of its organization can still be changed.
    db.try_as(
        "billing_ingest",
        "UPDATE usage_reports SET attempt_count = 1",
    )
    .unwrap();
}

#[tokio::test]
async fn the_foreign_key_is_checked_where_there_are_no_orphans() {
    let db = adopted(
        &SPECIFIED.replace(" REFERENCES organizations(id)", ""),
        &format!(
            "INSERT INTO organizations (id, name) VALUES ('{ACME}', 'Acme');
             INSERT INTO usage_reports (organization_id, user_count, deployment_type) VALUES ('{ACME}', 1, 'on-premise');"
        ),
    )
    .await;
    let key = db.row("SELECT convalidated, confdeltype FROM pg_constraint WHERE conrelid = 'usage_reports'::regclass AND contype = 'f'").await;
    assert_eq!(key, json!({"convalidated": true, "confdeltype": "a"}));
}

#[tokio::test]
async fn reports_without_any_organizations_table() {
    let db = Db::with(
        "CREATE TABLE usage_reports (id uuid primary key, organization_id uuid, user_count integer not null, deployment_type varchar(20) not null,
            reported_at timestamp, stripe_meter_event_id text);
         INSERT INTO usage_reports VALUES (gen_random_uuid(), gen_random_uuid(), 7, 'on-premise', now(), 'evt_1')",
    )
    .await;
    db.up().await;
    let report = db.row("SELECT * FROM usage_reports").await;
    assert_eq!(
        (&report["user_count"], &report["delivery_state"]),
        (&json!(7), &json!("sent"))
    );
}

/// Values that a rule of 0004 refuses. NOT VALID would spare them until org-svc next updates the row.
#[tokio::test]
async fn odd_values_are_kept_aside() {
    let long = "x".repeat(300);
    let db = adopted(
        &SPECIFIED.replace("VARCHAR(20)", "TEXT"),
        &format!(
            "INSERT INTO organizations (id, name, instance_url, deployment_type, plan_type, subscription_status, stripe_customer_id, admin_email) VALUES
                ('{ACME}', '{long}', '', 'On Premise', 'gold', 'Past-Due', 'cus_1', ' b@acme.example '),
                ('{BETA}', '', 'beta.vaultai.eu', '', 'Self_Hosted', 'active', '', '');"
        ),
    )
    .await;
    let acme = organization(&db, ACME).await;
    assert_eq!(acme["name"], "x".repeat(200));
    assert_eq!(acme["legacy"]["name"], long);
    assert_eq!(acme["instance_url"], Value::Null);
    assert_eq!(acme["deployment_type"], "on-premise");
    assert_eq!(acme["plan_type"], Value::Null);
    assert_eq!(acme["legacy"]["plan_type"], "gold");
    assert_eq!(acme["subscription_status"], "past_due");
    assert_eq!(acme["admin_email"], "b@acme.example");
    let beta = organization(&db, BETA).await;
    assert_eq!(beta["name"], "beta.vaultai.eu");
    assert_eq!(beta["plan_type"], "self-hosted");
    assert_eq!(
        beta["subscription_status"], "pending",
        "without a customer nobody is active"
    );
    assert_eq!(beta["legacy"]["subscription_status"], "active");
    assert_eq!(beta["stripe_customer_id"], Value::Null);
}

/// One customer is one organization's. Who lost it says so until a person has looked.
#[tokio::test]
async fn links_that_contradict_each_other() {
    let gamma = "8c3a1a52-0000-4000-8000-000000000003";
    let delta = "8c3a1a52-0000-4000-8000-000000000004";
    let db = adopted(
        &SPECIFIED.replace(" UNIQUE", ""),
        &format!(
            "INSERT INTO organizations (id, name, stripe_customer_id, stripe_subscription_id, subscription_status, created_at) VALUES
                ('{ACME}', 'A', 'cus_1', NULL, 'active', '2024-01-01'), ('{BETA}', 'B', 'cus_1', 'sub_1', 'active', '2024-02-01'),
                ('{gamma}', 'C', NULL, 'sub_2', 'active', '2024-01-01'), ('{delta}', 'D', 'cus_4', 'sub_1', 'active', '2024-03-01');"
        ),
    )
    .await;
    let [a, b, c, d] = [
        organization(&db, ACME).await,
        organization(&db, BETA).await,
        organization(&db, gamma).await,
        organization(&db, delta).await,
    ];
    let link = |o: &Value| {
        (
            o["stripe_customer_id"].clone(),
            o["stripe_subscription_id"].clone(),
        )
    };
    assert_eq!(link(&a), (Value::Null, Value::Null));
    assert_eq!(
        link(&b),
        (json!("cus_1"), json!("sub_1")),
        "the one with the subscription owns it"
    );
    assert_eq!(link(&c), (Value::Null, Value::Null));
    assert_eq!(link(&d), (json!("cus_4"), Value::Null));
    assert_eq!(a["subscription_status"], "pending");
    assert_eq!(a["legacy"]["stripe_customer_id"], "cus_1");
    let problem = |o: &Value| o["billing_problem"].as_str().unwrap().to_owned();
    assert!(problem(&a).contains("cus_1") && problem(&a).contains(BETA));
    assert_eq!(problem(&b), NEEDS_MIGRATION);
    assert!(problem(&c).contains("sub_2"));
    assert!(problem(&d).contains("sub_1"));
}

#[tokio::test]
async fn an_id_that_is_no_uuid_stops_it_with_nothing_changed() {
    let db = Db::with(
        "CREATE TABLE organizations (id text primary key, name text, billing_token text not null);
         INSERT INTO organizations VALUES ('old-org-123', 'Acme', 't')",
    )
    .await;
    let error = migrations::up(&db.connection)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("'old-org-123'") && error.contains("UUID of their instance"),
        "{error}"
    );
    let tables = "pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(
        db.count(tables).await,
        1,
        "not even the list of migrations is there"
    );
    assert_eq!(
        db.count("information_schema.columns WHERE table_name = 'organizations'")
            .await,
        3
    );
}

#[tokio::test]
async fn adopted_rows_are_not_dropped_on_the_way_down() {
    let db = adopted(
        SPECIFIED,
        &format!(
            "INSERT INTO organizations (id, name) VALUES ('{ACME}', 'Acme');
             INSERT INTO usage_reports (organization_id, user_count, deployment_type) VALUES ('{ACME}', 1, 'on-premise');"
        ),
    )
    .await;
    let error = migrations::down(&db.connection, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("usage_reports holds 1 rows of the older database"),
        "{error}"
    );
    db.run("DELETE FROM usage_reports");
    let error = migrations::down(&db.connection, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("organizations holds 1 rows"), "{error}");
    assert_eq!(db.count("organizations").await, 1);
    assert!(db.up().await.is_empty(), "nothing was taken back");
}
