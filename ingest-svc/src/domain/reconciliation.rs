//! What Stripe's meter must count, by what was reported, and what is done where it does not.
//!
//! A resend keeps the report's identifier, and is harmless for two reasons that hold at different
//! times. For 24 hours at least Stripe knows the identifier: if it has the event, it says so and
//! counts nothing, and only an event that it truly lost counts. After that the identifier is new to
//! Stripe; but the meter has a window of a UTC day, in which the event received last counts, and the
//! report is the newest of its day: it puts the day's own count in the place of whatever is there.
//! What it could do is overwrite a correction that a person made in Stripe. So a report is sent again
//! only where the meter counts nothing, or what is provably ours: an earlier report of the day. Where
//! Stripe counts more, or anything else, nothing is touched and a person is shown both numbers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{
    delivery::{AGE_MAX, DeliveryState},
    standing::is_invoiced,
};

/// How long a delivery must be over before the meter is expected to count it: Stripe counts what it
/// took in a little later than it takes it.
pub(crate) const SETTLING_TIME: TimeDelta = TimeDelta::minutes(10);
/// How often a report is sent again; what is missing then, a person must look at.
pub(crate) const RESENDS_MAX: i32 = 3;
/// Between two resends of a report: by then Stripe, which remembers an identifier for 24 hours and
/// may do so for an event that it dropped, has forgotten it.
pub(crate) const RESEND_PAUSE: TimeDelta = TimeDelta::hours(25);

/// A UTC day in our books: its report with the greatest timestamp of those that may count.
#[derive(Debug, Clone)]
pub(crate) struct LedgerDay {
    pub(crate) day: NaiveDate,
    pub(crate) report_id: Uuid,
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) state: DeliveryState,
    pub(crate) settled_at: Option<DateTime<Utc>>,
    pub(crate) resend_count: i32,
    /// The counts of the day's earlier reports that Stripe accepted.
    pub(crate) earlier_counts: Vec<i32>,
    /// Whether an older system may have sent events of this day, by rules that are not ours.
    pub(crate) has_adopted: bool,
}

/// How the organization stands, and what the meter allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// A moment before Stripe was asked: what was settled after it may be missing from the answer.
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) billable: bool,
    /// Whether to send a day's newest event again changes no other day.
    pub(crate) resend_safe: bool,
    /// Up to where its subscription was invoiced for good.
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
    /// The end of its trial, whose usage is free.
    pub(crate) trial_end_at: Option<DateTime<Utc>>,
}

/// A day on which the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) day: NaiveDate,
    /// 0 where nothing was reported that may count.
    pub(crate) expected: i32,
    /// 0 where the meter counts nothing.
    pub(crate) found: Decimal,
    /// The report to send again, where that is safe.
    pub(crate) resend: Option<Uuid>,
    /// How often the day's report was sent again before.
    pub(crate) resend_count: i32,
}

/// What a comparison brings. A day that is neither agrees.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) differences: Vec<Difference>,
    /// Days that cannot be judged yet.
    pub(crate) unsettled: BTreeSet<NaiveDate>,
    /// Reports that Stripe accepted, does not count, and will put on no invoice any more.
    pub(crate) missed: Vec<Uuid>,
}

/// Compares our books with the meter, day by day.
pub(crate) fn compare(
    ledger: &[LedgerDay],
    found: &BTreeMap<NaiveDate, Decimal>,
    terms: Terms,
) -> Comparison {
    let mut comparison = Comparison::default();
    let ours: BTreeMap<_, _> = ledger.iter().map(|it| (it.day, it)).collect();
    let days: BTreeSet<_> = ours.keys().chain(found.keys()).copied().collect();
    for day in days {
        let counted = ours.get(&day).copied();
        let found = found.get(&day).copied().unwrap_or_default();
        if counted.is_some_and(|it| !it.is_settled(terms.asked_at)) {
            comparison.unsettled.insert(day);
            continue;
        }
        let expected = counted.map_or(0, |it| it.user_count);
        if let Some(missed) = counted.filter(|it| it.has_missed_its_invoice(found, terms)) {
            comparison.missed.push(missed.report_id);
        } else if found != Decimal::from(expected) {
            let resend = counted.filter(|it| it.may_be_resent(found, terms));
            comparison.differences.push(Difference {
                day,
                expected,
                found,
                resend: resend.map(|it| it.report_id),
                resend_count: counted.map_or(0, |it| it.resend_count),
            });
        }
    }
    comparison
}

impl LedgerDay {
    fn is_settled(&self, asked_at: DateTime<Utc>) -> bool {
        let is_delivered = match self.state {
            DeliveryState::Sent | DeliveryState::Refused => true,
            // On their way, or never to be sent.
            DeliveryState::Waiting
            | DeliveryState::Queued
            | DeliveryState::Superseded
            | DeliveryState::NotBilled
            | DeliveryState::TooLate
            | DeliveryState::Held
            | DeliveryState::MissedInvoice => false,
        };
        is_delivered
            && !self.has_adopted
            && self
                .settled_at
                .is_some_and(|settled_at| settled_at <= asked_at - SETTLING_TIME)
    }

    /// Whether the meter counts nothing of the day, or what is provably ours: an earlier report.
    fn is_lacking(&self, found: Decimal) -> bool {
        let mut earlier = self.earlier_counts.iter();
        found < Decimal::from(self.user_count)
            && (found.is_zero() || earlier.any(|it| Decimal::from(*it) == found))
    }

    /// Whether to send it again would come too late for its invoice. Said only once the meter has had
    /// as long as between two resends: an event that it merely counts late is none.
    fn has_missed_its_invoice(&self, found: Decimal, terms: Terms) -> bool {
        let is_time = self
            .settled_at
            .is_some_and(|settled_at| settled_at <= terms.asked_at - RESEND_PAUSE);
        self.state == DeliveryState::Sent
            && is_time
            && self.is_lacking(found)
            && is_invoiced(terms.invoiced_until, terms.trial_end_at, self.reported_at)
    }

    fn may_be_resent(&self, found: Decimal, terms: Terms) -> bool {
        let is_time = self.resend_count == 0
            || self
                .settled_at
                .is_some_and(|settled_at| settled_at <= terms.asked_at - RESEND_PAUSE);
        // Stripe refused a refused one in so many words: a person mends that.
        self.state == DeliveryState::Sent
            && terms.billable
            && terms.resend_safe
            && self.is_lacking(found)
            && !is_invoiced(terms.invoiced_until, terms.trial_end_at, self.reported_at)
            && is_time
            && self.resend_count < RESENDS_MAX
            && self.reported_at >= terms.asked_at - AGE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-31T12:00:00Z".parse().unwrap()
    }

    fn day() -> NaiveDate {
        (now() - TimeDelta::days(2)).date_naive()
    }

    /// 45 users, sent two days ago.
    fn sent() -> LedgerDay {
        LedgerDay {
            day: day(),
            report_id: Uuid::from_u128(1),
            user_count: 45,
            reported_at: now() - TimeDelta::days(2),
            state: DeliveryState::Sent,
            settled_at: Some(now() - TimeDelta::days(2)),
            resend_count: 0,
            earlier_counts: vec![40],
            has_adopted: false,
        }
    }

    fn terms() -> Terms {
        Terms {
            asked_at: now(),
            billable: true,
            resend_safe: true,
            invoiced_until: None,
            trial_end_at: None,
        }
    }

    fn found(value: Option<i64>) -> BTreeMap<NaiveDate, Decimal> {
        value
            .map(|it| (day(), Decimal::from(it)))
            .into_iter()
            .collect()
    }

    /// What becomes of a day: nothing, a difference with a resend or without, or not judged.
    fn verdict(ledger: &[LedgerDay], value: Option<i64>, terms: Terms) -> &'static str {
        let comparison = compare(ledger, &found(value), terms);
        match (
            comparison.differences.as_slice(),
            comparison.unsettled.len() + 2 * comparison.missed.len(),
        ) {
            ([], 0) => "agrees",
            ([], 1) => "unsettled",
            ([], 2) => "missed",
            ([one], 0) if one.resend.is_some() => "resend",
            ([_], 0) => "shown",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_missing_is_sent_again_and_all_else_is_shown() {
        for (value, expected) in [
            (Some(45), "agrees"),
            (None, "resend"),
            (Some(0), "resend"),
            // An earlier report of the day: the newest one was lost.
            (Some(40), "resend"),
            // Nobody of ours said that: a person's correction.
            (Some(44), "shown"),
            (Some(46), "shown"),
            (Some(90), "shown"),
        ] {
            assert_eq!(verdict(&[sent()], value, terms()), expected, "{value:?}");
        }
        assert_eq!(verdict(&[], Some(45), terms()), "shown");
        assert_eq!(verdict(&[], None, terms()), "agrees");
    }

    #[test]
    fn nothing_is_sent_again_where_that_is_not_safe() {
        let safe = terms();
        let sent_with = |change: fn(&mut LedgerDay)| {
            let mut day = sent();
            change(&mut day);
            day
        };
        for (ledger, terms) in [
            (
                sent(),
                Terms {
                    billable: false,
                    ..safe
                },
            ),
            (
                sent(),
                Terms {
                    resend_safe: false,
                    ..safe
                },
            ),
            (
                sent_with(|it| it.reported_at = now() - AGE_MAX - TimeDelta::seconds(1)),
                safe,
            ),
            (sent_with(|it| it.resend_count = RESENDS_MAX), safe),
            (
                sent_with(|it| {
                    it.resend_count = 1;
                    it.settled_at = Some(now() - RESEND_PAUSE + TimeDelta::seconds(1));
                }),
                safe,
            ),
            (sent_with(|it| it.state = DeliveryState::Refused), safe),
        ] {
            assert_eq!(
                verdict(std::slice::from_ref(&ledger), None, terms),
                "shown",
                "{ledger:?}"
            );
        }
        let again = sent_with(|it| {
            it.resend_count = 1;
            it.settled_at = Some(now() - RESEND_PAUSE);
        });
        assert_eq!(verdict(&[again], None, safe), "resend");
    }

    #[test]
    fn what_is_missing_and_was_invoiced_is_not_sent_again() {
        let after = |hours| Some(sent().reported_at + TimeDelta::hours(hours));
        let invoiced = |invoiced_until, trial_end_at| Terms {
            invoiced_until,
            trial_end_at,
            ..terms()
        };
        for (value, terms, expected) in [
            (None, invoiced(after(1), None), "missed"),
            (Some(40), invoiced(after(1), None), "missed"),
            (None, invoiced(after(0), None), "resend"),
            // What was used in the trial is free, and counted all the same.
            (None, invoiced(after(1), after(1)), "resend"),
            (None, invoiced(after(1), after(0)), "missed"),
            // Not missing, but something else: a person looks.
            (Some(44), invoiced(after(1), None), "shown"),
            (Some(45), invoiced(after(1), None), "agrees"),
        ] {
            assert_eq!(verdict(&[sent()], value, terms), expected, "{terms:?}");
        }
        // The meter may be late: nothing is said of it before a day has passed, and nothing is sent.
        let young = LedgerDay {
            settled_at: Some(now() - RESEND_PAUSE + TimeDelta::seconds(1)),
            ..sent()
        };
        let terms = invoiced(after(1), None);
        assert_eq!(verdict(&[young], None, terms), "shown");
    }

    #[test]
    fn what_is_on_its_way_is_not_judged() {
        for (state, settled_at, has_adopted) in [
            (DeliveryState::Queued, None, false),
            (DeliveryState::Waiting, None, false),
            (
                DeliveryState::Sent,
                Some(now() - SETTLING_TIME + TimeDelta::seconds(1)),
                false,
            ),
            (
                DeliveryState::Sent,
                Some(now() + TimeDelta::seconds(1)),
                false,
            ),
            (DeliveryState::Sent, Some(now() - TimeDelta::days(1)), true),
        ] {
            let day = LedgerDay {
                state,
                settled_at,
                has_adopted,
                ..sent()
            };
            assert_eq!(verdict(&[day], None, terms()), "unsettled", "{state:?}");
        }
    }

    #[test]
    fn a_report_of_nobody_needs_no_event() {
        let empty = LedgerDay {
            user_count: 0,
            earlier_counts: Vec::new(),
            ..sent()
        };
        assert_eq!(verdict(&[empty], None, terms()), "agrees");
    }
}
