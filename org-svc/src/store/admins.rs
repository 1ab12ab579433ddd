//! The table `admins`: which users may administer billing.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::statement;
use crate::domain::account::UserId;

const INSERT: &str =
    "INSERT INTO admins (user_id, created_at) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING";

/// Makes a user an admin; says whether the user was none before.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    user_id: &UserId,
    now: DateTime<Utc>,
) -> Result<bool, Fault> {
    let values = [user_id.0.as_str().into(), now.into()];
    let result = db
        .execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(result.rows_affected() > 0)
}

#[derive(FromQueryResult)]
struct Row {
    user_id: String,
    created_at: DateTime<Utc>,
}

const GET: &str = "SELECT user_id, created_at FROM admins WHERE user_id = $1";

/// Whether a user is an admin.
pub(crate) async fn contains(db: &impl ConnectionTrait, user_id: &UserId) -> Result<bool, Fault> {
    let row = Row::find_by_statement(statement(GET, [user_id.0.as_str().into()]))
        .one(db)
        .await
        .map_err(db_fault)?;
    Ok(row.is_some())
}

const LIST: &str = "SELECT user_id, created_at FROM admins ORDER BY created_at, user_id";

/// All admins, and since when they are.
pub(crate) async fn list(db: &impl ConnectionTrait) -> Result<Vec<(UserId, DateTime<Utc>)>, Fault> {
    let rows = Row::find_by_statement(statement(LIST, []))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(rows
        .into_iter()
        .map(|row| (UserId(row.user_id), row.created_at))
        .collect())
}
