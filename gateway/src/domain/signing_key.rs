//! The keys that signed an organization's reports, for the admin's eyes.

use chrono::{DateTime, Utc};

/// A key that signed reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningKey {
    /// What the customer reads out.
    pub fingerprint: String,
    /// When it first signed a report.
    pub first_seen_at: DateTime<Utc>,
    /// When it last did.
    pub last_seen_at: DateTime<Utc>,
    /// On how many UTC days it did; of a pinned key until it was pinned.
    pub day_count: i32,
    /// Whether reports that it did not sign are held.
    pub is_pinned: bool,
}

/// The keys of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SigningKeys {
    /// The pinned one first, then those seen on most days.
    pub keys: Vec<SigningKey>,
    /// The fingerprint of a key that an admin confirmed before it signed a report.
    pub awaited_fingerprint: Option<String>,
    /// When a key was pinned.
    pub pinned_at: Option<DateTime<Utc>>,
}
