//! The demo against the real tables and a stand-in for the gateway that keeps the public doors'
//! promises: what the demo writes past those doors must fit the migrated schema, and a second run
//! must add nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use instance_sim::demo::{self, DemoTarget};
use instance_sim::reporter::{BILLING_API_TOKEN, Reporter};
use instance_sim::retry::RetryPolicy;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, QueryResult,
    Statement, Value,
};
use secrecy::SecretString;
use serde_json::{Value as Json_, json};
use tokio::net::TcpListener;
use uuid::Uuid;

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(8).sqlx_logging(false);
    #[expect(clippy::disallowed_methods, reason = "a test's own connection")]
    Database::connect(options).await.unwrap()
}

/// A database of the test's own, with the product's schema.
async fn migrated_database() -> (DatabaseConnection, String, String) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests' one variable, and a name of its own"
    )]
    let (server_url, name) = (
        std::env::var("BILLING_TEST_DATABASE_URL").expect("run `cargo xtask test`"),
        format!("instance_sim_{}", Uuid::new_v4().simple()),
    );
    let server = connect(&server_url).await;
    server
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    let mut url = reqwest::Url::parse(&server_url).unwrap();
    url.set_path(&name);
    let db = connect(url.as_str()).await;
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sql");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.to_string_lossy().ends_with("_up.sql"))
    {
        let sql = std::fs::read_to_string(file).unwrap();
        // A first run builds its indexes within its transaction, as the migrations binary does.
        let sql = sql.replace(" CONCURRENTLY", "");
        db.execute_unprepared(&sql).await.unwrap();
    }
    (db, url.into(), name)
}

async fn rows(
    db: &DatabaseConnection,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Vec<QueryResult> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    db.query_all_raw(statement).await.unwrap()
}

/// Records a report as ingest-svc does: pending or before the start is not billed, the rest is sent.
async fn take_report(
    State(db): State<DatabaseConnection>,
    headers: HeaderMap,
    Json(body): Json<Json_>,
) -> Json<Json_> {
    assert_eq!(
        headers["authorization"].to_str().unwrap(),
        format!("Bearer {BILLING_API_TOKEN}")
    );
    let id: Uuid = body["organization_id"].as_str().unwrap().parse().unwrap();
    let name = body["organization_name"].as_str().unwrap();
    let url = body["instance_url"].as_str().unwrap();
    let users = i32::try_from(body["user_count"].as_i64().unwrap()).unwrap();
    let at: DateTime<Utc> = body["timestamp"].as_str().unwrap().parse().unwrap();
    rows(
        &db,
        "INSERT INTO organizations (id, name, instance_url) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO NOTHING",
        [id.into(), name.into(), url.into()],
    )
    .await;
    let stands = rows(
        &db,
        "SELECT coalesce(billing_start_at <= $2, false) AS billed FROM organizations WHERE id = $1",
        [id.into(), at.into()],
    )
    .await;
    let billed: bool = stands[0].try_get("", "billed").unwrap();
    let report = rows(
        &db,
        "INSERT INTO usage_reports (organization_id, organization_name, instance_url, user_count,
                 reported_at, received_at, deployment_type, delivery_state, stripe_meter_event_id)
         VALUES ($1, $2, $3, $4, $5, now(), 'unassigned',
                 CASE WHEN $6 THEN 'sent' ELSE 'not_billed' END, CASE WHEN $6 THEN 'x' END)
         ON CONFLICT (organization_id, reported_at) WHERE NOT adopted
         DO UPDATE SET received_at = usage_reports.received_at
             WHERE usage_reports.user_count = excluded.user_count
         RETURNING id::text",
        [
            id.into(),
            name.into(),
            url.into(),
            users.into(),
            at.into(),
            billed.into(),
        ],
    )
    .await;
    assert_eq!(
        report.len(),
        1,
        "the same timestamp with another count: {body}"
    );
    Json(json!({
        "success": true,
        "message": "Usage report received",
        "report_id": report[0].try_get::<String>("", "id").unwrap(),
        "organization_status": "pending",
    }))
}

async fn sign_in(headers: HeaderMap, Json(body): Json<Json_>) -> Response {
    assert!(
        headers["origin"]
            .to_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(
        body,
        json!({"email": "admin@billing.example", "password": "correct horse"})
    );
    let cookies = AppendHeaders([
        (
            "set-cookie",
            "better-auth.session_token=T.S%3D; Max-Age=604800; Path=/; HttpOnly",
        ),
        ("set-cookie", "better-auth.session_data=; Max-Age=0; Path=/"),
    ]);
    (cookies, Json(json!({"redirect": false}))).into_response()
}

fn must_be_signed_in(headers: &HeaderMap) {
    assert_eq!(headers["cookie"], "better-auth.session_token=T.S%3D");
}

async fn list(
    State(db): State<DatabaseConnection>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Json_> {
    must_be_signed_in(&headers);
    let found = rows(
        &db,
        "SELECT id::text, stripe_customer_id IS NOT NULL AS linked FROM organizations
          WHERE id::text = $1",
        [query["q"].as_str().into()],
    )
    .await;
    let of = |linked: bool| -> Vec<Json_> {
        found
            .iter()
            .filter(|row| row.try_get::<bool>("", "linked").unwrap() == linked)
            .map(|row| json!({"id": row.try_get::<String>("", "id").unwrap(), "name": "…"}))
            .collect()
    };
    Json(json!({"summary": {}, "organizations": {"pending": of(false), "linked": of(true)}}))
}

async fn link(
    State(db): State<DatabaseConnection>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(body): Json<Json_>,
) -> (StatusCode, Json<Json_>) {
    must_be_signed_in(&headers);
    assert!(headers.contains_key("origin"));
    let email = body["admin_email"].as_str().unwrap();
    assert!(email.ends_with(".example"), "{email}");
    let trial_days = i32::try_from(body["trial_days"].as_i64().unwrap()).unwrap();
    let changed = rows(
        &db,
        "UPDATE organizations SET stripe_customer_id = 'cus_' || id, stripe_subscription_id = 'sub_' || id,
                admin_email = $2, deployment_type = $3, plan_type = $4, billing_start_at = now(),
                subscription_status = CASE WHEN $5 > 0 THEN 'trial' ELSE 'active' END,
                trial_end = CASE WHEN $5 > 0 THEN now() + make_interval(days => $5) END
          WHERE id = $1 AND stripe_customer_id IS NULL RETURNING id",
        [
            id.into(),
            email.into(),
            body["deployment_type"].as_str().into(),
            body["plan_type"].as_str().into(),
            trial_days.into(),
        ],
    )
    .await;
    assert_eq!(changed.len(), 1, "linked twice");
    (StatusCode::OK, Json(json!({"success": true})))
}

/// Everything that the demo is about, as text, to be compared between runs.
async fn picture(db: &DatabaseConnection) -> Vec<String> {
    let sql = "SELECT concat_ws('|', o.id, o.name, subscription_status, created_at, billing_start_at, trial_end,
                      standing_version, count(r.id), sum(r.user_count), max(r.reported_at),
                      count(*) FILTER (WHERE r.delivery_state = 'sent')) AS line
                 FROM organizations o JOIN usage_reports r ON r.organization_id = o.id
                GROUP BY o.id ORDER BY o.id";
    let lines = rows(db, sql, []).await;
    lines
        .iter()
        .map(|row| row.try_get("", "line").unwrap())
        .collect()
}

async fn scalar(db: &DatabaseConnection, sql: &str) -> i64 {
    rows(db, &format!("SELECT ({sql})::bigint AS n"), []).await[0]
        .try_get("", "n")
        .unwrap()
}

fn target(base_url: &str, database_url: &str) -> DemoTarget {
    DemoTarget {
        base_url: base_url.to_owned(),
        origin: base_url.to_owned(),
        admin_email: "admin@billing.example".to_owned(),
        admin_password: SecretString::from("correct horse"),
        stripe_api_base: base_url.to_owned(),
        stripe_secret_key: SecretString::from("sk_test_local"),
        database_url: SecretString::from(database_url),
        allow_remote: false,
    }
}

/// Where a stand-in for Stripe's clock stands, in Unix seconds; `None` until it is set.
type StripeTime = Arc<Mutex<Option<i64>>>;

/// The stand-in for the gateway, and for the one control of Stripe's that the demo has a hand on.
async fn gateway(db: &DatabaseConnection, stripe_time: StripeTime) -> String {
    let set_clock = async move |Json(body): Json<Json_>| {
        *stripe_time.lock().unwrap() = body["to"].as_i64();
        Json(json!({}))
    };
    let router = Router::new()
        .route("/api/usage-report", post(take_report))
        .route("/api/auth/sign-in/email", post(sign_in))
        .route("/api/admin/organizations", get(list))
        .route("/api/admin/organizations/{id}/link", post(link))
        .route("/_sim/clock/advance", post(set_clock))
        .with_state(db.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    base_url
}

#[tokio::test]
async fn the_demo_is_believable_and_a_second_run_adds_nothing() {
    let (db, url, name) = migrated_database().await;
    let stripe_time = StripeTime::default();
    let base_url = gateway(&db, Arc::clone(&stripe_time)).await;
    let policy = RetryPolicy {
        max_attempts: 1,
        base: Duration::ZERO,
        ..RetryPolicy::default()
    };
    let token = SecretString::from(BILLING_API_TOKEN);
    let reporter = Reporter::new(&base_url, &token, policy).unwrap();
    let now = instance_sim::now();

    demo::run(&target(&base_url, &url), reporter.clone(), now)
        .await
        .unwrap();
    let set = *stripe_time.lock().unwrap();
    assert_eq!(set, Some(now.timestamp()), "Stripe is left in the present");
    let first = picture(&db).await;
    assert_eq!(first.len(), 24);
    for (status, count) in [
        ("pending", 6),
        ("trial", 4),
        ("active", 11),
        ("past_due", 3),
    ] {
        let sql =
            format!("SELECT count(*) FROM organizations WHERE subscription_status = '{status}'");
        assert_eq!(scalar(&db, &sql).await, count, "{status}");
    }
    let none = [
        // Everything was backdated to the first report …
        "SELECT count(*) FROM organizations o WHERE created_at <>
            (SELECT min(reported_at) FROM usage_reports WHERE organization_id = o.id)",
        // … each change stands in the feed, once …
        "SELECT count(*) FROM organizations o WHERE standing_version <>
            (SELECT max(cursor) FROM organization_changes WHERE organization_id = o.id)",
        "SELECT count(*) - 24 FROM organization_changes",
        // … and billing began in between, so that weeks are billed and the time before is not.
        "SELECT count(*) FROM organizations o WHERE stripe_customer_id IS NOT NULL AND (
            (SELECT count(DISTINCT delivery_state) FROM usage_reports WHERE organization_id = o.id) <> 2)",
        "SELECT count(*) FROM usage_reports
          WHERE delivery_state = 'sent' AND reported_at < now() - interval '35 days'",
        "SELECT count(*) FROM usage_reports WHERE reported_at > now()",
    ];
    for sql in none {
        assert_eq!(scalar(&db, sql).await, 0, "{sql}");
    }

    demo::run(&target(&base_url, &url), reporter.clone(), now)
        .await
        .unwrap();
    assert_eq!(picture(&db).await, first, "a second run on the same day");

    let reports = scalar(&db, "SELECT count(*) FROM usage_reports").await;
    demo::run(&target(&base_url, &url), reporter, now + TimeDelta::days(1))
        .await
        .unwrap();
    assert_eq!(
        scalar(&db, "SELECT count(*) FROM usage_reports").await,
        reports + 20
    );
    assert_eq!(
        scalar(&db, "SELECT count(*) FROM organization_changes").await,
        24
    );

    drop(db);
    #[expect(clippy::disallowed_methods, reason = "the tests' one variable")]
    let server_url = std::env::var("BILLING_TEST_DATABASE_URL").unwrap();
    let sql = format!("DROP DATABASE {name} WITH (FORCE)");
    connect(&server_url)
        .await
        .execute_unprepared(&sql)
        .await
        .unwrap();
}

#[tokio::test]
async fn nothing_that_could_be_real_is_touched() {
    let reporter = Reporter::new(
        "http://127.0.0.1:1",
        &SecretString::from(BILLING_API_TOKEN),
        RetryPolicy::default(),
    )
    .unwrap();
    let local = || {
        target(
            "http://127.0.0.1:1",
            "postgres://postgres@127.0.0.1:1/billing",
        )
    };
    let cases = [
        (
            "live key",
            DemoTarget {
                stripe_secret_key: SecretString::from("sk_live_x"),
                ..local()
            },
        ),
        (
            "Stripe itself",
            DemoTarget {
                stripe_api_base: "https://api.stripe.com".to_owned(),
                allow_remote: true,
                ..local()
            },
        ),
        (
            "--allow-remote",
            DemoTarget {
                base_url: "https://billing.vaultai.eu".to_owned(),
                ..local()
            },
        ),
        (
            "--allow-remote",
            DemoTarget {
                database_url: SecretString::from("postgres://x@db.internal/b"),
                ..local()
            },
        ),
    ];
    let now = Utc.with_ymd_and_hms(2026, 10, 12, 15, 0, 0).unwrap();
    for (why, target) in cases {
        let error = demo::run(&target, reporter.clone(), now).await.unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}
