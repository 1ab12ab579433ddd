//! `GetUsageSummaries`, and what is done about an event that the meter does not count.

use std::time::Duration;

use billing_kit::{client, proto_time};
use billing_proto::stripe::v1::{
    GetUsageSummariesRequest, GetUsageSummariesResponse, MeterEvent, MeterEventAccepted,
    meter_event_outcome::Outcome, meter_event_service_client::MeterEventServiceClient,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::Method;
use tonic::{Code, Status};

use crate::support::{METER_EVENTS, Service, World, event};

const ACCEPTED: Outcome = Outcome::Accepted(MeterEventAccepted {});

fn midnight(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().and_time(NaiveTime::MIN).and_utc()
}

async fn summaries(
    service: &Service,
    customer: &str,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<GetUsageSummariesResponse, Status> {
    let url = format!("http://{}", service.addr).parse().unwrap();
    let channel = client::channel(&url, None, Duration::from_secs(30)).unwrap();
    let request = GetUsageSummariesRequest {
        stripe_customer_id: customer.to_owned(),
        start_time: Some(proto_time::to_proto(start)),
        end_time: Some(proto_time::to_proto(end)),
    };
    let answer = MeterEventServiceClient::new(channel)
        .get_usage_summaries(request)
        .await?;
    Ok(answer.into_inner())
}

/// Takes an event back in Stripe, as Stripe itself does with one that it rejects later.
async fn take_back(world: &World, event: &MeterEvent) {
    let form = [
        ("event_name", "vaultai_seats"),
        ("type", "cancel"),
        ("cancel[identifier]", event.identifier.as_str()),
    ];
    let path = "/v1/billing/meter_event_adjustments";
    world.stripe(Method::POST, path, &form).await;
}

#[tokio::test]
async fn usage_is_told_by_utc_day_and_days_without_any_are_left_out() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let today = midnight(world.now());
    let (days_ago, day) = (|days| today - TimeDelta::days(days), TimeDelta::days(1));
    for (value, at) in [(7, days_ago(3)), (9, days_ago(1) - TimeDelta::seconds(1))] {
        let event = event(&customer, value, at);
        assert_eq!(service.record_one(&event).await, ACCEPTED);
    }
    let usage = summaries(&service, &customer, days_ago(35), today + day)
        .await
        .unwrap();
    assert!(usage.resend_safe, "every day counts as it was");
    let told: Vec<_> = usage
        .days
        .iter()
        .map(|it| {
            let start = it.day_start_time.as_ref().and_then(proto_time::from_proto);
            (start.unwrap(), it.value.as_str())
        })
        .collect();
    assert_eq!(told, [(days_ago(3), "7"), (days_ago(2), "9")]);
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_says_why() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let today = midnight(world.now());
    let day = TimeDelta::days(1);
    for (customer, start, end, expected) in [
        (customer.as_str(), today, today, Code::InvalidArgument),
        (
            &customer,
            today - TimeDelta::hours(1),
            today,
            Code::InvalidArgument,
        ),
        (&customer, today - day * 101, today, Code::InvalidArgument),
        ("", today - day, today, Code::InvalidArgument),
        ("cus_none", today - day, today, Code::FailedPrecondition),
    ] {
        let answer = summaries(&service, customer, start, end).await;
        assert_eq!(
            answer.unwrap_err().code(),
            expected,
            "{customer} {start} {end}"
        );
    }
}

/// lago#637, MAIF/daikoku#1222: accepted, and never counted.
#[tokio::test]
async fn fm06_an_accepted_event_that_the_meter_lacks_is_sent_again_when_asked_for() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let at = world.now();
    let event = event(&customer, 45, at);
    assert_eq!(service.record_one(&event).await, ACCEPTED);
    take_back(&world, &event).await;
    assert_ne!(world.metered(&customer, at).await, Some(45.0));

    // It was accepted, and nobody says that it is missing: nothing is sent.
    let calls = world.calls(METER_EVENTS);
    assert_eq!(service.record_one(&event).await, ACCEPTED);
    assert_eq!(world.calls(METER_EVENTS), calls);

    // Stripe still knows the identifier: it counts nothing a second time, and harms nothing.
    let resent = |resend_count| MeterEvent {
        resend_count,
        ..event.clone()
    };
    assert_eq!(service.record_one(&resent(1)).await, ACCEPTED);
    assert_eq!(world.calls(METER_EVENTS), calls + 1);
    assert_eq!(world.sim.ledger().meter_events.len(), 1);
    // The same question again is the same answer.
    assert_eq!(service.record_one(&resent(1)).await, ACCEPTED);
    assert_eq!(world.calls(METER_EVENTS), calls + 1);

    world.advance(TimeDelta::hours(25));
    assert_eq!(service.record_one(&resent(2)).await, ACCEPTED);
    assert_eq!(world.metered(&customer, at).await, Some(45.0));
    assert_eq!(world.calls(METER_EVENTS), calls + 2);
}

#[tokio::test]
async fn what_the_meter_counts_is_not_sent_again_whoever_asks() {
    let world = World::start().await;
    let service = world.service().await;
    let customer = world.customer().await;
    let event = event(&customer, 45, world.now());
    assert_eq!(service.record_one(&event).await, ACCEPTED);
    let resent = MeterEvent {
        resend_count: 1,
        ..event
    };
    assert_eq!(service.record_one(&resent).await, ACCEPTED);
    assert_eq!(world.calls(METER_EVENTS), 1);
}
