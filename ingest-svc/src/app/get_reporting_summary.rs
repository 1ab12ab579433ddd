//! `GetReportingSummary`: how the instances report, as a whole.

use std::time::Duration;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Days, Utc};

use super::{count_days::DAYS_MAX, list_held_reports::urgent_before};
use crate::{
    Parts,
    store::summary::{self, Counts, Total, UsageDay},
};

/// How the instances report.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) counts: Counts,
    /// None before users were counted first.
    pub(crate) total: Option<Total>,
    /// The earliest first.
    pub(crate) days: Vec<UsageDay>,
    /// The moment that it is of.
    pub(crate) now: DateTime<Utc>,
}

/// Sums up.
pub(crate) async fn get_reporting_summary(parts: &Parts) -> Result<Summary, Fault> {
    let now = parts.deps.clock.now();
    let from = now.date_naive() - Days::new(DAYS_MAX - 1);
    let (counts, total, days) = tokio::try_join!(
        count(parts, now),
        async { summary::total(&parts.db).await.map_err(db_fault) },
        async { summary::days(&parts.db, from).await.map_err(db_fault) },
    )?;
    Ok(Summary {
        counts,
        total,
        days,
        now,
    })
}

/// Counts as of now, how long the oldest report in the queue has waited (zero when none does), and what
/// was counted last of all organizations.
pub(crate) async fn count_now(parts: &Parts) -> Result<(Counts, Duration, Option<Total>), Fault> {
    let now = parts.deps.clock.now();
    let counts = count(parts, now).await?;
    let age = counts.oldest_queued_at.map(|at| now - at);
    let age = age.and_then(|age| age.to_std().ok()).unwrap_or_default();
    let total = summary::total(&parts.db).await.map_err(db_fault)?;
    Ok((counts, age, total))
}

/// What an index holds of the late, the silent, the held, the refused and the queued.
async fn count(parts: &Parts, now: DateTime<Utc>) -> Result<Counts, Fault> {
    let (late, silent) = (
        now - parts.patience.late_after,
        now - parts.patience.silent_after,
    );
    summary::counts(&parts.db, late, silent, urgent_before(now))
        .await
        .map_err(db_fault)?
        .ok_or_else(|| Fault::internal("the counts gave no row"))
}
