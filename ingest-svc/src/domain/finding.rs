//! Findings: where Stripe's books differ from ours, and what a person said of it.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

const REASON_CHARS_MAX: usize = 500;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FindingKind {
    /// A UTC day: what was reported, and what the meter counts.
    MeterDay,
    /// A UTC day whose report came too late for its invoice: what it says, and what was sent before.
    MissedInvoice,
    /// The period of a final invoice: the days that were sent, and the quantity of its lines.
    Invoice,
}

impl FindingKind {
    const ALL: [Self; 3] = [Self::MeterDay, Self::MissedInvoice, Self::Invoice];

    /// The word that the database keeps.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::MeterDay => "meter_day",
            Self::MissedInvoice => "missed_invoice",
            Self::Invoice => "invoice",
        }
    }

    /// The kind behind a word of the database.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) kind: FindingKind,
    /// The UTC day that it is of; of an invoice the day that its period begins on.
    pub(crate) day: NaiveDate,
    pub(crate) period_start_at: DateTime<Utc>,
    pub(crate) period_end_at: DateTime<Utc>,
    /// Of an invoice.
    pub(crate) stripe_invoice_id: Option<String>,
    /// Seats, or seat-days of a period.
    pub(crate) expected: i64,
    /// A decimal number.
    pub(crate) found: String,
    pub(crate) resend_count: i32,
    pub(crate) first_seen_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    pub(crate) resolved_at: Option<DateTime<Utc>>,
    pub(crate) dismissal: Option<Dismissal>,
}

/// That a person has seen a finding and leaves it as it is. It ends when the numbers change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dismissal {
    pub(crate) at: DateTime<Utc>,
    /// The admin's e-mail address.
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// Why a finding is dismissed: 1 to 500 characters, for those who come later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DismissReason(String);

impl DismissReason {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let chars = text.chars().count();
        if text.is_empty() {
            Err("It is missing or empty.".to_owned())
        } else if chars > REASON_CHARS_MAX {
            Err(format!(
                "It has {chars} characters; the maximum is {REASON_CHARS_MAX}."
            ))
        } else if text.contains('\0') {
            Err("It has a character that cannot be stored.".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_kinds_match_both_ways() {
        for kind in FindingKind::ALL {
            assert_eq!(FindingKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(FindingKind::parse("day"), None);
    }

    #[test]
    fn a_reason_is_there_and_of_bounded_length() {
        assert_eq!(DismissReason::parse(" seen ").unwrap().as_str(), "seen");
        assert!(DismissReason::parse(&"é".repeat(REASON_CHARS_MAX)).is_ok());
        for bad in ["", "  ", "a\0b", &"é".repeat(REASON_CHARS_MAX + 1)] {
            assert!(DismissReason::parse(bad).is_err(), "{bad:?}");
        }
    }
}
