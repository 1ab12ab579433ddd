//! `RecordMeterEvents`: usage counted once, and nothing in another's way.

use std::time::Duration;

use billing_proto::stripe::v1::{MeterEvent, MeterEventAccepted, meter_event_outcome::Outcome};
use chrono::TimeDelta;
use reqwest::Method;
use stripe_sim::{Fault, FaultEffect, FaultResponse};
use tonic::Code;

use crate::support::{METER_EVENTS, World, answer, event, once};

const ACCEPTED: Outcome = Outcome::Accepted(MeterEventAccepted {});

fn retry_code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry(retry) => &retry.code,
        Outcome::Accepted(_) | Outcome::Refused(_) => panic!("{outcome:?}"),
    }
}

fn refusal_code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(refusal) => &refusal.code,
        Outcome::Accepted(_) | Outcome::Retry(_) => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn fm08_an_event_reaches_the_meter_with_its_own_time_and_is_sent_once() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    // authgear-server#3189: without its time, usage slid into the next period.
    let yesterday = world.now() - TimeDelta::days(1);
    let event = event(&customer, 45, yesterday);
    assert_eq!(service.record_one(&event).await, ACCEPTED);
    assert_eq!(service.record_one(&event).await, ACCEPTED);

    let ledger = world.sim.ledger();
    let [counted] = ledger.meter_events.as_slice() else {
        panic!("{:?}", ledger.meter_events);
    };
    assert_eq!(
        (counted.customer.as_str(), counted.value.as_str()),
        (customer.as_str(), "45")
    );
    assert_eq!(
        (&counted.identifier, counted.timestamp),
        (&event.identifier, yesterday.timestamp())
    );
    assert_eq!(world.calls(METER_EVENTS), 1);
    assert_eq!(world.metered(&customer, yesterday).await, Some(45.0));
    let row = world
        .row("SELECT state, stripe_request_id, attempt_count FROM stripe_meter_events")
        .await;
    assert_eq!(row.try_get::<String>("", "state").unwrap(), "accepted");
    assert!(
        row.try_get::<String>("", "stripe_request_id")
            .unwrap()
            .starts_with("req_")
    );
    assert_eq!(row.try_get::<i32>("", "attempt_count").unwrap(), 1);
}

/// langfuse#15917: a retry without a stable identifier billed everyone twice.
#[tokio::test]
async fn fm01_whatever_is_lost_on_the_way_it_counts_once() {
    let wait = FaultResponse {
        retry_after_s: Some(1),
        ..answer(429)
    };
    let saved = FaultResponse {
        after_effect: true,
        ..answer(500)
    };
    for effect in [
        FaultEffect::TimeoutBefore { hang_ms: 50 },
        FaultEffect::TimeoutAfter { hang_ms: 50 },
        FaultEffect::CutBody,
        FaultEffect::Respond(answer(409)),
        FaultEffect::Respond(wait),
        FaultEffect::Respond(answer(500)),
        // langfuse#16292: the answer that then comes, "already exists", was taken for an error.
        FaultEffect::Respond(saved),
    ] {
        let world = World::start().await;
        let service = world.service().await;
        let customer = world.customer().await;
        world.fault(once(METER_EVENTS, effect.clone()));
        let event = event(&customer, 45, world.now());
        assert_eq!(service.record_one(&event).await, ACCEPTED, "{effect:?}");
        assert_eq!(world.sim.ledger().meter_events.len(), 1, "{effect:?}");
        world.assert_faults_struck();
    }
}

/// langfuse#16292: Stripe's 400 "already exists with identifier" was taken for an error and stopped
/// all metering.
#[tokio::test]
async fn fm02_what_stripe_says_it_has_already_is_delivered_and_metering_goes_on() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let first = event(&customer, 45, world.now());
    // Stripe has the event, and we know nothing of it: as after a restored backup.
    let timestamp = world.now().timestamp().to_string();
    let form = [
        ("event_name", "vaultai_seats"),
        ("identifier", first.identifier.as_str()),
        ("timestamp", timestamp.as_str()),
        ("payload[stripe_customer_id]", customer.as_str()),
        ("payload[value]", "45"),
    ];
    world
        .stripe(Method::POST, "/v1/billing/meter_events", &form)
        .await;
    assert_eq!(service.record_one(&first).await, ACCEPTED);
    assert_eq!(world.sim.ledger().meter_events.len(), 1);

    let next = event(&customer, 46, world.now());
    assert_eq!(service.record_one(&next).await, ACCEPTED);
    assert_eq!(world.sim.ledger().meter_events.len(), 2);
}

#[tokio::test]
async fn an_unknown_outcome_is_told_as_one_and_the_next_request_ends_it() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    world.fault(once(
        METER_EVENTS,
        FaultEffect::TimeoutAfter { hang_ms: 10 },
    ));
    world.fault(Fault::always(METER_EVENTS, FaultEffect::Refuse));
    let event = event(&customer, 45, world.now());
    let outcome = service.record_one(&event).await;
    assert_eq!(retry_code(&outcome), "connection_failed");
    world.sim.clear_faults();
    assert_eq!(service.record_one(&event).await, ACCEPTED);
    assert_eq!(world.sim.ledger().meter_events.len(), 1);
    // The simulator sees the key of the first attempt and of the last.
    let keys = world.keys(METER_EVENTS);
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}

#[tokio::test]
async fn a_long_wait_that_stripe_asks_for_is_passed_on() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let wait = FaultResponse {
        retry_after_s: Some(120),
        ..answer(429)
    };
    world.fault(once(METER_EVENTS, FaultEffect::Respond(wait)));
    let event = event(&customer, 45, world.now());
    let Outcome::Retry(retry) = service.record_one(&event).await else {
        panic!("it waited, or gave up");
    };
    assert_eq!(retry.retry_delay.unwrap().seconds, 120);
    assert_eq!(world.calls(METER_EVENTS), 1);
}

/// zulip#34095: one bad customer stopped the batch.
#[tokio::test]
async fn fm15_one_events_trouble_is_no_others() {
    let world = World::start().await;
    let service = world.service().await;
    let mut events = Vec::new();
    for value in 0..20 {
        events.push(event(&world.customer().await, value, world.now()));
    }
    let gone = world.customer().await;
    world
        .stripe(Method::DELETE, &format!("/v1/customers/{gone}"), &[])
        .await;
    events.insert(3, event(&gone, 7, world.now()));
    events.insert(7, event("cus_negative", -1, world.now()));
    events.insert(
        9,
        MeterEvent {
            identifier: "é".to_owned(),
            ..event("cus_accent", 1, world.now())
        },
    );
    // One hangs for longer than the caller waits.
    world.fault(once(
        METER_EVENTS,
        FaultEffect::TimeoutBefore { hang_ms: 60_000 },
    ));

    let outcomes = service
        .try_record(events.clone(), Duration::from_secs(4))
        .await
        .unwrap();
    assert_eq!(refusal_code(&outcomes[3]), "resource_missing");
    assert_eq!(refusal_code(&outcomes[7]), "invalid_event");
    assert_eq!(refusal_code(&outcomes[9]), "invalid_event");
    let accepted = outcomes
        .iter()
        .filter(|outcome| **outcome == ACCEPTED)
        .count();
    let retried: Vec<_> = outcomes
        .iter()
        .filter(|it| matches!(it, Outcome::Retry(_)))
        .collect();
    assert_eq!((accepted, retried.len()), (19, 1), "{outcomes:?}");

    // The refused one stays refused, without another call.
    let calls = world.calls(METER_EVENTS);
    assert_eq!(
        refusal_code(&service.record_one(&events[3]).await),
        "resource_missing"
    );
    assert_eq!(world.calls(METER_EVENTS), calls);
    // And the one that hung goes through the next time.
    let outcomes = service.record(events).await;
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == ACCEPTED)
            .count(),
        20
    );
    assert_eq!(world.sim.ledger().meter_events.len(), 20);
}

#[tokio::test]
async fn an_identifier_stands_for_one_content_for_ever() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let first = event(&customer, 45, world.now());
    assert_eq!(service.record_one(&first).await, ACCEPTED);
    for other in [
        MeterEvent {
            value: 46,
            ..first.clone()
        },
        MeterEvent {
            stripe_customer_id: "cus_other".to_owned(),
            ..first.clone()
        },
        MeterEvent {
            event_time: None,
            ..first.clone()
        },
    ] {
        let code = if other.event_time.is_some() {
            "identifier_reused"
        } else {
            "invalid_event"
        };
        assert_eq!(refusal_code(&service.record_one(&other).await), code);
    }
    assert_eq!(service.record_one(&first).await, ACCEPTED);
    assert_eq!(world.calls(METER_EVENTS), 1);
}

#[tokio::test]
async fn a_request_that_is_no_batch_is_told_so() {
    let world = World::start().await;
    let service = world.service().await;
    let one = event("cus_1", 1, world.now());
    let many = (0..501)
        .map(|n| event(&format!("cus_{n}"), 1, world.now()))
        .collect();
    for events in [vec![], vec![one.clone(), one], many] {
        let status = service
            .try_record(events, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

/// Stripe takes one event of a customer at a time: the second is none to be refused for good.
#[tokio::test]
async fn of_two_events_of_a_customer_the_second_comes_again() {
    let world = World::start().await;
    let service = world.service().await;
    let (one, two) = (world.customer().await, world.customer().await);
    let later = world.now() + TimeDelta::seconds(1);
    let first = event(&one, 1, world.now());
    let second = event(&one, 2, later);
    let others = event(&two, 3, later);
    let outcomes = service.record(vec![first, second.clone(), others]).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&ACCEPTED, &ACCEPTED));
    assert_eq!(retry_code(&outcomes[1]), "not_its_turn");
    assert_eq!(service.record_one(&second).await, ACCEPTED);
    assert_eq!(world.metered(&one, later).await, Some(2.0));
}

#[tokio::test]
async fn five_hundred_events_go_in_one_request() {
    let world = World::start().await;
    let service = world.service().await;
    let mut events = Vec::new();
    for value in 0..500 {
        events.push(event(&world.customer().await, value, world.now()));
    }
    let outcomes = service.record(events).await;
    assert!(outcomes.iter().all(|outcome| *outcome == ACCEPTED));
    assert_eq!((outcomes.len(), world.calls(METER_EVENTS)), (500, 500));
}

/// A catalog that was never applied is our mistake, and must not cost anybody's usage.
#[tokio::test]
async fn without_the_meter_usage_waits_for_it() {
    let world = World::without_catalog().await;
    let service = world.service().await;
    let event = event(&world.customer().await, 45, world.now());
    assert_eq!(retry_code(&service.record_one(&event).await), "no_meter");
    world.apply_catalog().await;
    assert_eq!(service.record_one(&event).await, ACCEPTED);
}

#[tokio::test]
async fn fm05_after_a_day_the_meter_is_asked_before_anything_is_sent_again() {
    for counted in [true, false] {
        let world = World::start().await;
        let service = world.service().await;
        let customer = world.customer().await;
        if counted {
            world.fault(once(
                METER_EVENTS,
                FaultEffect::TimeoutAfter { hang_ms: 10 },
            ));
        }
        world.fault(Fault::always(METER_EVENTS, FaultEffect::Refuse));
        let at = world.now();
        let event = event(&customer, 45, at);
        let outcome = service.record_one(&event).await;
        assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
        world.sim.clear_faults();
        let calls = world.calls(METER_EVENTS);

        world.advance(TimeDelta::hours(30));
        assert_eq!(service.record_one(&event).await, ACCEPTED);
        assert_eq!(world.calls(METER_EVENTS), calls + u64::from(!counted));
        assert_eq!(world.metered(&customer, at).await, Some(45.0));
        let keys = world.keys(METER_EVENTS);
        // Yesterday's key is never used again.
        let first = format!("meter-event-{}", event.identifier);
        assert_eq!(keys.contains(&first), counted, "{keys:?}");
    }
}

#[tokio::test]
async fn two_requests_with_one_event_send_it_one_at_a_time_and_count_it_once() {
    let world = World::start().await;
    let (one, two) = (world.service().await, world.service().await);
    let customer = world.customer().await;
    world.fault(Fault::always(METER_EVENTS, FaultEffect::DelayMs(50)));
    let event = event(&customer, 45, world.now());
    let (first, second, third) = tokio::join!(
        one.record_one(&event),
        one.record_one(&event),
        two.record_one(&event)
    );
    for outcome in [&first, &second, &third] {
        assert_eq!(*outcome, ACCEPTED);
    }
    assert_eq!(world.sim.ledger().meter_events.len(), 1);
}
