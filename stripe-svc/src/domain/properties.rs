//! Goal: whatever was done of a call or an event before, nothing is sent twice that could count
//! twice, and no refusal is made of what is not known.
//! Method: proptest; a case that failed is kept under `target/` and tried first the next time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use uuid::Uuid;

use crate::domain::{
    call::{
        Call, CallRequest, CallState, IN_FLIGHT_MAX, NextMove, REPEAT_HORIZON, Step, first_key,
        next_key,
    },
    ids::{CallId, CustomerId, EventIdentifier, IdempotencyKey, OperationId, OrganizationId},
    meter_event::{EventOutcome, MeterEvent, SeatCount, judge_refusal},
    refusal::Refusal,
    stored_event::{self, EventMove, EventState, StoredEvent},
};

const CASES: u32 = 512;
const FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/proptest/stripe-svc.txt"
);

fn config() -> Config {
    Config {
        cases: CASES,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(FAILURES))),
        ..Config::default()
    }
}

fn now() -> DateTime<Utc> {
    "2026-03-31T12:00:00Z".parse().unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    prop::sample::select(vec![Step::CreateCustomer, Step::CreateSubscription])
}

/// Up to three days; to the second, so that the limits themselves are met now and then.
fn ago() -> impl Strategy<Value = TimeDelta> {
    let limits = vec![
        REPEAT_HORIZON,
        REPEAT_HORIZON - TimeDelta::seconds(1),
        IN_FLIGHT_MAX,
        IN_FLIGHT_MAX - TimeDelta::seconds(1),
    ];
    prop_oneof![
        (0_i64..3 * 86_400).prop_map(TimeDelta::seconds),
        prop::sample::select(limits),
    ]
}

/// An open call: never sent, or first sent some time ago and last sent since.
fn open_call() -> impl Strategy<Value = Call> {
    let sent = prop::option::of((ago(), ago()));
    (sent, step()).prop_map(|(sent, step)| Call {
        id: CallId(Uuid::nil()),
        operation_id: OperationId(Uuid::nil()),
        organization_id: OrganizationId(Uuid::nil()),
        step,
        key: IdempotencyKey::new("k"),
        request: CallRequest::new("/customers", BTreeMap::new()),
        state: CallState::Open,
        first_sent_at: sent.map(|(one, other)| now() - one.max(other)),
        last_sent_at: sent.map(|(one, other)| now() - one.min(other)),
    })
}

fn event_state() -> impl Strategy<Value = EventState> {
    prop_oneof![
        Just(EventState::Open),
        Just(EventState::Accepted),
        Just(EventState::Refused(Refusal::ours("code", "message"))),
    ]
}

fn meter_event() -> impl Strategy<Value = MeterEvent> {
    (0_u8..3, 0_i64..3, 0_i64..3).prop_map(|(customer, seats, hours)| MeterEvent {
        identifier: EventIdentifier::new("ur_1"),
        customer_id: CustomerId::new(format!("cus_{customer}")),
        seats: SeatCount::new(seats).unwrap(),
        event_at: now() - TimeDelta::hours(hours),
    })
}

proptest! {
    #![proptest_config(config())]

    /// A key is sent under for 23 hours and then never; and never looked up while it may be under way.
    #[test]
    fn a_call_is_sent_looked_up_or_left_alone_by_its_age(call in open_call()) {
        let is_past = |time: Option<DateTime<Utc>>, limit| time.is_some_and(|t| now() - t >= limit);
        let (old, quiet) = (is_past(call.first_sent_at, REPEAT_HORIZON),
            is_past(call.last_sent_at, IN_FLIGHT_MAX));
        let next = call.next_move(now());
        prop_assert_eq!(next == NextMove::Send, !old);
        prop_assert_eq!(next == NextMove::LookUp, old && quiet);
    }

    /// Time never leads back to sending.
    #[test]
    fn what_may_not_be_repeated_now_may_never_be(call in open_call(), later in ago()) {
        if call.next_move(now()) != NextMove::Send {
            prop_assert_ne!(call.next_move(now() + later), NextMove::Send);
        }
    }

    /// Two calls never share a key, and a key that was given up is never made again.
    #[test]
    fn a_key_is_its_calls_alone(one in any::<u128>(), other in any::<u128>(), fresh in any::<u128>(),
        step in step(), other_step in step()) {
        let id = |id| CallId(Uuid::from_u128(id));
        let same = one == other && step == other_step;
        prop_assert_eq!(first_key(step, id(one)) == first_key(other_step, id(other)), same);
        let second = next_key(step, id(one), Uuid::from_u128(fresh));
        prop_assert_ne!(&second, &first_key(step, id(one)));
        prop_assert!(second.as_str().len() <= 255);
    }

    /// A resumed call repeats the first to the letter: under one key other parameters are an error.
    #[test]
    fn a_stored_request_reads_back_to_the_letter(
        path in "/[a-z/_]{1,40}", form in prop::collection::btree_map(".{0,20}", ".{0,40}", 0..8)
    ) {
        let request = CallRequest::new(path, form);
        prop_assert_eq!(CallRequest::from_params(&request.to_params()), Some(request));
    }

    /// An identifier stands for one content for ever; what is settled is never sent; what is open is
    /// sent blindly for 23 hours only, and never once it was accepted.
    #[test]
    fn an_event_is_sent_only_while_that_is_safe(
        asked in meter_event(), event in meter_event(), state in event_state(), age in ago(),
        resend_count in 0_i32..3
    ) {
        let stored = StoredEvent {
            event: event.clone(),
            event_name: "seats".to_owned(),
            state: state.clone(),
            attempt_count: 1,
            first_sent_at: now() - age,
            resend_count,
        };
        let next = stored_event::next_move(&asked, stored, now());
        let is_open = state == EventState::Open;
        let same = asked == event;
        let is_old = age >= REPEAT_HORIZON || resend_count > 0;
        let word = match next {
            EventMove::Reused(_) => (true, false, false, false),
            EventMove::Answer(_) => (false, true, false, false),
            EventMove::Send(_) => (false, false, true, false),
            EventMove::Compare(_) => (false, false, false, true),
        };
        let expected = (!same, same && !is_open, same && is_open && !is_old, same && is_open && is_old);
        prop_assert_eq!(word, expected);
    }

    /// Stripe's "already exists" is delivery, under whatever code it comes.
    #[test]
    fn a_duplicate_is_always_delivery(event in meter_event(), code in "[a-z_]{0,20}") {
        let message = format!("An event already exists with identifier {}.", event.identifier);
        let outcome = judge_refusal(&event, Refusal::ours(&code, message), now());
        prop_assert!(matches!(outcome, EventOutcome::Accepted { .. }), "{outcome:?}");
    }

    /// A no is never taken for delivery.
    #[test]
    fn nothing_else_is_taken_for_delivery(event in meter_event(), code in "[a-z]{0,20}", message in "[a-z ]{0,40}") {
        prop_assume!(!message.contains("already exists with identifier"));
        let outcome = judge_refusal(&event, Refusal::ours(&code, message), now());
        prop_assert!(!matches!(outcome, EventOutcome::Accepted { .. }), "{outcome:?}");
    }
}
