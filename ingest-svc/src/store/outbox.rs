//! What another service has yet to be handed: rows that were stored with what they tell of, each under a
//! key by which the receiver stores it once. A row is leased, handed over, and forgotten or put off.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::sql;

/// The statements of a table that has, beside its own columns, `attempt_count`, `next_attempt_at`,
/// `lease_token` and `lease_until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outbox {
    pub(super) lease: &'static str,
    pub(super) forget: &'static str,
    pub(super) postpone: &'static str,
}

/// The outbox of a table, whose key is this column, as a text; and the columns that the one who hands a
/// row over reads.
macro_rules! outbox {
    ($table:literal, $key:literal, $columns:literal) => {
        $crate::store::outbox::Outbox {
            lease: concat!(
                "WITH due AS (SELECT ",
                $key,
                " AS key FROM ",
                $table,
                " WHERE next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until < $1)
                    ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
                UPDATE ",
                $table,
                " t SET lease_token = $2, lease_until = $3 FROM due WHERE t.",
                $key,
                " = due.key RETURNING ",
                $columns
            ),
            forget: concat!(
                "DELETE FROM ",
                $table,
                " WHERE lease_token = $1 AND ",
                $key,
                " = ANY($2)"
            ),
            postpone: concat!(
                "UPDATE ",
                $table,
                " t SET lease_token = NULL, lease_until = NULL,
                    attempt_count = t.attempt_count + 1, next_attempt_at = n.next_attempt_at
                FROM unnest($2::text[], $3::timestamptz[]) AS n (key, next_attempt_at)
                WHERE t.",
                $key,
                " = n.key AND t.lease_token = $1"
            ),
        }
    };
}

pub(super) use outbox;

/// A row that is being handed over.
pub(crate) trait Leased: FromQueryResult + Debug + Send + Sync {
    /// Its table.
    const OUTBOX: Outbox;

    /// What the receiver knows it by.
    fn key(&self) -> String;
    /// Attempts before this one.
    fn attempt_count(&self) -> i32;
}

/// Leases up to `limit` due rows that nobody else has.
pub(crate) async fn lease<T: Leased>(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<T>, DbErr> {
    let values = [now.into(), token.into(), until.into(), limit.into()];
    T::find_by_statement(sql(T::OUTBOX.lease, values))
        .all(db)
        .await
}

/// Forgets what the receiver has.
pub(crate) async fn forget<T: Leased>(
    db: &impl ConnectionTrait,
    token: Uuid,
    keys: Vec<String>,
) -> Result<(), DbErr> {
    if keys.is_empty() {
        return Ok(());
    }
    db.execute_raw(sql(T::OUTBOX.forget, [token.into(), keys.into()]))
        .await
        .map(drop)
}

/// Gives back what is still leased under `token`, each until its next attempt.
pub(crate) async fn postpone<T: Leased>(
    db: &impl ConnectionTrait,
    token: Uuid,
    next_attempts: &[(String, DateTime<Utc>)],
) -> Result<(), DbErr> {
    if next_attempts.is_empty() {
        return Ok(());
    }
    let (keys, times): (Vec<_>, Vec<_>) = next_attempts.iter().cloned().unzip();
    let values = [token.into(), keys.into(), times.into()];
    db.execute_raw(sql(T::OUTBOX.postpone, values))
        .await
        .map(drop)
}
