//! Where Stripe's books differ from ours, for the admin's eyes.

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

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FindingKind {
    /// A UTC day: what was reported, and what Stripe's meter counts.
    MeterDay,
    /// A UTC day whose report came after its invoice was final.
    MissedInvoice,
    /// The period of a final invoice: what was sent, and what is invoiced.
    Invoice,
}

/// Where Stripe's books differ from ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub organization_id: Uuid,
    /// What differs.
    pub kind: FindingKind,
    /// The day's first moment; of an invoice, of the day that its period begins on.
    pub day_start: DateTime<Utc>,
    /// The first moment that it is of.
    pub period_start: DateTime<Utc>,
    /// The first moment after that.
    pub period_end: DateTime<Utc>,
    /// The invoice, where it is of one.
    pub stripe_invoice_id: Option<String>,
    /// Seats that our books say, of a period seat-days; 0 where there are none.
    pub expected: i64,
    /// What Stripe's books say: a decimal number.
    pub found: String,
    /// How often the day's report was sent to Stripe again for it.
    pub resend_count: i32,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen_at: DateTime<Utc>,
    /// When it was seen no more; `None` while it is open.
    pub resolved_at: Option<DateTime<Utc>>,
    /// That a person marked it as seen, unless its numbers changed since.
    pub dismissal: Option<Dismissal>,
}

/// Who marked a finding as seen, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dismissal {
    /// When.
    pub at: DateTime<Utc>,
    /// The admin's e-mail address.
    pub by: String,
    /// Why.
    pub reason: String,
}
