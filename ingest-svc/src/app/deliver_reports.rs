//! Delivers queued reports to stripe-svc: lease, call, settle.
//!
//! The lease is committed before the call, and no transaction is held meanwhile. A crash in between
//! leaves a lease that ends by itself; the next attempt is the same meter event to Stripe, because
//! its identifier is a function of the report.

use std::time::Duration;

use billing_kit::{Fault, proto_time};
use billing_kit_db::{StoreError, db_fault};
use billing_proto::stripe::v1::{
    MeterEvent, MeterEventOutcome, RecordMeterEventsRequest, meter_event_outcome::Outcome,
};
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{
    Parts,
    domain::{
        delivery::{DeliveryState, backoff, meter_event_identifier},
        notice::{NewNotice, Refused},
    },
    store::{
        delivery::{self, InFlight, Settlement},
        notices,
    },
};

/// How many organizations are leased, and events sent, at once. A lane that waits for a slow event
/// holds no more than these back.
const BATCH_MAX: i64 = 100;
/// Longer than the call's deadline, so that a lease that ended belongs to a call that ended.
const LEASE: TimeDelta = TimeDelta::seconds(40);
/// How long reports are put off while stripe-svc is away.
const PUT_OFF_MAX: Duration = Duration::from_secs(2);

/// Delivers what is due, at most one report per organization. Answers how many organizations it
/// leased; 0 when nothing is due.
///
/// # Errors
/// The database or stripe-svc is away. What was leased is given back, or its lease ends by itself.
pub(crate) async fn deliver_reports(parts: &Parts) -> Result<usize, Fault> {
    let token = parts.deps.ids.next();
    let (organizations, in_flight) = lease(parts, token).await.map_err(db_fault)?;
    if organizations.is_empty() {
        return Ok(0);
    }
    let leased = organizations.len();
    let (settlements, sent) = match send(parts, &in_flight).await {
        Ok(settlements) => (settlements, Ok(leased)),
        Err(fault) => (put_off(parts, &in_flight, &fault), Err(fault)),
    };
    settle(parts, organizations, token, &in_flight, settlements)
        .await
        .map_err(db_fault)?;
    sent
}

async fn lease(parts: &Parts, token: Uuid) -> Result<(Vec<Uuid>, Vec<InFlight>), StoreError> {
    let now = parts.deps.clock.now();
    let txn = parts.db.begin().await?;
    let organizations = delivery::lease(&txn, token, now, now + LEASE, BATCH_MAX).await?;
    let mut in_flight = Vec::new();
    if !organizations.is_empty() {
        delivery::drop_outdated(&txn, organizations.clone(), now).await?;
        in_flight = delivery::first_queued(&txn, organizations.clone(), now).await?;
        delivery::mark_sent(&txn, &in_flight, now).await?;
    }
    txn.commit().await?;
    Ok((organizations, in_flight))
}

/// Sends the reports and says what is to become of each.
async fn send(parts: &Parts, in_flight: &[InFlight]) -> Result<Vec<Settlement>, Fault> {
    if in_flight.is_empty() {
        return Ok(Vec::new());
    }
    let events = in_flight.iter().map(meter_event).collect();
    let answer = parts
        .stripe
        .clone()
        .record_meter_events(RecordMeterEventsRequest { events })
        .await
        .map_err(Fault::from_status)?;
    let outcomes = answer.into_inner().outcomes;
    let now = parts.deps.clock.now();
    Ok(in_flight
        .iter()
        .enumerate()
        .map(|(place, report)| settlement(report, outcomes.get(place), now))
        .collect())
}

/// Puts reports off while stripe-svc is away: for a moment, and not as a failed attempt of theirs, so
/// that an outage of an hour is not followed by minutes of waiting. The lane that met it pauses.
fn put_off(parts: &Parts, in_flight: &[InFlight], fault: &Fault) -> Vec<Settlement> {
    let now = parts.deps.clock.now();
    let error = ("stripe_svc_unavailable".to_owned(), fault.message.clone());
    in_flight
        .iter()
        .map(|report| Settlement {
            report_id: report.id,
            state: DeliveryState::Queued,
            is_attempt: false,
            stripe_meter_event_id: None,
            error: Some(error.clone()),
            next_attempt_at: Some(now + rand::rng().random_range(PUT_OFF_MAX / 2..=PUT_OFF_MAX)),
        })
        .collect()
}

fn meter_event(report: &InFlight) -> MeterEvent {
    MeterEvent {
        identifier: meter_event_identifier(report.id),
        stripe_customer_id: report.stripe_customer_id.clone(),
        value: i64::from(report.user_count),
        event_time: Some(proto_time::to_proto(report.reported_at)),
        resend_count: report.resend_count,
    }
}

/// What is to become of a report, given its outcome. One without an outcome is not known to have
/// arrived: it is sent again.
fn settlement(
    report: &InFlight,
    outcome: Option<&MeterEventOutcome>,
    now: DateTime<Utc>,
) -> Settlement {
    match outcome.and_then(|outcome| outcome.outcome.as_ref()) {
        Some(Outcome::Accepted(_)) => Settlement {
            report_id: report.id,
            state: DeliveryState::Sent,
            is_attempt: true,
            stripe_meter_event_id: Some(meter_event_identifier(report.id)),
            error: None,
            next_attempt_at: None,
        },
        Some(Outcome::Refused(refusal)) => {
            tracing::warn!(report_id = %report.id, code = refusal.code, "Stripe refused a report");
            Settlement {
                report_id: report.id,
                state: DeliveryState::Refused,
                is_attempt: true,
                stripe_meter_event_id: None,
                error: Some((refusal.code.clone(), refusal.message.clone())),
                next_attempt_at: None,
            }
        }
        Some(Outcome::Retry(retry)) => {
            let asked = retry
                .retry_delay
                .as_ref()
                .map(proto_time::duration_from_proto);
            let asked = asked
                .and_then(|delay| delay.to_std().ok())
                .unwrap_or_default();
            queued_again(report, asked, &retry.code, &retry.message, now)
        }
        None => queued_again(
            report,
            Duration::ZERO,
            "no_outcome",
            "There was no outcome.",
            now,
        ),
    }
}

/// A report that stays in the queue, for as long as was asked for or its number of attempts demands.
fn queued_again(
    report: &InFlight,
    asked: Duration,
    code: &str,
    message: &str,
    now: DateTime<Utc>,
) -> Settlement {
    let wait = backoff(report.attempt_count.saturating_add(1));
    // Full jitter on half of it: those who failed together do not come back together.
    let jittered = rand::rng().random_range(wait / 2..=wait).max(asked);
    Settlement {
        report_id: report.id,
        state: DeliveryState::Queued,
        is_attempt: true,
        stripe_meter_event_id: None,
        error: Some((code.to_owned(), message.to_owned())),
        next_attempt_at: Some(now + jittered),
    }
}

async fn settle(
    parts: &Parts,
    organizations: Vec<Uuid>,
    token: Uuid,
    in_flight: &[InFlight],
    mut settlements: Vec<Settlement>,
) -> Result<(), StoreError> {
    let now = parts.deps.clock.now();
    let txn = parts.db.begin().await?;
    let held = delivery::lock_leased(&txn, organizations, token).await?;
    let ours: std::collections::HashSet<_> = in_flight
        .iter()
        .filter(|report| held.contains(&report.organization_id))
        .map(|report| report.id)
        .collect();
    settlements.retain(|settlement| ours.contains(&settlement.report_id));
    if !settlements.is_empty() {
        delivery::settle(&txn, &settlements, now).await?;
        notices::tell(&txn, &refused(in_flight, &settlements, now), now).await?;
    }
    delivery::release(&txn, held).await?;
    txn.commit().await?;
    Ok(())
}

/// What is told of the reports that Stripe refused.
fn refused(
    in_flight: &[InFlight],
    settlements: &[Settlement],
    now: DateTime<Utc>,
) -> Vec<NewNotice> {
    let refused = settlements
        .iter()
        .filter(|settlement| settlement.state == DeliveryState::Refused);
    refused
        .filter_map(|settlement| {
            let report = in_flight
                .iter()
                .find(|report| report.id == settlement.report_id)?;
            let (code, message) = settlement.error.as_ref()?;
            let refused = Refused {
                report_id: report.id,
                reported_at: report.reported_at,
                user_count: report.user_count,
                code,
                message,
            };
            Some(NewNotice::refused(report.organization_id, refused, now))
        })
        .collect()
}
