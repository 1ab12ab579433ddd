//! `stripe_events`: the inbox of Stripe's webhooks.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    domain::{
        ids::EventId,
        page::{PageSize, Position},
        webhook_event::{EventState, InboxEntry, WebhookEvent},
    },
    store::{Lease, sql, unknown_value},
};

/// Stores an event. One that is known stays as it is, unless it was given up: that Stripe sends it
/// again, by a person's wish, is a new chance.
pub(crate) async fn receive(
    db: &impl ConnectionTrait,
    event: &WebhookEvent,
    state: EventState,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const RECEIVE: &str = "
        INSERT INTO stripe_events AS e (event_id, event_type, is_thin, payload, created_at,
            received_at, state, next_attempt_at, ended_at)
        VALUES ($1, $2, $3, $4::text::json, $5, $6, $7, $6,
            CASE WHEN $7 <> 'queued' THEN $6::timestamptz END)
        ON CONFLICT (event_id) DO UPDATE SET state = 'queued', attempt_count = 0,
            next_attempt_at = excluded.next_attempt_at, ended_at = NULL,
            lease_token = NULL, lease_until = NULL
        WHERE e.state = 'dead'";
    let WebhookEvent {
        id,
        kind,
        is_thin,
        payload,
        created_at,
    } = event;
    let values = [
        id.as_str().into(),
        kind.as_str().into(),
        (*is_thin).into(),
        payload.to_string().into(),
        (*created_at).into(),
        now.into(),
        state.as_str().into(),
    ];
    db.execute_raw(sql(RECEIVE, values)).await.map(drop)
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
) -> Result<Vec<Claimed>, DbErr> {
    const CLAIM: &str = "
        UPDATE stripe_events SET lease_token = $2, lease_until = $3,
            attempt_count = attempt_count + 1
        WHERE event_id IN (
            SELECT event_id FROM stripe_events
            WHERE state = 'queued' AND next_attempt_at <= $1
              AND (lease_until IS NULL OR lease_until <= $1)
            ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED
        )
        RETURNING event_id, event_type, is_thin, payload, created_at, attempt_count";
    #[derive(FromQueryResult)]
    struct Row {
        event_id: String,
        event_type: String,
        is_thin: bool,
        payload: Json,
        created_at: Option<DateTime<Utc>>,
        attempt_count: i32,
    }
    let values = [
        now.into(),
        lease.token.into(),
        lease.until.into(),
        i64::try_from(count_max).unwrap_or(i64::MAX).into(),
    ];
    let rows = Row::find_by_statement(sql(CLAIM, values)).all(db).await?;
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
) -> Result<(), DbErr> {
    const END: &str = "
        UPDATE stripe_events SET state = $3, ended_at = $4, error_code = NULL,
            error_message = NULL, lease_token = NULL, lease_until = NULL
        WHERE event_id = $1 AND lease_token = $2 AND state = 'queued'";
    let values = [
        id.as_str().into(),
        token.into(),
        state.as_str().into(),
        now.into(),
    ];
    db.execute_raw(sql(END, values)).await.map(drop)
}

/// Notes why an attempt failed: it is tried again at `next`, or given up where there is none.
pub(crate) async fn fail(
    db: &impl ConnectionTrait,
    id: &EventId,
    token: Uuid,
    (code, message): (&str, &str),
    next: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const FAIL: &str = "
        UPDATE stripe_events SET error_code = $3, error_message = $4,
            state = CASE WHEN $5::timestamptz IS NULL THEN 'dead' ELSE 'queued' END,
            ended_at = CASE WHEN $5::timestamptz IS NULL THEN $6::timestamptz END,
            next_attempt_at = coalesce($5, next_attempt_at), lease_token = NULL, lease_until = NULL
        WHERE event_id = $1 AND lease_token = $2 AND state = 'queued'";
    let values = [
        id.as_str().into(),
        token.into(),
        code.into(),
        message.into(),
        next.into(),
        now.into(),
    ];
    db.execute_raw(sql(FAIL, values)).await.map(drop)
}

#[derive(FromQueryResult)]
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

impl TryFrom<EntryRow> for InboxEntry {
    type Error = DbErr;

    fn try_from(row: EntryRow) -> Result<Self, DbErr> {
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
                .ok_or_else(|| unknown_value("stripe_events.state", state))?,
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
) -> Result<Vec<InboxEntry>, DbErr> {
    const LIST: &str = "
        SELECT event_id, event_type, state, attempt_count, received_at, next_attempt_at, ended_at,
            error_code, error_message
        FROM stripe_events
        WHERE ($1::text IS NULL OR state = $1)
          AND ($2::timestamptz IS NULL OR (received_at, event_id) < ($2, $3))
        ORDER BY received_at DESC, event_id DESC LIMIT $4";
    let values = [
        state.map(EventState::as_str).into(),
        after.map(|position| position.at).into(),
        after.map(|position| position.id.clone()).into(),
        size.get().into(),
    ];
    let rows = EntryRow::find_by_statement(sql(LIST, values))
        .all(db)
        .await?;
    rows.into_iter().map(InboxEntry::try_from).collect()
}

/// Puts an event into the queue anew, as if it had just come; `None` where there is none.
pub(crate) async fn requeue(
    db: &impl ConnectionTrait,
    id: &EventId,
    now: DateTime<Utc>,
) -> Result<Option<InboxEntry>, DbErr> {
    const REQUEUE: &str = "
        UPDATE stripe_events SET state = 'queued', attempt_count = 0, next_attempt_at = $2,
            ended_at = NULL, lease_token = NULL, lease_until = NULL
        WHERE event_id = $1
        RETURNING event_id, event_type, state, attempt_count, received_at, next_attempt_at, ended_at,
            error_code, error_message";
    let values = [id.as_str().into(), now.into()];
    let row = EntryRow::find_by_statement(sql(REQUEUE, values))
        .one(db)
        .await?;
    row.map(InboxEntry::try_from).transpose()
}
