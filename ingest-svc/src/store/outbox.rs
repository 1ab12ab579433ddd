//! What another service has yet to be handed: rows that were stored with what they tell of, each under a
//! key by which the receiver stores it once. A row is leased, handed over, and forgotten or put off.

use std::fmt::Debug;

use billing_kit_db::{StoreError, query::composed};
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

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
                " WHERE next_attempt_at <= {now} AND (lease_until IS NULL OR lease_until < {now})
                    ORDER BY next_attempt_at LIMIT {limit} FOR UPDATE SKIP LOCKED)
                UPDATE ",
                $table,
                " t SET lease_token = {token}, lease_until = {until} FROM due WHERE t.",
                $key,
                " = due.key RETURNING ",
                $columns
            ),
            forget: concat!(
                "DELETE FROM ",
                $table,
                " WHERE lease_token = {token} AND ",
                $key,
                " = ANY({keys})"
            ),
            postpone: concat!(
                "UPDATE ",
                $table,
                " t SET lease_token = NULL, lease_until = NULL,
                    attempt_count = t.attempt_count + 1, next_attempt_at = n.next_attempt_at
                FROM unnest({keys}::text[], {times}::timestamptz[]) AS n (key, next_attempt_at)
                WHERE t.",
                $key,
                " = n.key AND t.lease_token = {token}"
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
) -> Result<Vec<T>, StoreError> {
    let values = [
        ("now", now.into()),
        ("token", token.into()),
        ("until", until.into()),
        ("limit", limit.into()),
    ];
    let leased = T::find_by_statement(composed(T::OUTBOX.lease, values));
    Ok(leased.all(db).await?)
}

/// Forgets what the receiver has.
pub(crate) async fn forget<T: Leased>(
    db: &impl ConnectionTrait,
    token: Uuid,
    keys: Vec<String>,
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let values = [("token", token.into()), ("keys", keys.into())];
    db.execute_raw(composed(T::OUTBOX.forget, values)).await?;
    Ok(())
}

/// Gives back what is still leased under `token`, each until its next attempt.
pub(crate) async fn postpone<T: Leased>(
    db: &impl ConnectionTrait,
    token: Uuid,
    next_attempts: &[(String, DateTime<Utc>)],
) -> Result<(), StoreError> {
    if next_attempts.is_empty() {
        return Ok(());
    }
    let (keys, times): (Vec<_>, Vec<_>) = next_attempts.iter().cloned().unzip();
    let values = [
        ("token", token.into()),
        ("keys", keys.into()),
        ("times", times.into()),
    ];
    db.execute_raw(composed(T::OUTBOX.postpone, values)).await?;
    Ok(())
}
