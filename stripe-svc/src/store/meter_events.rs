//! `stripe_meter_events`: every meter event, written before it is sent. Two statements a batch.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, entity::prelude::*};

use crate::{
    domain::{
        ids::{CustomerId, EventIdentifier},
        meter_event::{AskedEvent, EventOutcome, MeterEvent, SeatCount},
        refusal::Refusal,
        stored_event::{EventState, StoredEvent},
    },
    store::{column, sql, unknown_value},
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_meter_events")]
struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    identifier: String,
    stripe_customer_id: String,
    event_name: String,
    value: i64,
    event_at: DateTime<Utc>,
    state: String,
    attempt_count: i32,
    first_sent_at: Option<DateTime<Utc>>,
    last_sent_at: Option<DateTime<Utc>>,
    stripe_request_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    resend_count: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for StoredEvent {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
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
            other => return Err(unknown_value("stripe_meter_events.state", other)),
        };
        Ok(Self {
            event: MeterEvent {
                identifier: EventIdentifier::new(identifier),
                customer_id: CustomerId::new(stripe_customer_id),
                seats: SeatCount::new(value)
                    .ok_or_else(|| unknown_value("stripe_meter_events.value", value))?,
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
) -> Result<BTreeMap<EventIdentifier, StoredEvent>, DbErr> {
    const STORE: &str = "
        INSERT INTO stripe_meter_events AS e (identifier, stripe_customer_id, event_name, value,
            event_at, state, attempt_count, first_sent_at, last_sent_at, created_at, resend_count)
        SELECT identifier, customer_id, $6, value, event_at, 'open', 1, $7, $7, $7, resend_count
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::integer[])
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
            e.error_message, e.created_at, e.settled_at, e.resend_count";
    let values = [
        column(events, |it| it.event.identifier.to_string()).into(),
        column(events, |it| it.event.customer_id.to_string()).into(),
        column(events, |it| it.event.seats.get()).into(),
        column(events, |it| it.event.event_at).into(),
        column(events, |it| it.resend_count).into(),
        event_name.into(),
        now.into(),
    ];
    let rows = Entity::find()
        .from_raw_sql(sql(STORE, values))
        .all(db)
        .await?;
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
) -> Result<(), DbErr> {
    const SETTLE: &str = "
        UPDATE stripe_meter_events e SET
            state = s.state,
            stripe_request_id = coalesce(nullif(s.request_id, ''), e.stripe_request_id),
            error_code = nullif(s.code, ''),
            error_message = nullif(s.message, ''),
            settled_at = CASE WHEN s.state <> 'open' THEN $6::timestamptz END
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
            AS s (identifier, state, request_id, code, message)
        WHERE e.identifier = s.identifier AND e.state = 'open'";
    if outcomes.is_empty() {
        return Ok(());
    }
    let words = column(outcomes, |(_, outcome)| words(outcome));
    let values = [
        column(outcomes, |(identifier, _)| identifier.to_string()).into(),
        column(&words, |words| words.state.to_owned()).into(),
        column(&words, |words| words.request_id.clone()).into(),
        column(&words, |words| words.code.clone()).into(),
        column(&words, |words| words.message.clone()).into(),
        now.into(),
    ];
    db.execute_raw(sql(SETTLE, values)).await.map(drop)
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
