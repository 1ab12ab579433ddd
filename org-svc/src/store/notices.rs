//! The table `notices`: what the operator's own channel is told, stored with what it tells of.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{link_operations::Lease, statement, unknown_word};
use crate::domain::{
    keyset::Keyset,
    notice::{Notice, NoticeKey, NoticeKind, NoticeState, OpenNotice},
    page::PageSize,
};

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    kind: String,
    occurred_at: DateTime<Utc>,
    data: Json,
    created_at: DateTime<Utc>,
    attempt_count: i32,
}

impl TryFrom<Row> for Notice {
    type Error = Fault;

    fn try_from(row: Row) -> Result<Self, Fault> {
        let Row {
            id,
            kind,
            occurred_at,
            data,
            created_at,
            attempt_count,
        } = row;
        Ok(Self {
            id,
            kind: NoticeKind::from_word(&kind).ok_or_else(|| unknown_word("kind", &kind))?,
            occurred_at,
            data,
            created_at,
            attempt_count: u32::try_from(attempt_count).map_err(Fault::internal)?,
        })
    }
}

const INSERT: &str = r"
    INSERT INTO notices (id, kind, occurred_at, data, state, next_attempt_at, created_at)
    VALUES ($1, $2, $3, $4, 'queued', $5, $5)";

/// Stores a notice, to be sent once the transaction has ended.
pub(crate) async fn insert(db: &impl ConnectionTrait, notice: &Notice) -> Result<(), Fault> {
    let Notice {
        id,
        kind,
        occurred_at,
        data,
        created_at,
        attempt_count: _,
    } = notice;
    let values = [
        (*id).into(),
        kind.as_str().into(),
        (*occurred_at).into(),
        data.clone().into(),
        (*created_at).into(),
    ];
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const INSERT_TOLD: &str = r"
    INSERT INTO notices (id, key, kind, occurred_at, data, state, next_attempt_at, created_at)
    SELECT id, key, kind, occurred_at, data::jsonb, 'queued', $6, $6
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        AS t (id, key, kind, occurred_at, data)
    ORDER BY key
    ON CONFLICT (key) DO NOTHING";

/// Stores what another service tells of; what is stored under its key already stays as it is.
pub(crate) async fn insert_told(
    db: &impl ConnectionTrait,
    told: &[(NoticeKey, Notice)],
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    fn column<T>(told: &[(NoticeKey, Notice)], of: impl Fn(&Notice) -> T) -> Vec<T> {
        told.iter().map(|(_, notice)| of(notice)).collect()
    }
    let keys: Vec<_> = told
        .iter()
        .map(|(key, _)| key.as_str().to_owned())
        .collect();
    let values = [
        column(told, |it| it.id).into(),
        keys.into(),
        column(told, |it| it.kind.as_str().to_owned()).into(),
        column(told, |it| it.occurred_at).into(),
        column(told, |it| it.data.to_string()).into(),
        now.into(),
    ];
    db.execute_raw(statement(INSERT_TOLD, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct OpenRow {
    id: Uuid,
    kind: String,
    occurred_at: DateTime<Utc>,
    data: Json,
    state: String,
    attempt_count: i32,
    next_attempt_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<OpenRow> for OpenNotice {
    type Error = Fault;

    fn try_from(row: OpenRow) -> Result<Self, Fault> {
        let OpenRow {
            id,
            kind,
            occurred_at,
            data,
            state,
            attempt_count,
            next_attempt_at,
            settled_at,
            error_message,
            created_at,
        } = row;
        let notice = Row {
            id,
            kind,
            occurred_at,
            data,
            created_at,
            attempt_count,
        };
        Ok(Self {
            notice: notice.try_into()?,
            state: NoticeState::from_word(&state).ok_or_else(|| unknown_word("state", &state))?,
            next_attempt_at,
            settled_at,
            error: error_message,
        })
    }
}

const LIST_OPEN: &str = r"
    SELECT id, kind, occurred_at, data, state, attempt_count, next_attempt_at, settled_at,
        error_message, created_at
    FROM notices
    WHERE state <> 'sent' AND ($1::text IS NULL OR state = $1)
      AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
    ORDER BY created_at DESC, id DESC LIMIT $4";

/// A page of the notices that are not sent, the latest first, and whether there is more behind it.
pub(crate) async fn list_open(
    db: &impl ConnectionTrait,
    state: Option<NoticeState>,
    after: Option<Keyset>,
    size: PageSize,
) -> Result<(Vec<OpenNotice>, bool), Fault> {
    let values = [
        state.map(NoticeState::as_str).into(),
        after.map(|end| end.at).into(),
        after.map(|end| end.id).into(),
        // One more than the page holds tells whether there is another.
        (i64::from(size.get()) + 1).into(),
    ];
    let mut rows = OpenRow::find_by_statement(statement(LIST_OPEN, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let more = rows.len() > usize::from(size.get());
    rows.truncate(size.get().into());
    let notices = rows.into_iter().map(OpenNotice::try_from);
    Ok((notices.collect::<Result<_, _>>()?, more))
}

const CLAIM_DUE: &str = r"
    UPDATE notices AS n
    SET lease_token = $2, lease_until = $3, attempt_count = n.attempt_count + 1
    FROM (
        SELECT id FROM notices
        WHERE state = 'queued' AND next_attempt_at <= $1
          AND (lease_until IS NULL OR lease_until <= $1)
        ORDER BY next_attempt_at
        LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE n.id = due.id
    RETURNING n.id, n.kind, n.occurred_at, n.data, n.created_at, n.attempt_count";

/// Takes up to `limit` due notices under one lease.
pub(crate) async fn claim_due(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
    lease: Lease,
    limit: usize,
) -> Result<Vec<Notice>, Fault> {
    let values = [
        now.into(),
        lease.token.into(),
        lease.until.into(),
        i64::try_from(limit).map_err(Fault::internal)?.into(),
    ];
    let rows = Row::find_by_statement(statement(CLAIM_DUE, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    rows.into_iter().map(Notice::try_from).collect()
}

const SENT: &str = r"
    UPDATE notices
    SET state = 'sent', settled_at = $3, lease_token = NULL, lease_until = NULL, error_message = NULL
    WHERE id = $1 AND lease_token = $2 AND state = 'queued'";

/// The receiver has it.
pub(crate) async fn mark_sent(
    db: &impl ConnectionTrait,
    id: Uuid,
    lease_token: Uuid,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [id.into(), lease_token.into(), now.into()];
    db.execute_raw(statement(SENT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const POSTPONE: &str = r"
    UPDATE notices
    SET next_attempt_at = $4, lease_token = NULL, lease_until = NULL, error_message = $3
    WHERE id = $1 AND lease_token = $2 AND state = 'queued'";

/// Lets a notice go until its next attempt.
pub(crate) async fn postpone(
    db: &impl ConnectionTrait,
    id: Uuid,
    lease_token: Uuid,
    error: &str,
    next_attempt_at: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [
        id.into(),
        lease_token.into(),
        error.into(),
        next_attempt_at.into(),
    ];
    db.execute_raw(statement(POSTPONE, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const GIVE_UP: &str = r"
    UPDATE notices
    SET state = 'given_up', settled_at = $4, lease_token = NULL, lease_until = NULL, error_message = $3
    WHERE id = $1 AND lease_token = $2 AND state = 'queued'";

/// Ends the attempts at a notice that nobody took.
pub(crate) async fn give_up(
    db: &impl ConnectionTrait,
    id: Uuid,
    lease_token: Uuid,
    error: &str,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [id.into(), lease_token.into(), error.into(), now.into()];
    db.execute_raw(statement(GIVE_UP, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// How long it can be seen what was sent.
const KEEP_SENT: TimeDelta = TimeDelta::days(30);
/// What one statement deletes at most, in rows.
const FORGET_MAX: i64 = 10_000;

const FORGET: &str = r"
    DELETE FROM notices WHERE id IN (
        SELECT id FROM notices WHERE state = 'sent' AND settled_at < $1 ORDER BY settled_at LIMIT $2)";

/// Forgets what was sent long ago.
pub(crate) async fn forget_sent(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
) -> Result<u64, Fault> {
    let values = [(now - KEEP_SENT).into(), FORGET_MAX.into()];
    let forgotten = db
        .execute_raw(statement(FORGET, values))
        .await
        .map_err(db_fault)?;
    Ok(forgotten.rows_affected())
}
