//! An instance with its own database: the count from the tables, and the cron's guard.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use instance_sim::cron::Cron;
use instance_sim::http_client;
use instance_sim::organizations::OrganizationStore;
use instance_sim::reporter::{BILLING_API_TOKEN, Reporter};
use instance_sim::retry::RetryPolicy;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// A database of the test's own; dropped by `drop_database` at the end of a test that passes.
struct TestDatabase {
    server: DatabaseConnection,
    name: String,
    url: String,
}

impl TestDatabase {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own names, connection and environment"
    )]
    async fn create() -> Self {
        let server_url =
            std::env::var("BILLING_TEST_DATABASE_URL").expect("run `cargo xtask test`");
        let mut options = ConnectOptions::new(&server_url);
        options.max_connections(1).sqlx_logging(false);
        let server = Database::connect(options).await.unwrap();
        let name = format!("instance_sim_{}", Uuid::new_v4().simple());
        server
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let mut url = reqwest::Url::parse(&server_url).unwrap();
        url.set_path(&name);
        Self {
            server,
            name,
            url: url.into(),
        }
    }

    async fn drop_database(self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.server.execute_unprepared(&sql).await.unwrap();
    }
}

type Bodies = Arc<Mutex<Vec<Value>>>;

/// A billing service that records everything.
async fn billing_service() -> (SocketAddr, Bodies) {
    async fn record(State(bodies): State<Bodies>, Json(body): Json<Value>) -> Json<Value> {
        bodies.lock().unwrap().push(body);
        Json(json!({
            "success": true,
            "message": "Usage report received",
            "report_id": "r1",
            "organization_status": "pending",
        }))
    }
    let bodies = Bodies::default();
    let router = Router::new()
        .route("/api/usage-report", post(record))
        .with_state(bodies.clone());
    (listen(router).await, bodies)
}

async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn users_are_counted_from_the_tables() {
    let database = TestDatabase::create().await;
    // Two at once: making the tables must not be a race.
    let (store, again) = tokio::join!(
        OrganizationStore::open(&database.url),
        OrganizationStore::open(&database.url)
    );
    let (store, _again) = (store.unwrap(), again.unwrap());
    store.add_first("Acme Corp", 45).await.unwrap();
    store.add_first("Acme Corp", 45).await.unwrap();
    let beta = store
        .add(Some(Uuid::from_u128(5)), "Bêta \"SARL\"")
        .await
        .unwrap();
    assert_eq!(beta, Uuid::from_u128(5));

    let counted = store.count_users().await.unwrap();
    let counts: Vec<_> = counted
        .iter()
        .map(|each| (each.name.as_str(), each.user_count))
        .collect();
    assert_eq!(counts, [("Acme Corp", 45), ("Bêta \"SARL\"", 0)]);

    store.add_users(beta, 120).await.unwrap();
    store.remove_users(beta, 3).await.unwrap();
    let counted = store.count_users().await.unwrap();
    assert_eq!(
        counted
            .iter()
            .map(|each| each.user_count)
            .collect::<Vec<_>>(),
        [45, 117]
    );
    store.add_users(beta, -1).await.unwrap_err();
    database.drop_database().await;
}

#[tokio::test]
async fn the_organization_table_is_the_specifications() {
    let database = TestDatabase::create().await;
    OrganizationStore::open(&database.url).await.unwrap();
    let db = {
        #[expect(clippy::disallowed_methods, reason = "a test's own connection")]
        Database::connect(&database.url).await.unwrap()
    };
    let rows = db
        .query_all_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            "SELECT concat_ws(' ', column_name, udt_name, column_default) AS line
               FROM information_schema.columns
              WHERE table_name = 'Organization' ORDER BY ordinal_position",
        ))
        .await
        .unwrap();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("", "line").unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            "id uuid gen_random_uuid()",
            "name text",
            "description text",
            "allowed_domains _text",
            "auth_methods _text",
            "created_at timestamp now()",
        ]
    );
    drop(db);
    database.drop_database().await;
}

#[tokio::test]
async fn the_cron_is_guarded_and_reports_every_organization() {
    let database = TestDatabase::create().await;
    let store = OrganizationStore::open(&database.url).await.unwrap();
    store.add_first("Acme Corp", 45).await.unwrap();
    let beta = store.add(None, "Beta SARL").await.unwrap();
    store.add_users(beta, 2).await.unwrap();
    let (billing, bodies) = billing_service().await;
    let token = SecretString::from(BILLING_API_TOKEN);
    let cron = Cron {
        store: store.clone(),
        reporter: Reporter::new(&format!("http://{billing}"), &token, RetryPolicy::default())
            .unwrap(),
        instance_url: "acme.vaultai.eu".to_owned(),
        jitter: Duration::from_millis(5),
    };
    let instance = listen(cron.router(SecretString::from("s3cret"))).await;
    let url = format!("http://{instance}/api/cron/usage-report");
    let client = http_client::client(Duration::from_secs(20)).unwrap();

    for wrong in [
        None,
        Some("Bearer "),
        Some("Bearer s3creT"),
        Some("Bearer s3cret2"),
        Some("s3cret"),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let mut request = client.request(method, &url);
            if let Some(wrong) = wrong {
                request = request.header("authorization", wrong);
            }
            assert_eq!(request.send().await.unwrap().status(), 401, "{wrong:?}");
        }
    }
    assert!(
        bodies.lock().unwrap().is_empty(),
        "nothing is reported without the secret"
    );

    for method in [reqwest::Method::GET, reqwest::Method::POST] {
        bodies.lock().unwrap().clear();
        let response = client
            .request(method, &url)
            .bearer_auth("s3cret")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["success"], true);
        assert_eq!(answer["reports"].as_array().unwrap().len(), 2);
        let mut sent = std::mem::take(&mut *bodies.lock().unwrap());
        sent.sort_by_key(|body| body["organization_name"].to_string());
        let counts: Vec<_> = sent
            .iter()
            .map(|body| body["user_count"].as_i64().unwrap())
            .collect();
        assert_eq!(counts, [45, 2]);
        assert_eq!(sent[0]["instance_url"], "acme.vaultai.eu");
        assert_eq!(sent[0]["timestamp"], sent[1]["timestamp"]);
    }
    drop(store);
    database.drop_database().await;
}

/// The answers that are still to be given.
type Answers = Arc<Mutex<Vec<(u16, Value)>>>;

/// Takes note of the body and gives the next answer; the last one again and again.
async fn answer_in_turn(
    State((bodies, answers)): State<(Bodies, Answers)>,
    Json(body): Json<Value>,
) -> (axum::http::StatusCode, Json<Value>) {
    bodies.lock().unwrap().push(body);
    let mut answers = answers.lock().unwrap();
    let (status, answer) = if answers.len() > 1 {
        answers.remove(0)
    } else {
        answers.first().unwrap().clone()
    };
    (status.try_into().unwrap(), Json(answer))
}

/// A billing service that is away first, then asks for a day and records.
#[tokio::test]
async fn what_was_counted_is_reported_later_and_gaps_are_filled_with_it() {
    let database = TestDatabase::create().await;
    let store = OrganizationStore::open(&database.url).await.unwrap();
    store.add_first("Acme Corp", 45).await.unwrap();
    let recorded = |missing: Value| {
        let answer = json!({
            "success": true, "message": "", "report_id": "r1", "organization_status": "pending",
            "missing_days": missing,
        });
        (200, answer)
    };
    let now = instance_sim::now();
    let days_ago = |days| now - chrono::TimeDelta::days(days);
    let day = |days| days_ago(days).date_naive().to_string();
    store.store_counts(days_ago(3)).await.unwrap();
    let id = store.count_users().await.unwrap()[0].id;
    store
        .settle(id, store.to_report(now).await.unwrap()[0].timestamp)
        .await
        .unwrap();
    let bodies = Bodies::default();
    let answers: Answers = Arc::new(Mutex::new(vec![
        (503, json!({})),
        recorded(Value::Null),
        recorded(json!([day(3), day(2)])),
        recorded(json!([day(2)])),
    ]));
    let router = Router::new()
        .route("/api/usage-report", post(answer_in_turn))
        .with_state((bodies.clone(), answers));
    let billing = listen(router).await;
    let policy = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let token = SecretString::from(BILLING_API_TOKEN);
    let cron = Cron {
        store: store.clone(),
        reporter: Reporter::new(&format!("http://{billing}"), &token, policy).unwrap(),
        instance_url: "acme.vaultai.eu".to_owned(),
        jitter: Duration::ZERO,
    };
    store.store_counts(days_ago(1)).await.unwrap();
    // Only yesterday's count is open; the service is away for it, and for today's it is not.
    let results = cron.run().await.unwrap();
    let successes = |results: &[instance_sim::cron::CronResult]| {
        let successes = results.iter().map(|result| result.success);
        successes.collect::<Vec<_>>()
    };
    let mut first = successes(&results);
    first.sort_unstable();
    assert_eq!(first, [false, true]);
    let results = cron.run().await.unwrap();
    assert!(successes(&results).iter().all(|success| *success));
    let sent = bodies.lock().unwrap().clone();
    let filled = sent.last().unwrap()["timestamp"].as_str().unwrap();
    assert!(filled.starts_with(&day(3)), "{sent:?}");
    assert_eq!(sent.last().unwrap()["user_count"], 45);
    drop(store);
    database.drop_database().await;
}
