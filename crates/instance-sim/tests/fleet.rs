//! A fleet against a small local server: everything is sent exactly once, whatever the concurrency.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may unwrap as tests do"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{TimeZone as _, Utc};
use instance_sim::fleet::{self, FleetPlan};
use instance_sim::reporter::{BILLING_API_TOKEN, Reporter};
use instance_sim::retry::RetryPolicy;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Default)]
struct Seen {
    reports: BTreeMap<String, BTreeSet<String>>,
    connections: HashSet<SocketAddr>,
    addresses: HashSet<String>,
    requests: u64,
}

type Log = Arc<Mutex<Seen>>;

async fn record(
    State(log): State<Log>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let mut seen = log.lock().unwrap();
    seen.connections.insert(peer);
    seen.requests += 1;
    // One in ten is told to come again, and does.
    if seen.requests % 10 == 0 {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    seen.addresses.extend(
        headers
            .get("x-forwarded-for")
            .map(|v| v.to_str().unwrap().to_owned()),
    );
    let organization = body["organization_id"].as_str().unwrap().to_owned();
    let timestamp = body["timestamp"].as_str().unwrap().to_owned();
    assert!(
        seen.reports
            .entry(organization)
            .or_default()
            .insert(timestamp),
        "sent twice: {body}"
    );
    Ok(Json(json!({
        "success": true,
        "message": "Usage report received",
        "report_id": "r1",
        "organization_status": "pending",
    })))
}

#[tokio::test]
async fn every_instance_reports_every_day_once_on_kept_connections() {
    let log = Log::default();
    let router = Router::new()
        .route("/api/usage-report", post(record))
        .with_state(Arc::clone(&log));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let policy = RetryPolicy {
        base: std::time::Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    let reporter = Reporter::new(&url, &SecretString::from(BILLING_API_TOKEN), policy).unwrap();
    let plan = FleetPlan {
        instances: 40,
        days: 5,
        concurrency: 8,
        seed: 3,
        forwarded_for: true,
    };
    let now = Utc.with_ymd_and_hms(2026, 10, 12, 15, 0, 0).unwrap();
    let totals = fleet::run(&reporter, &plan, now).await.unwrap();

    let too_many = FleetPlan {
        instances: fleet::MAX_INSTANCES + 1,
        ..plan
    };
    fleet::run(&reporter, &too_many, now).await.unwrap_err();

    assert!(totals.complete(), "{totals:?}");
    assert_eq!((totals.recorded, totals.latency.total()), (200, 200));
    let seen = log.lock().unwrap();
    assert_eq!(totals.retries, seen.requests - 200);
    assert_eq!(seen.reports.len(), 40);
    assert!(seen.reports.values().all(|days| days.len() == 5));
    assert_eq!(seen.addresses.len(), 40);
    assert!(
        seen.connections.len() <= 16,
        "{} connections",
        seen.connections.len()
    );
    assert_eq!(totals.lines().len(), 3, "{:?}", totals.lines());
}
