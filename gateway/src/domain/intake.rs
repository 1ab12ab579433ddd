//! Where an organization's reports come from, and what of them was refused, for the admin's eyes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// How an organization's reports come in.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    /// Those that were seen last first.
    pub networks: Vec<SourceNetwork>,
    /// Those that came last first.
    pub conflicts: Vec<RefusedConflict>,
    /// The last report that was refused, whatever for.
    pub last_refusal: Option<LastRefusal>,
}

/// A network that recorded reports came from.
#[derive(Debug, Clone)]
pub(crate) struct SourceNetwork {
    /// For example `203.0.113.0/24`.
    pub network: String,
    /// When a report came from there first.
    pub first_seen_at: DateTime<Utc>,
    /// When one did last.
    pub last_seen_at: DateTime<Utc>,
    /// How many did.
    pub report_count: i64,
    /// Whether a further report of a day from there may raise its count.
    pub is_known: bool,
}

/// A report that was refused because another count is recorded for its time.
#[derive(Debug, Clone)]
pub(crate) struct RefusedConflict {
    /// Its id.
    pub id: Uuid,
    /// The moment that the count is of.
    pub reported_at: DateTime<Utc>,
    /// Number of users (seats) that it reports.
    pub user_count: i64,
    /// The number that is recorded; `None` while the recorded one waits for org-svc.
    pub recorded_user_count: Option<i64>,
    /// The name in it.
    pub organization_name: String,
    /// The URL in it.
    pub instance_url: String,
    /// Where it came from last, as long as that is kept.
    pub source_address: Option<String>,
    /// When it came first.
    pub first_refused_at: DateTime<Utc>,
    /// When it came last.
    pub last_refused_at: DateTime<Utc>,
    /// How often it came.
    pub refused_count: i64,
    /// When it was put in the place of the recorded one, and the report that has its count since.
    pub replaced: Option<(DateTime<Utc>, Uuid)>,
}

/// Why a report was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// Another count is recorded for its time.
    Conflict,
    /// Fields are at fault.
    Rejected,
    /// The body could not be read.
    Unreadable,
}

/// The last report that was refused.
#[derive(Debug, Clone)]
pub(crate) struct LastRefusal {
    /// When.
    pub refused_at: DateTime<Utc>,
    /// Why.
    pub reason: RefusalReason,
    /// The same in sentences.
    pub message: String,
    /// Where it came from, as long as that is kept.
    pub source_address: Option<String>,
}
