//! Works off the inbox: what an event is about is fetched again and kept.
//!
//! Architecture invariant: nothing that an event says of an object is kept. Events come late, twice
//! and in any order; what is fetched is always as new as it can be.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};

use crate::{
    app::{
        App,
        refresh_invoiced::refresh_invoiced,
        refresh_subscription::{Trouble, refresh_subscription},
    },
    domain::{
        ids::{CustomerId, EventId},
        meter_error::{MeterError, read_reports},
        webhook_event::{EventState, Hint, next_attempt},
    },
    store::{
        Lease, meter_errors, subscriptions,
        webhook_events::{self, Claimed},
    },
    stripe::{Unknown, UnknownKind},
};

/// How many events are taken at a time.
const BATCH_MAX: usize = 32;
/// How many are worked on at once: each asks Stripe once or twice.
const CONCURRENT_MAX: usize = 8;
/// How long a batch is nobody else's: far longer than one takes.
const LEASE: TimeDelta = TimeDelta::minutes(3);

/// Works on what is due; says how many events that were.
///
/// # Errors
/// The database could not be asked.
pub(crate) async fn process_webhook_events(app: &App) -> Result<usize, Fault> {
    let now = app.clock.now();
    let lease = Lease {
        token: app.ids.next(),
        until: now + LEASE,
    };
    let due = webhook_events::claim_due(&app.db, now, lease, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    let count = due.len();
    stream::iter(due)
        .for_each_concurrent(CONCURRENT_MAX, |claimed| process(app, claimed, lease))
        .await;
    Ok(count)
}

/// Works on one event. Trouble with it is no other's, and trouble with the database leaves it to
/// whoever takes it once its lease has ended.
async fn process(app: &App, claimed: Claimed, lease: Lease) {
    let Claimed { event, attempt } = claimed;
    let hint = event.hint();
    let outcome = follow(app, &hint).await;
    let now = app.clock.now();
    let settled = match outcome {
        Ok(state) => webhook_events::end(&app.db, &event.id, lease.token, state, now).await,
        Err(Trouble::Stripe(unknown)) => {
            let next = next_attempt(attempt, now).map(|next| next.max(told_to_wait(&unknown, now)));
            let (id, kind) = (&event.id, &event.kind);
            if next.is_some() {
                tracing::warn!(event_id = %id, event_type = kind, attempt, error = %unknown, "a webhook waits for its next attempt");
            } else {
                tracing::error!(event_id = %id, event_type = kind, attempt, error = %unknown, "a webhook was given up");
            }
            let why = (unknown.code.as_str(), unknown.message.as_str());
            webhook_events::fail(&app.db, id, lease.token, why, next, now).await
        }
        Err(Trouble::Database(error)) => Err(error),
    };
    if let Err(error) = settled {
        db_fault(error).log();
    }
}

/// When Stripe said to come again, where it did.
fn told_to_wait(unknown: &Unknown, now: DateTime<Utc>) -> DateTime<Utc> {
    let wait = unknown.retry_after.map(|_| unknown.retry_delay());
    let wait = wait.and_then(|wait| TimeDelta::from_std(wait).ok());
    now + wait.unwrap_or_default()
}

async fn follow(app: &App, hint: &Hint) -> Result<EventState, Trouble> {
    match hint {
        Hint::Subscription(id) => refresh_subscription(app, id).await?,
        Hint::Invoices(id) => {
            refresh_subscription(app, id).await?;
            refresh_invoiced(app, id).await?;
        }
        Hint::DeletedCustomer(id) => refresh_customer(app, id).await?,
        Hint::MeterErrors(id) => keep_meter_errors(app, id).await?,
        Hint::Nothing => return Ok(EventState::Ignored),
    }
    Ok(EventState::Processed)
}

/// Looks again at all that is known of a customer's subscriptions.
async fn refresh_customer(app: &App, customer: &CustomerId) -> Result<(), Trouble> {
    for id in subscriptions::of_customer(&app.db, customer).await? {
        refresh_subscription(app, &id).await?;
    }
    Ok(())
}

/// Fetches what a thin event tells of usage that was not counted.
async fn keep_meter_errors(app: &App, id: &EventId) -> Result<(), Trouble> {
    let event = app.stripe.event(id).await?;
    let reports = read_reports(&event).ok_or_else(|| {
        let message = format!("Stripe's event {id} contains no report of meter errors.");
        Unknown::new(UnknownKind::Unreadable, "unreadable_answer", message)
    })?;
    for report in reports {
        tracing::error!(
            event_id = %id,
            code = report.code,
            count = report.count,
            identifiers = ?report.sample_identifiers,
            "Stripe took usage and then did not count it: {}",
            report.message
        );
        let error = MeterError {
            id: app.ids.next(),
            event_id: id.clone(),
            report,
            found_at: app.clock.now(),
        };
        meter_errors::keep(&app.db, &error).await?;
    }
    Ok(())
}
