//! Whether a refused report can take the place of the one that is recorded for its time, and how.
//!
//! What was never on its way to Stripe is written over. What Stripe answered to keeps its event: the
//! other count follows as a later report of the same UTC day, which counts in its place by the day rule.
//! So a day is billed once, whatever is replaced.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    delivery::{DeliveryState, state_at_recording},
    standing::Standing,
};

/// The report that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) state: DeliveryState,
    pub(crate) reported_at: DateTime<Utc>,
    /// Whether its event may have reached Stripe.
    pub(crate) was_under_way: bool,
    /// The time of the last report that was put in its place, or its own.
    pub(crate) last_reported_at: DateTime<Utc>,
}

/// How the other count takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Written over, in this state.
    InPlace(DeliveryState),
    /// As a later report of this time, in this state.
    Later(DateTime<Utc>, DeliveryState),
}

/// Decides how a recorded report of an organization that stands like this is replaced.
///
/// # Errors
/// A sentence that says why it cannot be.
pub(crate) fn judge(
    recorded: &Recorded,
    standing: &Standing,
    now: DateTime<Utc>,
) -> Result<Replacement, &'static str> {
    let target = state_at_recording(standing, recorded.reported_at, now);
    if target == DeliveryState::MissedInvoice {
        return Err("The invoice of its period is final.");
    }
    match recorded.state {
        DeliveryState::MissedInvoice => Err("The invoice of its period is final."),
        DeliveryState::Queued if recorded.was_under_way => {
            Err("The recorded report is on its way to Stripe. Try again in a moment.")
        }
        // A later report of its day counts.
        DeliveryState::Superseded => Ok(Replacement::InPlace(DeliveryState::Superseded)),
        DeliveryState::Sent | DeliveryState::Refused => later(recorded, standing, now),
        DeliveryState::Waiting
        | DeliveryState::Queued
        | DeliveryState::NotBilled
        | DeliveryState::TooLate
        | DeliveryState::Held => {
            if recorded.was_under_way && target == DeliveryState::Queued {
                later(recorded, standing, now)
            } else {
                Ok(Replacement::InPlace(target))
            }
        }
    }
}

fn later(
    recorded: &Recorded,
    standing: &Standing,
    now: DateTime<Utc>,
) -> Result<Replacement, &'static str> {
    // The database keeps microseconds.
    let at = recorded.last_reported_at + TimeDelta::microseconds(1);
    if at.date_naive() != recorded.reported_at.date_naive() {
        return Err("Its UTC day has no later timestamp left.");
    }
    match state_at_recording(standing, at, now) {
        DeliveryState::MissedInvoice => Err("The invoice of its period is final."),
        DeliveryState::TooLate => {
            Err("Stripe does not accept usage that is more than 35 days old.")
        }
        DeliveryState::NotBilled => Err(
            "The recorded report was sent, and its organization is no longer billed for its time.",
        ),
        state @ (DeliveryState::Queued
        | DeliveryState::Waiting
        | DeliveryState::Sent
        | DeliveryState::Superseded
        | DeliveryState::Refused
        | DeliveryState::Held) => Ok(Replacement::Later(at, state)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        delivery::AGE_MAX,
        standing::{Drain, SubscriptionStatus},
    };

    fn now() -> DateTime<Utc> {
        "2026-03-31T12:00:00Z".parse().unwrap()
    }

    /// Two days old, of a subscription that began 60 days ago.
    fn verdict(change: impl FnOnce(&mut Recorded, &mut Standing)) -> String {
        let at = now() - TimeDelta::days(2);
        let mut recorded = Recorded {
            state: DeliveryState::Sent,
            reported_at: at,
            was_under_way: true,
            last_reported_at: at,
        };
        let mut standing = Standing {
            status: SubscriptionStatus::Active,
            stripe_customer_id: Some("cus_1".to_owned()),
            billing_start_at: Some(now() - TimeDelta::days(60)),
            billable: true,
            version: 1,
            ..Standing::unknown(Uuid::nil())
        };
        change(&mut recorded, &mut standing);
        match judge(&recorded, &standing, now()) {
            Ok(Replacement::InPlace(state)) => format!("in place: {}", state.as_str()),
            Ok(Replacement::Later(at, state)) => {
                assert!(at > recorded.last_reported_at);
                assert_eq!(at.date_naive(), recorded.reported_at.date_naive());
                format!("later: {}", state.as_str())
            }
            Err(why) => why.to_owned(),
        }
    }

    #[test]
    fn what_was_never_sent_is_written_over_and_what_was_is_followed_by_a_later_one() {
        use DeliveryState::{
            Held, MissedInvoice, NotBilled, Queued, Refused, Sent, Superseded, TooLate, Waiting,
        };
        for (state, was_under_way, expected) in [
            (Waiting, false, "in place: queued"),
            (Held, false, "in place: queued"),
            (Queued, false, "in place: queued"),
            (Superseded, false, "in place: superseded"),
            // Discarded.
            (NotBilled, false, "in place: queued"),
            (TooLate, true, "later: queued"),
            (Sent, true, "later: queued"),
            (Refused, true, "later: queued"),
        ] {
            let found = verdict(|it, _| {
                it.state = state;
                it.was_under_way = was_under_way;
            });
            assert_eq!(found, expected, "{state:?}");
        }
        let under_way = verdict(|it, _| it.state = Queued);
        assert!(under_way.contains("on its way"), "{under_way}");
        let missed = verdict(|it, _| it.state = MissedInvoice);
        assert!(missed.contains("is final"), "{missed}");
    }

    #[test]
    fn nothing_is_replaced_that_could_bill_wrongly() {
        let at = |days| now() - TimeDelta::days(days);
        let old = now() - AGE_MAX - TimeDelta::seconds(1);
        let midnight: DateTime<Utc> = "2026-03-29T23:59:59.999999Z".parse().unwrap();
        for state in [
            DeliveryState::Sent,
            DeliveryState::Held,
            DeliveryState::Waiting,
        ] {
            let invoiced = verdict(|it, standing| {
                it.state = state;
                standing.invoiced_until = Some(at(1));
            });
            assert!(invoiced.contains("is final"), "{state:?}: {invoiced}");
        }
        let too_old = verdict(|it, _| (it.reported_at, it.last_reported_at) = (old, old));
        let before = verdict(|_, standing| standing.billing_start_at = Some(at(1)));
        let last = verdict(|it, _| it.last_reported_at = midnight);
        let drained = verdict(|_, standing| standing.drain = Drain::Drained);
        let pending = verdict(|it, standing| {
            it.state = DeliveryState::Waiting;
            it.was_under_way = false;
            *standing = Standing::unknown(Uuid::nil());
        });
        for (found, part) in [
            (too_old, "35 days"),
            (before, "no longer billed for its time"),
            (last, "no later timestamp"),
            (drained, "later: waiting"),
            (pending, "in place: waiting"),
        ] {
            assert!(found.contains(part), "{found}, not {part}");
        }
    }
}
