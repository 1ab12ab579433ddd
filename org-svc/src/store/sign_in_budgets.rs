//! The table `sign_in_budgets`: how often a password was tried, by account or browser.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::statement;
use crate::domain::attempts::{BudgetKey, Tried};

/// How many old rows go with each new one: the table shrinks faster than it grows.
const FORGOTTEN_AT_ONCE: i64 = 100;

#[derive(FromQueryResult)]
struct Row {
    attempt_count: i32,
    allowed_at: DateTime<Utc>,
    tried_at: DateTime<Utc>,
    told_at: Option<DateTime<Utc>>,
}

const ENSURE: &str = r"
    INSERT INTO sign_in_budgets (key, attempt_count, allowed_at, tried_at)
    VALUES ($1, 0, $2, $2)
    ON CONFLICT (key) DO NOTHING";

const LOCK: &str = r"
    SELECT attempt_count, allowed_at, tried_at, told_at
    FROM sign_in_budgets WHERE key = $1 FOR UPDATE";

/// What was tried under a key, locked to the end of the transaction, and whether that is new.
pub(crate) async fn lock(
    db: &impl ConnectionTrait,
    key: &BudgetKey,
    now: DateTime<Utc>,
) -> Result<(Tried, bool), Fault> {
    let ensured = db
        .execute_raw(statement(ENSURE, [key.bytes().into(), now.into()]))
        .await
        .map_err(db_fault)?;
    let row = Row::find_by_statement(statement(LOCK, [key.bytes().into()]))
        .one(db)
        .await
        .map_err(db_fault)?
        // Forgotten between the two statements, as it was old.
        .ok_or_else(|| Fault::unavailable("The attempts cannot be counted now."))?;
    let Row {
        attempt_count,
        allowed_at,
        tried_at,
        told_at,
    } = row;
    let tried = Tried {
        count: attempt_count.into(),
        allowed_at,
        tried_at,
        told_at,
    };
    Ok((tried, ensured.rows_affected() > 0))
}

const STORE: &str = r"
    UPDATE sign_in_budgets SET attempt_count = $2::bigint::integer, allowed_at = $3, tried_at = $4, told_at = $5
    WHERE key = $1";

/// Stores what was tried under a key.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    key: &BudgetKey,
    tried: Tried,
) -> Result<(), Fault> {
    let Tried {
        count,
        allowed_at,
        tried_at,
        told_at,
    } = tried;
    let values = [
        key.bytes().into(),
        count.into(),
        allowed_at.into(),
        tried_at.into(),
        told_at.into(),
    ];
    db.execute_raw(statement(STORE, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const GIVE_BACK: &str = r"
    UPDATE sign_in_budgets
    SET attempt_count = greatest(attempt_count - 1, 0),
        allowed_at = CASE WHEN allowed_at = $2 THEN $3 ELSE allowed_at END
    WHERE key = $1";

/// Takes back an attempt of the time `allowed_at`: the password was right. `before` is when the one
/// before it was allowed.
pub(crate) async fn give_back(
    db: &impl ConnectionTrait,
    key: &BudgetKey,
    allowed_at: DateTime<Utc>,
    before: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [key.bytes().into(), allowed_at.into(), before.into()];
    db.execute_raw(statement(GIVE_BACK, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const DELETE: &str = "DELETE FROM sign_in_budgets WHERE key = $1";

/// Forgets what was tried under a key.
pub(crate) async fn delete(db: &impl ConnectionTrait, key: &BudgetKey) -> Result<(), Fault> {
    db.execute_raw(statement(DELETE, [key.bytes().into()]))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const FORGET: &str = r"
    DELETE FROM sign_in_budgets WHERE key IN (
        SELECT key FROM sign_in_budgets WHERE tried_at < $1
        ORDER BY tried_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Forgets some of what nobody has tried since.
pub(crate) async fn forget_before(
    db: &impl ConnectionTrait,
    time: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [time.into(), FORGOTTEN_AT_ONCE.into()];
    db.execute_raw(statement(FORGET, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}
