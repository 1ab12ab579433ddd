//! Where Stripe's meter differs from what was reported, for the admin's eyes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// How reconciliation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reconciliation {
    /// When the last pass over all linked organizations ended; `None` before the first.
    pub last_full_pass_at: Option<DateTime<Utc>>,
    /// How many organizations that pass could not compare.
    pub skipped_count: i32,
    /// When the pass under way began; `None` between two.
    pub pass_started_at: Option<DateTime<Utc>>,
    /// How many findings are open.
    pub open_finding_count: i64,
}

/// A UTC day on which the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whose day.
    pub organization_id: Uuid,
    /// The day's first moment.
    pub day_start: DateTime<Utc>,
    /// Seats that the day's counted report says; 0 where there is none.
    pub expected: i64,
    /// What Stripe's meter counts: a decimal number.
    pub found: String,
    /// How often the day's report was sent to Stripe again for it.
    pub resend_count: i32,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen_at: DateTime<Utc>,
    /// When it was seen no more; `None` while it is open.
    pub resolved_at: Option<DateTime<Utc>>,
}
