//! How instances report, and the reports that are held, for the admin's eyes.

use billing_proto::{admin::v1::Organization, common::v1::HoldReason};
use chrono::{DateTime, TimeDelta, Utc};

use super::{time_text, words::by_name};

/// How long after the end of its period an invoice becomes final: what Stripe gives it as a draft.
const DRAFT_TIME: TimeDelta = TimeDelta::hours(1);
/// A held report whose deadline is nearer is urgent.
const URGENT: TimeDelta = TimeDelta::hours(24);

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
    by_name(reason.as_str_name(), "HOLD_REASON_").unwrap_or_default()
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
    let period_end = match time_text::known(organization.current_period_start_time) {
        Some(start) if reported_at < start => Some(start),
        Some(_) | None => time_text::known(organization.current_period_end_time),
    };
    period_end.map(|end| end + DRAFT_TIME)
}

/// Whether a held report has to be decided soon.
pub(crate) fn is_urgent(deadline: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    deadline <= now + URGENT
}
