//! Goal: what the delivery's rules promise holds for every standing and every moment, not only for
//! the cases that somebody thought of.
//! Method: proptest; a case that failed is kept under `target/` and tried first the next time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use uuid::Uuid;

use super::{
    delivery::{
        AGE_MAX, DeliveryState, backoff, first_attempt_at, meter_event_identifier,
        state_at_recording,
    },
    standing::{Standing, SubscriptionStatus},
};

const CASES: u32 = 512;
const FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/proptest/ingest-svc.txt"
);

fn config() -> Config {
    Config {
        cases: CASES,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(FAILURES))),
        ..Config::default()
    }
}

/// 2026, with its month ends and both changes to and from summer time somewhere on earth.
fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    const START_S: i64 = 1_767_225_600;
    const YEAR_US: i64 = 365 * 86_400 * 1_000_000;
    (0..YEAR_US)
        .prop_map(|us| DateTime::from_timestamp(START_S, 0).unwrap() + TimeDelta::microseconds(us))
}

fn standing() -> impl Strategy<Value = Standing> {
    use SubscriptionStatus::{
        Active, Canceled, Incomplete, IncompleteExpired, PastDue, Paused, Pending, Trial, Unpaid,
    };
    let status = prop::sample::select(vec![
        Pending,
        Trial,
        Active,
        PastDue,
        Unpaid,
        Incomplete,
        IncompleteExpired,
        Paused,
        Canceled,
    ]);
    let time = || prop::option::of(moment());
    (status, any::<bool>(), time(), time(), time(), time()).prop_map(
        |(status, billable, billing_start_at, billing_end_at, trial_end_at, invoiced_until)| {
            Standing {
                status,
                billable,
                billing_start_at,
                billing_end_at,
                trial_end_at,
                invoiced_until,
                version: 1,
                ..Standing::unknown(Uuid::nil())
            }
        },
    )
}

/// The life of a subscription that ends, as it may be learned: each standing is a later one, and any
/// of them may never have been heard of. Invoices are final for what is over, and no longer.
fn life() -> impl Strategy<Value = Vec<Standing>> {
    use SubscriptionStatus::{Active, Canceled, PastDue, Paused, Trial};
    let moments = prop::collection::btree_set(moment(), 5);
    let heard = prop::collection::vec(any::<bool>(), 7);
    (moments, heard).prop_map(|(moments, heard)| {
        let [start, trial_end, first_period, second_period, end] =
            moments.into_iter().collect::<Vec<_>>().try_into().unwrap();
        let pending = Standing {
            version: 0,
            ..Standing::unknown(Uuid::nil())
        };
        let told = |version, status, invoiced_until, billing_end_at| Standing {
            status,
            billable: status != Paused,
            billing_start_at: Some(start),
            trial_end_at: Some(trial_end),
            invoiced_until,
            billing_end_at,
            version,
            ..pending.clone()
        };
        let all = [
            pending.clone(),
            told(1, Trial, None, None),
            told(2, Paused, None, None),
            told(3, Active, None, None),
            told(4, Active, Some(first_period), None),
            told(5, PastDue, Some(second_period), None),
            told(6, Canceled, Some(second_period), Some(end)),
        ];
        let heard = all.iter().zip(heard).filter(|(_, heard)| *heard);
        let mut life: Vec<_> = heard.map(|(standing, _)| standing.clone()).collect();
        life.push(told(7, Canceled, Some(end), Some(end)));
        life
    })
}

/// Where a report ends that is judged anew by each standing that is heard of, until it is settled.
/// What is queued is not sent in between.
fn judged_by_all(
    life: &[Standing],
    reported_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> DeliveryState {
    let mut state = DeliveryState::Waiting;
    for standing in life {
        if matches!(state, DeliveryState::Waiting | DeliveryState::Queued) {
            state = state_at_recording(standing, reported_at, now);
        }
    }
    state
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is queued will be billed: so all that speaks against it must have been asked.
    #[test]
    fn queued_is_what_may_be_billed_and_nothing_else(
        standing in standing(), reported_at in moment(), now in moment()
    ) {
        let state = state_at_recording(&standing, reported_at, now);
        let may_be_billed = standing.billable
            && standing.billing_start_at.is_some_and(|start| start <= reported_at)
            && standing.billing_end_at.is_none_or(|end| reported_at < end)
            && (standing.invoiced_until.is_none_or(|until| reported_at >= until)
                || standing.trial_end_at.is_some_and(|trial_end| reported_at < trial_end))
            && reported_at >= now - AGE_MAX;
        prop_assert_eq!(state == DeliveryState::Queued, may_be_billed);
    }

    /// A report from before the subscription is free for ever, however old it is.
    #[test]
    fn what_came_before_the_start_is_never_billed(
        standing in standing(), start in moment(), before_us in 1_i64..100_000_000_000, now in moment()
    ) {
        let standing = Standing { billing_start_at: Some(start), billable: true, ..standing };
        let reported_at = start - TimeDelta::microseconds(before_us);
        prop_assert_eq!(state_at_recording(&standing, reported_at, now), DeliveryState::NotBilled);
    }

    /// Time alone makes a billable report too late, and never billable again.
    #[test]
    fn a_billable_report_only_ages(
        standing in standing(), reported_at in moment(), now in moment(), later_us in 0_i64..100_000_000_000
    ) {
        let later = now + TimeDelta::microseconds(later_us);
        let states = (state_at_recording(&standing, reported_at, now),
            state_at_recording(&standing, reported_at, later));
        prop_assert!(states.0 == states.1
            || states == (DeliveryState::Queued, DeliveryState::TooLate), "{states:?}");
    }

    /// Nothing of an organization that can still be linked or mended is given up.
    #[test]
    fn what_a_later_link_could_bill_waits(
        standing in standing(), reported_at in moment(), now in moment()
    ) {
        use SubscriptionStatus::{Canceled, IncompleteExpired};
        let standing = Standing { billable: false, billing_start_at: None, ..standing };
        let is_over = matches!(standing.status, Canceled | IncompleteExpired);
        let expected = if is_over { DeliveryState::NotBilled } else { DeliveryState::Waiting };
        prop_assert_eq!(state_at_recording(&standing, reported_at, now), expected);
    }

    /// However late, and with however many gaps, we hear of a subscription's life: what was not sent
    /// on the way ends where it would have ended had we known all from the beginning.
    #[test]
    fn what_is_heard_late_is_judged_as_if_it_had_been_known(
        life in life(), reported_at in moment(), now in moment()
    ) {
        // Age is of the clock and not of what is heard.
        prop_assume!(reported_at >= now - AGE_MAX);
        let known = state_at_recording(life.last().unwrap(), reported_at, now);
        prop_assert_eq!(judged_by_all(&life, reported_at, now), known);
    }

    /// Nothing that was free is ever said to be missed, and nothing is missed that is not over.
    #[test]
    fn only_what_was_owed_and_is_invoiced_is_missed(
        standing in standing(), reported_at in moment(), now in moment()
    ) {
        let state = state_at_recording(&standing, reported_at, now);
        if state == DeliveryState::MissedInvoice {
            prop_assert!(standing.billing_start_at.is_some_and(|start| start <= reported_at));
            prop_assert!(standing.billing_end_at.is_none_or(|end| reported_at < end));
            prop_assert!(standing.trial_end_at.is_none_or(|end| reported_at >= end));
            prop_assert!(standing.invoiced_until.is_some_and(|until| reported_at < until));
        }
    }

    #[test]
    fn nothing_is_tried_before_its_moment_or_in_the_past(reported_at in moment(), now in moment()) {
        let first = first_attempt_at(reported_at, now);
        prop_assert!(first >= now && first >= reported_at);
        prop_assert!(first == now || first == reported_at);
    }

    #[test]
    fn a_wait_never_shrinks_and_never_passes_its_limit(attempts in any::<i32>()) {
        let (this, next) = (backoff(attempts), backoff(attempts.saturating_add(1)));
        prop_assert!(this <= next);
        prop_assert!(this >= Duration::from_secs(1) && next <= Duration::from_secs(300));
    }

    /// fm01: two reports never share an identifier, one report never has two, and Stripe takes it.
    #[test]
    fn an_identifier_is_its_reports_alone(one in any::<u128>(), other in any::<u128>()) {
        let identifier = |id| meter_event_identifier(Uuid::from_u128(id));
        prop_assert_eq!(identifier(one), identifier(one));
        prop_assert_eq!(one == other, identifier(one) == identifier(other));
        prop_assert!(identifier(one).bytes().all(|b| b.is_ascii_graphic()));
        prop_assert!((1..=100).contains(&identifier(one).len()));
    }
}
