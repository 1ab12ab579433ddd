//! Reports that are refused, as an admin sees them.

use std::net::IpAddr;

use billing_kit::Violation;
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::report::{RawReport, Report, parse_organization_id, source_address};

/// The longest message that is kept of a refusal, in characters.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Why a report was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// Another count is recorded for its time.
    Conflict,
    /// Fields are at fault.
    Rejected,
    /// The body could not be read, or its signature is not good.
    Unreadable,
}

impl RefusalReason {
    const ALL: [Self; 3] = [Self::Conflict, Self::Rejected, Self::Unreadable];

    /// The word that the database keeps.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Unreadable => "unreadable",
        }
    }

    /// The reason behind a word of the database.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// A report that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) organization_id: Uuid,
    pub(crate) refused_at: DateTime<Utc>,
    pub(crate) reason: RefusalReason,
    /// What was wrong, in sentences.
    pub(crate) message: String,
    /// Where it came from, where that is known.
    pub(crate) source: Option<IpAddr>,
}

impl Refusal {
    /// A report with these fields at fault, where its organization is legible.
    pub(crate) fn of_violations(
        raw: &RawReport,
        violations: &[Violation],
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let organization_id = parse_organization_id(&raw.organization_id).ok()?;
        let (reason, message) = if raw.unreadable_body.is_empty() {
            let each = violations.iter();
            let each = each.map(|it| format!("{}: {}", it.field, it.message));
            let all = each.collect::<Vec<_>>().join(" ");
            (RefusalReason::Rejected, all)
        } else {
            (RefusalReason::Unreadable, raw.unreadable_body.clone())
        };
        Some(Self {
            organization_id,
            refused_at: now,
            reason,
            message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
            source: source_address(&raw.source_address),
        })
    }

    /// A report with another count than the one that is recorded for its time.
    pub(crate) fn of_conflict(report: &Report, recorded: i32, now: DateTime<Utc>) -> Self {
        let at = report
            .reported_at
            .to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let count = report.content.user_count;
        Self {
            organization_id: report.organization_id,
            refused_at: now,
            reason: RefusalReason::Conflict,
            message: format!("It reports {count} users for {at}, but {recorded} are recorded."),
            source: report.source,
        }
    }
}
