//! `RecordMeterEvents`: usage into Stripe's meter, each event once and none in another's way.
//!
//! Two statements a batch and one request an event: every event of a night passes through here.

use std::time::Duration;

use billing_kit::{Fault, context::RequestContext};
use billing_kit_db::db_fault;
use chrono::{Days, NaiveTime};
use futures::{StreamExt, stream};
use rust_decimal::Decimal;
use tokio::time::{Instant, timeout_at};

use crate::{
    app::App,
    domain::{
        ids::{EventIdentifier, IdempotencyKey},
        meter_event::{
            AskedEvent, EVENTS_MAX, EventOutcome, EventRetry, MeterEvent, judge_refusal,
        },
        stored_event::{EventMove, StoredEvent, key, next_key, next_move},
    },
    store::meter_events,
    stripe::{Answer, Budget, ReadError, Unknown, UnknownKind},
};

/// How long a batch may be on its way. What has not ended by then is to be sent again.
const BATCH_MAX: Duration = Duration::from_secs(25);
/// What is kept of the caller's time to store the outcomes and answer.
const SETTLE_RESERVE: Duration = Duration::from_secs(1);
/// How long one event may take, repetitions included: the rest of its batch is answered with it.
const EVENT_MAX: Duration = Duration::from_secs(8);
const ATTEMPTS_MAX: u32 = 3;
/// When to send an event again that there was no time for.
const RETRY_DELAY_NO_TIME: Duration = Duration::from_secs(2);

/// Records events; one outcome per event, in order.
///
/// # Errors
/// The database could not be asked. Nothing is lost: the same request again tells what came of each.
pub(crate) async fn record_meter_events(
    app: &App,
    events: Vec<AskedEvent>,
) -> Result<Vec<EventOutcome>, Fault> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let limit = RequestContext::current().time_left(BATCH_MAX);
    let deadline = Instant::now() + limit.saturating_sub(SETTLE_RESERVE);
    let now = app.clock.now();
    let event_name = &app.catalog.meter.event_name;
    let mut stored = meter_events::store(&app.db, &events, event_name, now)
        .await
        .map_err(db_fault)?;
    let moves = events.iter().map(|it| {
        let asked = &it.event;
        let stored = stored.remove(&asked.identifier);
        let stored = stored.ok_or_else(|| Fault::internal("a stored event was not answered"))?;
        Ok((asked.clone(), next_move(asked, stored, now)))
    });
    let moves = moves.collect::<Result<Vec<_>, Fault>>()?;
    let outcomes: Vec<_> = stream::iter(moves)
        .map(|(asked, next)| carry_out(app, asked, next, deadline))
        // How many are on their way at once is the semaphore's to say, over all batches.
        .buffered(EVENTS_MAX)
        .collect()
        .await;
    let settled: Vec<_> = outcomes.iter().filter_map(Done::settled).collect();
    meter_events::settle(&app.db, &settled, app.clock.now())
        .await
        .map_err(db_fault)?;
    Ok(outcomes.into_iter().map(|done| done.outcome).collect())
}

/// What became of one event, and whether that is news.
struct Done {
    identifier: EventIdentifier,
    outcome: EventOutcome,
    is_news: bool,
}

impl Done {
    fn settled(&self) -> Option<(EventIdentifier, EventOutcome)> {
        self.is_news
            .then(|| (self.identifier.clone(), self.outcome.clone()))
    }
}

async fn carry_out(app: &App, asked: MeterEvent, next: EventMove, deadline: Instant) -> Done {
    let (outcome, is_news) = match next {
        EventMove::Answer(outcome) => (outcome, false),
        EventMove::Reused(refusal) => {
            // Two reports under one identifier: one of them would never be billed.
            tracing::error!(
                identifier = %asked.identifier,
                stripe_customer_id = %asked.customer_id,
                "a meter event's identifier was used again for other content"
            );
            (EventOutcome::Refused(refusal), false)
        }
        EventMove::Send(stored) => (in_turn(app, &stored, false, deadline).await, true),
        EventMove::Compare(stored) => (in_turn(app, &stored, true, deadline).await, true),
    };
    Done {
        identifier: asked.identifier,
        outcome,
        is_news,
    }
}

/// Waits for the customer's turn and for a free place, and delivers the event.
async fn in_turn(app: &App, stored: &StoredEvent, is_old: bool, deadline: Instant) -> EventOutcome {
    let delivered = timeout_at(deadline, async {
        let _pass = app.gates.pass(&stored.event.customer_id).await;
        let _place = app.sending.acquire().await;
        deliver(app, stored, is_old, deadline).await
    });
    match delivered.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(unknown)) => EventOutcome::Retry(EventRetry {
            delay: unknown.retry_delay(),
            code: unknown.code,
            message: unknown.message,
        }),
        Err(_elapsed) => EventOutcome::Retry(EventRetry {
            delay: RETRY_DELAY_NO_TIME,
            code: "timeout".to_owned(),
            message: "There was no time left to wait for Stripe's answer.".to_owned(),
        }),
    }
}

async fn deliver(
    app: &App,
    stored: &StoredEvent,
    is_old: bool,
    deadline: Instant,
) -> Result<EventOutcome, Unknown> {
    let identifier = &stored.event.identifier;
    let fresh_key = next_key(identifier, stored.attempt_count);
    if is_old {
        // Stripe may have forgotten the identifier and the key. To send it again would still count
        // once, by the meter's day window; but where the day already counts what it should, there is
        // nothing to send.
        if is_counted(app, stored).await? {
            return Ok(EventOutcome::Accepted { request_id: None });
        }
        let sent = send(app, stored, &fresh_key, deadline).await?;
        return Ok(sent.outcome);
    }
    match send(app, stored, &key(identifier), deadline).await {
        // Under its first key an event brings what Stripe saved there for a day, however things have
        // changed: a failure, or a no that has passed, such as to a meter that was missing.
        Err(unknown) if unknown.kind == UnknownKind::KeySpent => {}
        Ok(Sent {
            outcome: EventOutcome::Retry(_),
            is_replay: true,
        }) => {}
        Ok(sent) => return Ok(sent.outcome),
        Err(unknown) => return Err(unknown),
    }
    let sent = send(app, stored, &fresh_key, deadline).await?;
    Ok(sent.outcome)
}

/// Stripe's word on an event.
struct Sent {
    outcome: EventOutcome,
    /// Whether it is an earlier word, saved under the key.
    is_replay: bool,
}

async fn send(
    app: &App,
    stored: &StoredEvent,
    key: &IdempotencyKey,
    deadline: Instant,
) -> Result<Sent, Unknown> {
    #[cfg(feature = "plant-fresh-identifier")]
    let (stored, key) = &crate::plant::fresh(stored, key, app.ids.next());
    let mut budget = Budget::within(EVENT_MAX, ATTEMPTS_MAX);
    budget.deadline = budget.deadline.min(deadline);
    let meter = &app.catalog.meter;
    let (outcome, is_replay) = match app.stripe.send_event(stored, meter, key, budget).await? {
        Answer::Done(reply) => {
            let request_id = reply.request_id;
            (EventOutcome::Accepted { request_id }, false)
        }
        Answer::Refused { refusal, is_replay } => {
            let outcome = judge_refusal(&stored.event, refusal, app.clock.now());
            (outcome, is_replay)
        }
    };
    match &outcome {
        EventOutcome::Accepted { .. } => {}
        EventOutcome::Refused(refusal) => tracing::warn!(
            identifier = %stored.event.identifier,
            stripe_customer_id = %stored.event.customer_id,
            code = %refusal.code,
            stripe_request_id = refusal.request_id,
            "Stripe refused a meter event"
        ),
        EventOutcome::Retry(retry) => tracing::error!(
            identifier = %stored.event.identifier,
            code = %retry.code,
            "a meter event cannot be taken as things are: {}",
            retry.message
        ),
    }
    Ok(Sent { outcome, is_replay })
}

/// Whether the meter counts this event's value for its customer and UTC day.
async fn is_counted(app: &App, stored: &StoredEvent) -> Result<bool, Unknown> {
    let event = &stored.event;
    let meter = app.stripe.meter(&stored.event_name).await?;
    let start = event
        .event_at
        .date_naive()
        .and_time(NaiveTime::MIN)
        .and_utc();
    let end = start + Days::new(1);
    let metered = app
        .stripe
        .metered(&meter, &event.customer_id, start, end)
        .await;
    match metered {
        Ok(metered) => Ok(metered == Some(Decimal::from(event.seats.get()))),
        // Of a customer that is gone nothing is counted. That is Stripe's to say of the event, once and
        // for all, and no reason to ask for ever.
        Err(ReadError::Refused(refusal)) if refusal.code == "resource_missing" => Ok(false),
        Err(error) => Err(error.into()),
    }
}
