//! Where a report is on its way to Stripe, and what moves it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::standing::{Drain, Standing, SubscriptionStatus};

/// Stripe takes no meter event that is older.
pub(crate) const AGE_MAX: TimeDelta = TimeDelta::days(35);

const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Where a report is. The proto file says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    Waiting,
    Queued,
    Sent,
    Superseded,
    Refused,
    NotBilled,
    TooLate,
    Held,
    MissedInvoice,
}

impl DeliveryState {
    const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Queued,
        Self::Sent,
        Self::Superseded,
        Self::Refused,
        Self::NotBilled,
        Self::TooLate,
        Self::Held,
        Self::MissedInvoice,
    ];

    /// The word that the database keeps.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::NotBilled => "not_billed",
            Self::TooLate => "too_late",
            Self::Held => "held",
            Self::MissedInvoice => "missed_invoice",
        }
    }

    /// The state behind a word of the database.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Where a report belongs, given how its organization stands: when it is recorded, and again, while
/// it was not on its way yet, whenever the organization stands differently.
///
/// It is judged by its own time, not by when we learned of anything: so it makes no difference to
/// what is billed whether the end of a subscription, or a pause, is learned early or late.
pub(crate) fn state_at_recording(
    standing: &Standing,
    reported_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> DeliveryState {
    if let Some(state) = settled_by_its_moment(standing, reported_at) {
        return state;
    }
    match (standing.billable, standing.billing_start_at) {
        (true, Some(_)) if reported_at < now - AGE_MAX => DeliveryState::TooLate,
        (true, Some(_)) => match standing.drain {
            Drain::None | Drain::Draining => DeliveryState::Queued,
            // It came after everything was delivered for the last invoice. Should the subscription go
            // on after all, it is looked at again.
            Drain::Drained => DeliveryState::Waiting,
        },
        // org-svc calls nothing billable that has no start; should it, a person must look.
        (true, None) => DeliveryState::Waiting,
        (false, _) => match standing.status {
            // Not linked yet, or its first payment is open: a link that we learn of later may have
            // begun before this report.
            SubscriptionStatus::Pending | SubscriptionStatus::Incomplete => DeliveryState::Waiting,
            // Linked, and something keeps it from being billed: a person mends that.
            SubscriptionStatus::Trial
            | SubscriptionStatus::Active
            | SubscriptionStatus::PastDue
            | SubscriptionStatus::Unpaid => DeliveryState::Waiting,
            // Stripe takes usage of a pause and never invoices it, so waiting costs nobody anything;
            // and a resumption that is learned late loses nothing.
            SubscriptionStatus::Paused => DeliveryState::Waiting,
            // Nothing is owed for this time, or there is nobody left to owe it.
            SubscriptionStatus::Canceled | SubscriptionStatus::IncompleteExpired => {
                DeliveryState::NotBilled
            }
        },
    }
}

/// What a report's own time says for good.
fn settled_by_its_moment(standing: &Standing, reported_at: DateTime<Utc>) -> Option<DeliveryState> {
    let start = standing.billing_start_at?;
    let is_over = standing
        .billing_end_at
        .is_some_and(|end| reported_at >= end);
    if reported_at < start || is_over {
        return Some(DeliveryState::NotBilled);
    }
    // Stripe would take it and put it on no invoice, neither this one nor the next.
    standing
        .is_invoiced(reported_at)
        .then_some(DeliveryState::MissedInvoice)
}

/// When a queued report is first tried: at once, but never before its own moment, which may be a few
/// minutes ahead.
pub(crate) fn first_attempt_at(reported_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    reported_at.max(now)
}

/// The meter event's identifier: a function of the stored report, so that every attempt at it, by
/// whomever, is the same event to Stripe.
pub(crate) fn meter_event_identifier(report_id: Uuid) -> String {
    format!("ur_{}", report_id.simple())
}

/// How long to wait after a number of attempts that settled nothing, before jitter.
pub(crate) fn backoff(attempt_count: i32) -> Duration {
    let doublings = u32::try_from(attempt_count.saturating_sub(1))
        .unwrap_or(0)
        .min(16);
    BACKOFF_BASE.saturating_mul(1 << doublings).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn standing(status: SubscriptionStatus, billable: bool) -> Standing {
        Standing {
            organization_id: Uuid::nil(),
            status,
            deployment_type: None,
            stripe_customer_id: billable.then(|| "cus_1".to_owned()),
            billing_start_at: billable.then(|| time("2026-03-01T10:00:00Z")),
            billable,
            version: 1,
            ..Standing::unknown(Uuid::nil())
        }
    }

    /// A subscription that began on the 1st of March at 10:00.
    fn state_of(change: impl FnOnce(&mut Standing), reported_at: &str) -> DeliveryState {
        let mut standing = standing(SubscriptionStatus::Active, true);
        change(&mut standing);
        state_at_recording(&standing, time(reported_at), time("2026-04-02T00:00:00Z"))
    }

    #[test]
    fn what_ended_owes_what_came_before_its_end_and_no_more() {
        let ended = |at: &str| {
            state_of(
                |it| {
                    it.status = SubscriptionStatus::Canceled;
                    it.billing_end_at = Some(time("2026-03-20T12:00:00Z"));
                },
                at,
            )
        };
        assert_eq!(ended("2026-03-20T11:59:59.999999Z"), DeliveryState::Queued);
        assert_eq!(ended("2026-03-20T12:00:00Z"), DeliveryState::NotBilled);
        assert_eq!(ended("2026-03-01T09:00:00Z"), DeliveryState::NotBilled);
    }

    #[test]
    fn what_comes_after_its_invoice_is_missed_but_never_what_was_free() {
        let invoiced = |at: &str| {
            state_of(
                |it| {
                    it.trial_end_at = Some(time("2026-03-05T10:00:00Z"));
                    it.invoiced_until = Some(time("2026-04-01T10:00:00Z"));
                },
                at,
            )
        };
        for (at, expected) in [
            ("2026-03-01T09:59:59Z", DeliveryState::NotBilled),
            ("2026-03-05T09:59:59.999999Z", DeliveryState::Queued),
            ("2026-03-05T10:00:00Z", DeliveryState::MissedInvoice),
            ("2026-04-01T09:59:59.999999Z", DeliveryState::MissedInvoice),
            ("2026-04-01T10:00:00Z", DeliveryState::Queued),
        ] {
            assert_eq!(invoiced(at), expected, "{at}");
        }
    }

    #[test]
    fn what_is_billed_begins_with_the_subscription() {
        let linked = standing(SubscriptionStatus::Trial, true);
        let now = time("2026-03-02T00:00:00Z");
        let state = |at| state_at_recording(&linked, time(at), now);
        assert_eq!(
            state("2026-03-01T09:59:59.999999Z"),
            DeliveryState::NotBilled
        );
        assert_eq!(state("2026-03-01T10:00:00Z"), DeliveryState::Queued);
    }

    #[test]
    fn what_stripe_would_refuse_for_its_age_is_kept_and_marked() {
        let linked = standing(SubscriptionStatus::Active, true);
        let now = time("2026-05-01T00:00:00Z");
        let state = |at| state_at_recording(&linked, at, now);
        assert_eq!(state(now - AGE_MAX), DeliveryState::Queued);
        assert_eq!(
            state(now - AGE_MAX - TimeDelta::seconds(1)),
            DeliveryState::TooLate
        );
    }

    #[test]
    fn without_a_billable_subscription_a_report_waits_or_is_free() {
        use SubscriptionStatus::{
            Active, Canceled, Incomplete, IncompleteExpired, PastDue, Paused, Pending, Trial,
            Unpaid,
        };
        let now = time("2026-03-02T00:00:00Z");
        let state = |status| state_at_recording(&standing(status, false), now, now);
        for status in [Pending, Incomplete, Trial, Active, PastDue, Unpaid, Paused] {
            assert_eq!(state(status), DeliveryState::Waiting, "{status:?}");
        }
        for status in [Canceled, IncompleteExpired] {
            assert_eq!(state(status), DeliveryState::NotBilled, "{status:?}");
        }
    }

    #[test]
    fn what_comes_after_the_drain_waits_and_nothing_else_does() {
        let now = time("2026-03-02T00:00:00Z");
        let state = |drain, at| {
            let standing = Standing {
                drain,
                ..standing(SubscriptionStatus::Active, true)
            };
            state_at_recording(&standing, at, now)
        };
        for (drain, expected) in [
            (Drain::None, DeliveryState::Queued),
            (Drain::Draining, DeliveryState::Queued),
            (Drain::Drained, DeliveryState::Waiting),
        ] {
            assert_eq!(state(drain, now), expected, "{drain:?}");
            let before = now - TimeDelta::days(2);
            assert_eq!(state(drain, before), DeliveryState::NotBilled);
        }
    }

    #[test]
    fn nothing_is_sent_before_its_own_moment() {
        let now = time("2026-03-02T00:00:00Z");
        assert_eq!(
            first_attempt_at(now + TimeDelta::minutes(3), now),
            now + TimeDelta::minutes(3)
        );
        assert_eq!(first_attempt_at(now - TimeDelta::minutes(3), now), now);
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        assert_eq!(backoff(1), BACKOFF_BASE);
        assert_eq!(backoff(3), BACKOFF_BASE * 4);
        assert_eq!(backoff(i32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn an_identifier_fits_stripes_limit() {
        const IDENTIFIER_CHARS_MAX: usize = 100;
        assert!(meter_event_identifier(Uuid::max()).len() <= IDENTIFIER_CHARS_MAX);
    }
}
