//! `stripe_meter_events`: every meter event, written before it is sent. Two statements a batch.

use std::collections::BTreeMap;

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, raw_sql};

use crate::{
    domain::{
        ids::{CustomerId, EventIdentifier},
        meter_event::{AskedEvent, EventOutcome, MeterEvent, SeatCount},
        refusal::Refusal,
        stored_event::{EventState, StoredEvent},
    },
    store::entities::meter_events::{Entity, Model},
};

impl TryFrom<Model> for StoredEvent {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            identifier,
            stripe_customer_id,
            event_name,
            value,
            event_at,
            state,
            attempt_count,
            first_sent_at,
            last_sent_at: _,
            stripe_request_id,
            error_code,
            error_message,
            created_at,
            settled_at: _,
            resend_count,
        } = row;
        let state = match state.as_str() {
            "open" => EventState::Open,
            "accepted" => EventState::Accepted,
            "refused" => EventState::Refused(Refusal {
                code: error_code.unwrap_or_default(),
                message: error_message.unwrap_or_default(),
                param: None,
                request_id: stripe_request_id,
            }),
            other => return Err(StoreError::unknown("stripe_meter_events.state", other)),
        };
        Ok(Self {
            event: MeterEvent {
                identifier: EventIdentifier::new(identifier),
                customer_id: CustomerId::new(stripe_customer_id),
                seats: SeatCount::new(value)
                    .ok_or_else(|| StoreError::unknown("stripe_meter_events.value", value))?,
                event_at,
            },
            event_name,
            state,
            attempt_count,
            first_sent_at: first_sent_at.unwrap_or(created_at),
            resend_count,
        })
    }
}

/// Stores those of `events` that are not known yet, counts an attempt of those that are open, and
/// answers how all of them stand, by identifier. Once this is committed they may be sent. A settled one
/// is opened again where its caller asks for one more resend: it found an accepted one missing from the
/// meter, or a person mended what Stripe refused.
///
/// In the order of their identifiers, so that two batches with the same events wait for one another
/// instead of locking each other out.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    events: &[AskedEvent],
    event_name: &str,
    now: DateTime<Utc>,
) -> Result<BTreeMap<EventIdentifier, StoredEvent>, StoreError> {
    let identifiers = column(events, |it| it.event.identifier.to_string());
    let customers = column(events, |it| it.event.customer_id.to_string());
    let seats = column(events, |it| it.event.seats.get());
    let times = column(events, |it| it.event.event_at);
    let resend_counts = column(events, |it| it.resend_count);
    let store = raw_sql!(
        Postgres,
        "INSERT INTO stripe_meter_events AS e (identifier, stripe_customer_id, event_name, value,
            event_at, state, attempt_count, first_sent_at, last_sent_at, created_at, resend_count)
        SELECT identifier, customer_id, {event_name}, value, event_at, 'open', 1, {now}, {now}, {now},
            resend_count
        FROM unnest({identifiers}::text[], {customers}::text[], {seats}::bigint[],
            {times}::timestamptz[], {resend_counts}::integer[])
            AS n (identifier, customer_id, value, event_at, resend_count)
        ORDER BY identifier
        ON CONFLICT (identifier) DO UPDATE SET
            (state, settled_at, attempt_count, last_sent_at) = (
                SELECT CASE WHEN opens THEN 'open' ELSE e.state END,
                    CASE WHEN NOT opens THEN e.settled_at END,
                    e.attempt_count + (opens OR e.state = 'open')::int,
                    CASE WHEN opens OR e.state = 'open' THEN excluded.last_sent_at
                        ELSE e.last_sent_at END
                FROM (VALUES (e.state <> 'open' AND excluded.resend_count > e.resend_count))
                    AS v (opens)),
            resend_count = greatest(e.resend_count, excluded.resend_count)
        RETURNING e.identifier, e.stripe_customer_id, e.event_name, e.value, e.event_at, e.state,
            e.attempt_count, e.first_sent_at, e.last_sent_at, e.stripe_request_id, e.error_code,
            e.error_message, e.created_at, e.settled_at, e.resend_count"
    );
    let rows = Entity::find().from_raw_sql(store).all(db).await?;
    let stored = rows.into_iter().map(|row| {
        let stored = StoredEvent::try_from(row)?;
        Ok((stored.event.identifier.clone(), stored))
    });
    stored.collect()
}

/// Stores what became of events; what is settled already stays as it is.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    outcomes: &[(EventIdentifier, EventOutcome)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let words = column(outcomes, |(_, outcome)| words(outcome));
    let identifiers = column(outcomes, |(identifier, _)| identifier.to_string());
    let states = column(&words, |words| words.state.to_owned());
    let requests = column(&words, |words| words.request_id.clone());
    let codes = column(&words, |words| words.code.clone());
    let messages = column(&words, |words| words.message.clone());
    let settle = raw_sql!(
        Postgres,
        "UPDATE stripe_meter_events e SET
            state = s.state,
            stripe_request_id = coalesce(nullif(s.request_id, ''), e.stripe_request_id),
            error_code = nullif(s.code, ''),
            error_message = nullif(s.message, ''),
            settled_at = CASE WHEN s.state <> 'open' THEN {now}::timestamptz END
        FROM unnest({identifiers}::text[], {states}::text[], {requests}::text[], {codes}::text[],
            {messages}::text[]) AS s (identifier, state, request_id, code, message)
        WHERE e.identifier = s.identifier AND e.state = 'open'"
    );
    db.execute_raw(settle).await?;
    Ok(())
}

/// An outcome as columns; an empty text is none.
struct Words {
    state: &'static str,
    request_id: String,
    code: String,
    message: String,
}

fn words(outcome: &EventOutcome) -> Words {
    match outcome {
        EventOutcome::Accepted { request_id } => Words {
            state: "accepted",
            request_id: request_id.clone().unwrap_or_default(),
            code: String::new(),
            message: String::new(),
        },
        EventOutcome::Refused(refusal) => Words {
            state: "refused",
            request_id: refusal.request_id.clone().unwrap_or_default(),
            code: refusal.code.clone(),
            message: refusal.message.clone(),
        },
        EventOutcome::Retry(retry) => Words {
            state: "open",
            request_id: String::new(),
            code: retry.code.clone(),
            message: retry.message.clone(),
        },
    }
}
