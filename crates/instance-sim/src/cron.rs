//! The instance's daily cron: behind `CRON_SECRET` over HTTP, and by itself at 03:00 UTC.
//!
//! The count and its timestamp are taken when the cron fires; the jitter comes after, so that it
//! spreads the load and does not move what is billed.
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound as _, TimeDelta, Utc};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::now;
use crate::organizations::{OrganizationStore, StoredCount};
use crate::report::UsageReport;
use crate::reporter::{Outcome, Reporter};

/// When instances report, UTC.
const HOUR_OF_DAY: u32 = 3;
/// Reports under way at once, of an instance that stands for many.
const MAX_CONCURRENT_REPORTS: usize = 16;
/// The longest sleep before the clock is looked at again: it may be set, and machines sleep too.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// Everything that the cron needs.
#[derive(Debug, Clone)]
pub struct Cron {
    /// Where users are counted.
    pub store: OrganizationStore,
    /// Where reports go.
    pub reporter: Reporter,
    /// The instance's host.
    pub instance_url: String,
    /// Reports wait for a random time of at most this.
    pub jitter: Duration,
}

/// What became of one organization's report.
#[derive(Debug, Serialize)]
pub struct CronResult {
    /// The organization.
    pub organization_id: Uuid,
    /// Number of users reported.
    pub user_count: i64,
    /// The moment of the count.
    pub timestamp: DateTime<Utc>,
    /// The days that the billing service lacks.
    #[serde(skip)]
    pub missing_days: Option<Vec<NaiveDate>>,
    /// Whether the billing service has it.
    pub success: bool,
    /// Its id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_id: Option<String>,
    /// How the organization stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_status: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Cron {
    /// Counts now, stores the counts, and reports what is not reported yet; then the days that the
    /// billing service lacks, where something was counted on them. Fails when the users cannot be
    /// counted.
    pub async fn run(&self) -> anyhow::Result<Vec<CronResult>> {
        let timestamp = now().trunc_subsecs(0);
        self.store.store_counts(timestamp).await?;
        let mut results = self
            .report_all(self.store.to_report(timestamp).await?)
            .await;
        let mut gaps = Vec::new();
        for result in &results {
            let days = result.missing_days.clone().unwrap_or_default();
            gaps.extend(self.store.counted_on(result.organization_id, days).await?);
        }
        let is_new = |count: &StoredCount| {
            !results.iter().any(|result| {
                (result.organization_id, result.timestamp) == (count.id, count.timestamp)
            })
        };
        gaps.retain(is_new);
        // Each answer names them.
        gaps.sort_by_key(|count| (count.id, count.timestamp));
        gaps.dedup();
        let filled = self.report_all(gaps).await;
        results.extend(filled);
        for result in results.iter().filter(|result| result.success) {
            self.store
                .settle(result.organization_id, result.timestamp)
                .await?;
        }
        Ok(results)
    }

    async fn report_all(&self, counts: Vec<StoredCount>) -> Vec<CronResult> {
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_REPORTS));
        let mut tasks = JoinSet::new();
        for count in counts {
            let report = UsageReport {
                organization_id: count.id,
                organization_name: count.name,
                instance_url: self.instance_url.clone(),
                user_count: count.user_count,
                timestamp: count.timestamp,
            };
            tasks.spawn(report_one(self.clone(), report, Arc::clone(&permits)));
        }
        let mut results = tasks.join_all().await;
        results.sort_by_key(|result| (result.organization_id, result.timestamp));
        results
    }

    /// Runs every day at 03:00 UTC, for ever. A run that fails is logged; the next day is another.
    pub async fn run_daily(self) {
        loop {
            let at = next_run(now());
            tracing::info!(%at, "the next report is due");
            while let Ok(left) = (at - now()).to_std() {
                tokio::time::sleep(left.min(MAX_SLEEP)).await;
            }
            match self.run().await {
                Ok(results) => {
                    let failed = results.iter().filter(|result| !result.success).count();
                    tracing::info!(reports = results.len(), failed, "the daily cron has run");
                }
                Err(error) => tracing::error!("the daily cron failed: {error:#}"),
            }
        }
    }

    /// The instance's HTTP server: `GET|POST /api/cron/usage-report` and `GET /healthz`.
    pub fn router(self, secret: SecretString) -> Router {
        let state = Arc::new(Route { cron: self, secret });
        Router::new()
            .route("/api/cron/usage-report", get(run_cron).post(run_cron))
            .route("/healthz", get(|| async { "ok" }))
            .with_state(state)
    }
}

struct Route {
    cron: Cron,
    secret: SecretString,
}

async fn run_cron(
    State(route): State<Arc<Route>>,
    headers: HeaderMap,
) -> (StatusCode, Json<serde_json::Value>) {
    if !authorized(&headers, &route.secret) {
        let body = serde_json::json!({"success": false, "error": "Unauthorized"});
        return (StatusCode::UNAUTHORIZED, Json(body));
    }
    match route.cron.run().await {
        Ok(results) => {
            let success = results.iter().all(|result| result.success);
            let status = if success {
                StatusCode::OK
            } else {
                StatusCode::BAD_GATEWAY
            };
            let body = serde_json::json!({"success": success, "reports": results});
            (status, Json(body))
        }
        Err(error) => {
            tracing::error!("cannot count the users: {error:#}");
            let body = serde_json::json!({"success": false, "error": "Cannot count the users"});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body))
        }
    }
}

/// Whether the request bears the secret. Takes as long for a good guess as for a bad one.
fn authorized(headers: &HeaderMap, secret: &SecretString) -> bool {
    let Some(given) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
    else {
        return false;
    };
    given.ct_eq(secret.expose_secret().as_bytes()).into()
}

async fn report_one(cron: Cron, report: UsageReport, permits: Arc<Semaphore>) -> CronResult {
    let jitter_ms = u64::try_from(cron.jitter.as_millis()).unwrap_or(u64::MAX - 1);
    let wait = rand::rng().next_u64() % (jitter_ms + 1);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    // The semaphore is never closed: without a permit the report is sent all the same.
    let _permit = permits.acquire().await;
    let mut result = CronResult {
        organization_id: report.organization_id,
        user_count: report.user_count,
        timestamp: report.timestamp,
        missing_days: None,
        success: false,
        report_id: None,
        organization_status: None,
        error: None,
    };
    match cron.reporter.report(&report).await {
        Ok(Outcome::Recorded {
            answer,
            attempts: _,
        }) => {
            result.success = true;
            result.missing_days = answer.missing_days;
            result.report_id = Some(answer.report_id);
            result.organization_status = Some(answer.organization_status);
        }
        Ok(Outcome::Refused { status, detail }) => {
            result.error = Some(format!("HTTP {status}: {detail}"));
        }
        Ok(Outcome::GaveUp { attempts, last }) => {
            result.error = Some(format!("gave up after {attempts} attempts: {last}"));
        }
        Err(error) => result.error = Some(format!("{error:#}")),
    }
    result
}

/// The next 03:00 UTC after this moment.
fn next_run(after: DateTime<Utc>) -> DateTime<Utc> {
    let at = NaiveTime::from_hms_opt(HOUR_OF_DAY, 0, 0).unwrap_or(NaiveTime::MIN);
    let today = after.date_naive().and_time(at).and_utc();
    if today > after {
        today
    } else {
        today + TimeDelta::days(1)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn the_cron_runs_at_three() {
        let at = |d, h, m| Utc.with_ymd_and_hms(2024, 11, d, h, m, 0).unwrap();
        assert_eq!(next_run(at(3, 2, 59)), at(3, 3, 0));
        assert_eq!(next_run(at(3, 3, 0)), at(4, 3, 0));
        assert_eq!(next_run(at(3, 12, 0)), at(4, 3, 0));
    }

    #[test]
    fn only_the_secret_opens() {
        let secret = SecretString::from("s3cret");
        let with =
            |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert!(authorized(&with("Bearer s3cret"), &secret));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cret2",
            "Bearer ",
            "s3cret",
            "Basic s3cret",
        ] {
            assert!(!authorized(&with(wrong), &secret), "{wrong}");
        }
        assert!(!authorized(&HeaderMap::new(), &secret));
    }
}
