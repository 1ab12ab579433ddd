//! Whether a report that Stripe refused may be sent once more, now that a person may have mended what
//! it was refused for.
//!
//! Stripe has answered to its event, so that event is under way no more, and the next one has the same
//! identifier. What could go wrong is what comes beside it: a later report of its day that it would
//! overwrite, an invoice that is final, another customer.

use chrono::{DateTime, Utc};

use super::{
    delivery::{DeliveryState, state_at_recording},
    standing::Standing,
};

/// A report that is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retriable {
    pub(crate) state: DeliveryState,
    pub(crate) reported_at: DateTime<Utc>,
    /// The customer that it was refused for; none where that was not kept.
    pub(crate) sent_customer_id: Option<String>,
    /// Whether a later report of its UTC day was sent, or is to be.
    pub(crate) is_replaced: bool,
}

/// What is to be done with a report that an admin wants to have sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Queue it.
    Queue,
    /// Bring it to this state: it is not to be sent any more, and nobody has to see to it.
    Settle(DeliveryState),
    /// Nothing: it is on its way, or settled.
    Nothing,
    /// It cannot be; the sentence says why.
    Refuse(&'static str),
}

/// Decides on a report of an organization that stands like this: as if it came now, since its time may
/// have passed meanwhile, or a later report of its day been sent.
pub(crate) fn judge(report: &Retriable, standing: &Standing, now: DateTime<Utc>) -> Retry {
    match report.state {
        DeliveryState::Refused => {}
        DeliveryState::Queued
        | DeliveryState::Sent
        | DeliveryState::Superseded
        | DeliveryState::NotBilled
        | DeliveryState::TooLate
        | DeliveryState::MissedInvoice => return Retry::Nothing,
        DeliveryState::Waiting | DeliveryState::Held => {
            return Retry::Refuse("Stripe did not refuse it.");
        }
    }
    if report.is_replaced {
        return Retry::Settle(DeliveryState::Superseded);
    }
    let refused_for = report.sent_customer_id.as_ref();
    let is_same = refused_for.is_none_or(|it| Some(it) == standing.stripe_customer_id.as_ref());
    match state_at_recording(standing, report.reported_at, now) {
        DeliveryState::Queued if is_same => Retry::Queue,
        // Its identifier stands for that customer for good.
        DeliveryState::Queued => {
            Retry::Refuse("Stripe refused it for a customer that its organization no longer has.")
        }
        state @ (DeliveryState::TooLate
        | DeliveryState::MissedInvoice
        | DeliveryState::NotBilled) => Retry::Settle(state),
        DeliveryState::Waiting
        | DeliveryState::Sent
        | DeliveryState::Superseded
        | DeliveryState::Refused
        | DeliveryState::Held => {
            Retry::Refuse("Its organization cannot be billed in its current state.")
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        delivery::AGE_MAX,
        standing::{Drain, SubscriptionStatus},
    };

    fn now() -> DateTime<Utc> {
        "2026-03-31T12:00:00Z".parse().unwrap()
    }

    /// Refused two days ago, of a subscription that began 60 days ago.
    fn case() -> (Retriable, Standing) {
        let report = Retriable {
            state: DeliveryState::Refused,
            reported_at: now() - TimeDelta::days(2),
            sent_customer_id: Some("cus_1".to_owned()),
            is_replaced: false,
        };
        let standing = Standing {
            status: SubscriptionStatus::Active,
            stripe_customer_id: Some("cus_1".to_owned()),
            billing_start_at: Some(now() - TimeDelta::days(60)),
            billable: true,
            version: 1,
            ..Standing::unknown(Uuid::nil())
        };
        (report, standing)
    }

    fn verdict(change: impl FnOnce(&mut Retriable, &mut Standing)) -> String {
        let (mut report, mut standing) = case();
        change(&mut report, &mut standing);
        match judge(&report, &standing, now()) {
            Retry::Queue => "queue".to_owned(),
            Retry::Settle(state) => state.as_str().to_owned(),
            Retry::Nothing => "nothing".to_owned(),
            Retry::Refuse(why) => why.to_owned(),
        }
    }

    #[test]
    fn what_is_owed_and_was_refused_is_queued_once() {
        assert_eq!(verdict(|_, _| {}), "queue");
        assert_eq!(verdict(|it, _| it.sent_customer_id = None), "queue");
        for state in [
            DeliveryState::Queued,
            DeliveryState::Sent,
            DeliveryState::Superseded,
            DeliveryState::NotBilled,
            DeliveryState::TooLate,
            DeliveryState::MissedInvoice,
        ] {
            assert_eq!(verdict(|it, _| it.state = state), "nothing", "{state:?}");
        }
    }

    #[test]
    fn nothing_is_sent_that_could_bill_wrongly() {
        let at = |days| now() - TimeDelta::days(days);
        let replaced = verdict(|it, _| it.is_replaced = true);
        let old = verdict(|it, _| it.reported_at = now() - AGE_MAX - TimeDelta::seconds(1));
        let invoiced = verdict(|_, standing| standing.invoiced_until = Some(at(1)));
        let before = verdict(|_, standing| standing.billing_start_at = Some(at(1)));
        let ended = verdict(|_, standing| standing.billing_end_at = Some(at(3)));
        let drained = verdict(|_, standing| standing.drain = Drain::Drained);
        let paused = verdict(|_, standing| {
            standing.status = SubscriptionStatus::Paused;
            standing.billable = false;
        });
        let other = verdict(|_, standing| standing.stripe_customer_id = Some("cus_2".to_owned()));
        let held = verdict(|it, _| it.state = DeliveryState::Held);
        for (found, expected) in [
            (replaced, "superseded"),
            (old, "too_late"),
            (invoiced, "missed_invoice"),
            (before, "not_billed"),
            (ended, "not_billed"),
            (drained, "Its organization cannot be billed"),
            (paused, "Its organization cannot be billed"),
            (other, "Stripe refused it for a customer"),
            (held, "Stripe did not refuse it."),
        ] {
            assert!(found.starts_with(expected), "{found}, not {expected}");
        }
    }
}
