//! How instances report, and the reports that are held, for the admin's eyes.

use billing_proto::common::v1::HoldReason;
use chrono::{DateTime, TimeDelta, Utc};

use super::organization::Organization;

/// How long after the end of its period an invoice becomes final: what Stripe gives it as a draft.
const DRAFT_TIME: TimeDelta = TimeDelta::hours(1);
/// A held report whose deadline is nearer is urgent.
const URGENT: TimeDelta = TimeDelta::hours(24);

/// Whether an instance reports as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportingState {
    /// Its next report is not due yet.
    OnTime,
    /// It missed its day.
    Late,
    /// It has missed more than that.
    Silent,
}

impl ReportingState {
    /// Every one of them.
    pub(crate) const ALL: [Self; 3] = [Self::OnTime, Self::Late, Self::Silent];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Silent => "silent",
        }
    }
}

/// What is to be watched of an organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// Whether it reports as it should; `None` where no report is expected, or this cannot be told
    /// now.
    pub state: Option<ReportingState>,
    /// When its next report is late.
    pub due_at: Option<DateTime<Utc>>,
    /// How many of its reports are held.
    pub held_count: i64,
}

/// Every reason why a report is held.
pub(crate) const HOLD_REASONS: [HoldReason; 6] = [
    HoldReason::CountJump,
    HoldReason::OtherUrl,
    HoldReason::CountDrop,
    HoldReason::NewNetwork,
    HoldReason::Unsigned,
    HoldReason::OtherKey,
];

/// The word of a reason, as it stands in REST and as the code of a held report.
pub(crate) fn hold_reason_word(reason: HoldReason) -> String {
    let name = reason.as_str_name();
    name.trim_start_matches("HOLD_REASON_").to_ascii_lowercase()
}

/// The reason behind a word.
pub(crate) fn parse_hold_reason(word: &str) -> Option<HoldReason> {
    let mut reasons = HOLD_REASONS.into_iter();
    reasons.find(|reason| hold_reason_word(*reason) == word)
}

/// When the invoice that a held report belongs on becomes final; `None` where that is not known.
pub(crate) fn hold_deadline(
    reported_at: DateTime<Utc>,
    organization: &Organization,
) -> Option<DateTime<Utc>> {
    // A report of an earlier period belongs on an invoice that ended, at the latest, where the
    // present one begins.
    let period_end = match organization.current_period_start {
        Some(start) if reported_at < start => Some(start),
        Some(_) | None => organization.current_period_end,
    };
    period_end.map(|end| end + DRAFT_TIME)
}

/// Whether a held report has to be decided soon.
pub(crate) fn is_urgent(deadline: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    deadline <= now + URGENT
}
