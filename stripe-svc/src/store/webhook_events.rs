//! `stripe_events`: the inbox of Stripe's webhooks.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect, Set, raw_sql,
};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    domain::{
        ids::EventId,
        page::{PageSize, Position},
        webhook_event::{EventState, InboxEntry, WebhookEvent},
    },
    store::{
        Lease,
        entities::webhook_events::{ActiveModel, Column, Entity, Model, Scope as _},
    },
};

/// Stores an event. One that is known stays as it is, unless it was given up: that Stripe sends it
/// again, by a person's wish, is a new chance.
pub(crate) async fn receive(
    db: &impl ConnectionTrait,
    event: &WebhookEvent,
    state: EventState,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let WebhookEvent {
        id,
        kind,
        is_thin,
        payload,
        created_at,
    } = event;
    let (id, kind, state) = (id.as_str(), kind.as_str(), state.as_str());
    let (payload, created_at) = (payload.to_string(), *created_at);
    let receive = raw_sql!(
        Postgres,
        "INSERT INTO stripe_events AS e (event_id, event_type, is_thin, payload, created_at,
            received_at, state, next_attempt_at, ended_at)
        VALUES ({id}, {kind}, {is_thin}, {payload}::text::json, {created_at}, {now}, {state}, {now},
            CASE WHEN {state} <> 'queued' THEN {now}::timestamptz END)
        ON CONFLICT (event_id) DO UPDATE SET state = 'queued', attempt_count = 0,
            next_attempt_at = excluded.next_attempt_at, ended_at = NULL,
            lease_token = NULL, lease_until = NULL
        WHERE e.state = 'dead'"
    );
    db.execute_raw(receive).await?;
    Ok(())
}

/// An event that is this process's to work on until the lease ends.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) event: WebhookEvent,
    /// This attempt's number, from 1.
    pub(crate) attempt: u32,
}

/// Takes events that are due, those that are due the longest first.
pub(crate) async fn claim_due(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
    lease: Lease,
    count_max: usize,
) -> Result<Vec<Claimed>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        event_id: String,
        event_type: String,
        is_thin: bool,
        payload: Json,
        created_at: Option<DateTime<Utc>>,
        attempt_count: i32,
    }
    let limit = i64::try_from(count_max).unwrap_or(i64::MAX);
    let claim = raw_sql!(
        Postgres,
        "UPDATE stripe_events SET lease_token = {lease.token}, lease_until = {lease.until},
            attempt_count = attempt_count + 1
        WHERE event_id IN (
            SELECT event_id FROM stripe_events
            WHERE state = 'queued' AND next_attempt_at <= {now}
              AND (lease_until IS NULL OR lease_until <= {now})
            ORDER BY next_attempt_at LIMIT {limit} FOR UPDATE SKIP LOCKED
        )
        RETURNING event_id, event_type, is_thin, payload, created_at, attempt_count"
    );
    let rows = Row::find_by_statement(claim).all(db).await?;
    let claimed = rows.into_iter().map(|row| Claimed {
        event: WebhookEvent {
            id: EventId::new(row.event_id),
            kind: row.event_type,
            is_thin: row.is_thin,
            payload: row.payload,
            created_at: row.created_at,
        },
        attempt: u32::try_from(row.attempt_count).unwrap_or(u32::MAX),
    });
    Ok(claimed.collect())
}

/// Ends an event that went well. Whose lease was taken over changes nothing.
pub(crate) async fn end(
    db: &impl ConnectionTrait,
    id: &EventId,
    token: Uuid,
    state: EventState,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ended = ActiveModel {
        state: Set(state.as_str().to_owned()),
        ended_at: Set(Some(now)),
        error_code: Set(None),
        error_message: Set(None),
        lease_token: Set(None),
        lease_until: Set(None),
        ..Default::default()
    };
    let update = Entity::update_many().set(ended).held(id, token);
    update.exec(db).await?;
    Ok(())
}

/// Notes why an attempt failed: it is tried again at `next`, or given up where there is none.
pub(crate) async fn fail(
    db: &impl ConnectionTrait,
    id: &EventId,
    token: Uuid,
    (code, message): (&str, &str),
    next: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut failed = ActiveModel {
        error_code: Set(Some(code.to_owned())),
        error_message: Set(Some(message.to_owned())),
        lease_token: Set(None),
        lease_until: Set(None),
        ..Default::default()
    };
    match next {
        Some(next) => failed.next_attempt_at = Set(next),
        None => {
            failed.state = Set(EventState::Dead.as_str().to_owned());
            failed.ended_at = Set(Some(now));
        }
    }
    let update = Entity::update_many().set(failed).held(id, token);
    update.exec(db).await?;
    Ok(())
}

/// An event without what it says.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct EntryRow {
    event_id: String,
    event_type: String,
    state: String,
    attempt_count: i32,
    received_at: DateTime<Utc>,
    next_attempt_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    error_code: Option<String>,
    error_message: Option<String>,
}

impl From<Model> for EntryRow {
    fn from(row: Model) -> Self {
        let Model {
            event_id,
            event_type,
            is_thin: _,
            payload: _,
            created_at: _,
            received_at,
            state,
            attempt_count,
            next_attempt_at,
            ended_at,
            error_code,
            error_message,
            lease_token: _,
            lease_until: _,
        } = row;
        Self {
            event_id,
            event_type,
            state,
            attempt_count,
            received_at,
            next_attempt_at,
            ended_at,
            error_code,
            error_message,
        }
    }
}

impl TryFrom<EntryRow> for InboxEntry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        let EntryRow {
            event_id,
            event_type,
            state,
            attempt_count,
            received_at,
            next_attempt_at,
            ended_at,
            error_code,
            error_message,
        } = row;
        Ok(Self {
            id: EventId::new(event_id),
            kind: event_type,
            state: EventState::read(&state)
                .ok_or_else(|| StoreError::unknown("stripe_events.state", state))?,
            attempt_count,
            received_at,
            next_attempt_at,
            ended_at,
            error_code,
            error_message,
        })
    }
}

/// A page of events, those that came last first, without what they say.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    state: Option<EventState>,
    after: Option<&Position>,
    size: PageSize,
) -> Result<Vec<InboxEntry>, StoreError> {
    let mut query = Entity::find()
        .order_by_desc(Column::ReceivedAt)
        .order_by_desc(Column::EventId)
        .limit(u64::try_from(size.get()).unwrap_or(1));
    if let Some(state) = state {
        query = query.in_state(state);
    }
    if let Some(position) = after {
        query = query.behind(position);
    }
    let rows = query.into_partial_model::<EntryRow>().all(db).await?;
    rows.into_iter().map(InboxEntry::try_from).collect()
}

/// Puts an event into the queue anew, as if it had just come; `None` where there is none.
pub(crate) async fn requeue(
    db: &impl ConnectionTrait,
    id: &EventId,
    now: DateTime<Utc>,
) -> Result<Option<InboxEntry>, StoreError> {
    let queued = ActiveModel {
        state: Set(EventState::Queued.as_str().to_owned()),
        attempt_count: Set(0),
        next_attempt_at: Set(now),
        ended_at: Set(None),
        lease_token: Set(None),
        lease_until: Set(None),
        ..Default::default()
    };
    let rows = Entity::update_many()
        .set(queued)
        .filter(Column::EventId.eq(id.as_str()))
        .exec_with_returning(db)
        .await?;
    let row = rows.into_iter().next().map(EntryRow::from);
    row.map(InboxEntry::try_from).transpose()
}
