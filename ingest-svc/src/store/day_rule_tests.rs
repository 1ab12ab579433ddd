//! Goal: whatever the order in which a day's reports come and are sent, the meter ends with the
//! count of the day's greatest timestamp; and where it is heard, early or late, that the subscription
//! ended, with the greatest from before that.
//! Method: the day rule as a pure model, proptest's sequences through the model and through the
//! outbox in SQL, and Stripe's rule (of a UTC day the event received last counts) at their end.

use std::collections::BTreeMap;

use billing_kit::Ids;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence, TestRunner},
};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use super::{
    tests::{database, make_organization, new_report, now, report, states},
    {delivery, reporting, reports},
};
use crate::domain::{
    delivery::{DeliveryState, meter_event_identifier, state_at_recording},
    standing::{Standing, SubscriptionStatus},
};

/// Each case is a whole life of an organization's queue in the database.
const DATABASE_CASES: u32 = 24;
const MODEL_CASES: u32 = 512;
const FAILURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/proptest/ingest-svc-day-rule.txt"
);

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(FAILURES))),
        ..Config::default()
    }
}

/// What happens to an organization's queue.
#[derive(Debug, Clone)]
enum Event {
    /// A report of so many minutes before [`now`] comes in.
    Arrives(i64),
    /// The relay takes a step.
    Delivered,
    /// It is heard that the subscription ended so many minutes before [`now`].
    Ended(i64),
}

const THREE_DAYS_MIN: std::ops::Range<i64> = 0..3 * 24 * 60;

/// Three days' worth of reports, no two with the same timestamp, with deliveries in between; and it may
/// end at any time, which is heard at any time.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let end = prop::option::of((any::<prop::sample::Index>(), THREE_DAYS_MIN));
    (reports_and_deliveries(), end).prop_map(|(mut events, end)| {
        if let Some((place, minutes)) = end {
            events.insert(place.index(events.len() + 1), Event::Ended(minutes));
        }
        events
    })
}

fn reports_and_deliveries() -> impl Strategy<Value = Vec<Event>> {
    let minutes = prop::collection::btree_set(THREE_DAYS_MIN, 1..14);
    let minutes = minutes.prop_map(|set| set.into_iter().collect::<Vec<_>>());
    minutes
        .prop_shuffle()
        .prop_flat_map(|minutes| {
            let steps = prop::collection::vec(0_usize..3, minutes.len());
            (Just(minutes), steps)
        })
        .prop_map(|(minutes, steps)| {
            let events = minutes.into_iter().zip(steps).flat_map(|(minutes, steps)| {
                std::iter::once(Event::Arrives(minutes))
                    .chain(std::iter::repeat_n(Event::Delivered, steps))
            });
            events.collect()
        })
}

fn time_of(minutes: i64) -> DateTime<Utc> {
    now() - TimeDelta::minutes(minutes)
}

/// Stripe's meter: of a UTC day the event that it received last counts.
type Meter = BTreeMap<NaiveDate, DateTime<Utc>>;

/// When it ended, where that is ever heard.
fn end_in(events: &[Event]) -> Option<DateTime<Utc>> {
    events.iter().find_map(|event| match event {
        Event::Ended(minutes) => Some(time_of(*minutes)),
        Event::Arrives(_) | Event::Delivered => None,
    })
}

/// What each day must count in the end: its report with the greatest timestamp of those that are owed.
/// Only a later one that was sent before the end was heard of may stand in its place.
fn expected(events: &[Event], sent_after_end: &Meter) -> Meter {
    let end = end_in(events);
    let mut meter = Meter::new();
    for event in events {
        if let Event::Arrives(minutes) = event {
            let time = time_of(*minutes);
            if end.is_none_or(|end| time < end) {
                let counted = meter.entry(time.date_naive()).or_insert(time);
                *counted = time.max(*counted);
            }
        }
    }
    meter.extend(sent_after_end);
    meter
}

/// The relay as a pure model.
#[derive(Debug, Default)]
struct Model {
    reports: BTreeMap<DateTime<Utc>, DeliveryState>,
    meter: Meter,
    end: Option<DateTime<Utc>>,
    /// What was sent that came after the end, before that was heard of.
    sent_after_end: Meter,
}

impl Model {
    fn is_owed(&self, time: DateTime<Utc>) -> bool {
        self.end.is_none_or(|end| time < end)
    }

    /// Judges every report that was not sent anew: a later one of its day replaces it that was sent,
    /// or is owed.
    fn judge(&mut self) {
        let all = self.reports.clone();
        for (time, state) in &all {
            if *state == DeliveryState::Sent {
                continue;
            }
            let is_replaced = all.iter().any(|(other, state)| {
                (*state == DeliveryState::Sent || self.is_owed(*other))
                    && other > time
                    && other.date_naive() == time.date_naive()
            });
            let judged = match (self.is_owed(*time), is_replaced) {
                (false, _) if *state == DeliveryState::Superseded => DeliveryState::Superseded,
                (false, _) => DeliveryState::NotBilled,
                (true, true) => DeliveryState::Superseded,
                (true, false) => DeliveryState::Queued,
            };
            self.reports.insert(*time, judged);
        }
    }

    /// Takes a step; answers whether there was anything to do.
    fn deliver(&mut self) -> bool {
        self.judge();
        let mut queued = self.reports.iter_mut();
        let Some((time, state)) = queued.find(|(_, state)| **state == DeliveryState::Queued) else {
            return false;
        };
        *state = DeliveryState::Sent;
        self.meter.insert(time.date_naive(), *time);
        true
    }

    fn hear_of_end(&mut self, end: DateTime<Utc>) {
        self.end = Some(end);
        let counted = self.meter.iter().filter(|(_, time)| **time >= end);
        self.sent_after_end = counted.map(|(day, time)| (*day, *time)).collect();
    }
}

fn run_model(events: &[Event]) -> Model {
    let mut model = Model::default();
    for event in events {
        match event {
            Event::Arrives(minutes) => {
                let state = DeliveryState::Queued;
                model.reports.insert(time_of(*minutes), state);
            }
            Event::Delivered => {
                model.deliver();
            }
            Event::Ended(minutes) => model.hear_of_end(time_of(*minutes)),
        }
    }
    while model.deliver() {}
    model
}

#[test]
fn of_a_day_the_greatest_timestamp_counts_in_the_end() {
    TestRunner::new(config(MODEL_CASES))
        .run(&events(), |events| {
            let model = run_model(&events);
            prop_assert_eq!(&model.meter, &expected(&events, &model.sent_after_end));
            prop_assert!(
                model
                    .reports
                    .values()
                    .all(|state| *state != DeliveryState::Queued)
            );
            Ok(())
        })
        .unwrap();
}

/// One step of the relay on the real outbox; Stripe takes whatever is sent.
async fn deliver(db: &DatabaseConnection, id: Uuid, meter: &mut Meter) -> bool {
    delivery::drop_outdated(db, vec![id], now()).await.unwrap();
    let in_flight = delivery::first_queued(db, vec![id], now()).await.unwrap();
    let Some(sent) = in_flight.first() else {
        return false;
    };
    meter.insert(sent.reported_at.date_naive(), sent.reported_at);
    let settlement = delivery::Settlement {
        report_id: sent.id,
        state: DeliveryState::Sent,
        is_attempt: true,
        stripe_meter_event_id: Some(meter_event_identifier(sent.id)),
        error: None,
        next_attempt_at: None,
    };
    delivery::settle(db, &[settlement], now()).await.unwrap();
    true
}

async fn learn(db: &DatabaseConnection, standing: &Standing) {
    let id = standing.organization_id;
    reporting::lock_with_standings(db, std::slice::from_ref(standing))
        .await
        .unwrap();
    delivery::reconsider(db, vec![id], now()).await.unwrap();
}

async fn run_outbox(db: &DatabaseConnection, id: Uuid, events: &[Event]) -> Meter {
    let mut standing = Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some(format!("cus_{id}")),
        billing_start_at: Some(now() - TimeDelta::days(30)),
        billable: true,
        version: 1,
        ..Standing::unknown(id)
    };
    learn(db, &standing).await;
    let mut meter = Meter::new();
    for event in events {
        match event {
            Event::Arrives(minutes) => {
                let report = report(id, time_of(*minutes));
                let state = state_at_recording(&standing, report.reported_at, now());
                let new = new_report(Ids::random().next(), report, state);
                reports::insert_new(db, &[new]).await.unwrap();
            }
            Event::Delivered => {
                deliver(db, id, &mut meter).await;
            }
            Event::Ended(minutes) => {
                standing = Standing {
                    status: SubscriptionStatus::Canceled,
                    billing_end_at: Some(time_of(*minutes)),
                    version: 2,
                    ..standing
                };
                learn(db, &standing).await;
            }
        }
    }
    while deliver(db, id, &mut meter).await {}
    meter
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_decides_as_the_model_does() {
    let (database, db) = database().await;
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        TestRunner::new(config(DATABASE_CASES)).run(&events(), |events| {
            let id = Ids::random().next();
            let model = run_model(&events);
            let (meter, states) = handle.block_on(async {
                make_organization(&database, id).await;
                let meter = run_outbox(&db, id, &events).await;
                (meter, states(&db, id).await)
            });
            prop_assert_eq!(&meter, &expected(&events, &model.sent_after_end));
            prop_assert_eq!(states, model.reports.into_iter().collect::<Vec<_>>());
            Ok(())
        })
    };
    tokio::task::spawn_blocking(run).await.unwrap().unwrap();
}
