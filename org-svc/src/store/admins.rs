//! The table `admins`: which users may administer billing.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::statement;
use crate::domain::account::UserId;

/// Who may administer billing.
#[derive(Debug)]
pub(crate) struct ListedAdmin {
    pub(crate) user_id: UserId,
    pub(crate) since: DateTime<Utc>,
    /// To a few minutes; `None` before the first visit.
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
}

#[derive(FromQueryResult)]
struct Row {
    user_id: String,
    created_at: DateTime<Utc>,
    last_seen_at: Option<DateTime<Utc>>,
}

impl From<Row> for ListedAdmin {
    fn from(row: Row) -> Self {
        let Row {
            user_id,
            created_at,
            last_seen_at,
        } = row;
        Self {
            user_id: UserId(user_id),
            since: created_at,
            last_seen_at,
        }
    }
}

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

const GET: &str = "SELECT user_id, created_at, last_seen_at FROM admins WHERE user_id = $1";

/// The admin that a user is.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    user_id: &UserId,
) -> Result<Option<ListedAdmin>, Fault> {
    let row = Row::find_by_statement(statement(GET, [user_id.0.as_str().into()]))
        .one(db)
        .await
        .map_err(db_fault)?;
    Ok(row.map(ListedAdmin::from))
}

const LIST: &str =
    "SELECT user_id, created_at, last_seen_at FROM admins ORDER BY created_at, user_id";

/// All admins, the longest-serving first.
pub(crate) async fn list(db: &impl ConnectionTrait) -> Result<Vec<ListedAdmin>, Fault> {
    let rows = Row::find_by_statement(statement(LIST, []))
        .all(db)
        .await
        .map_err(db_fault)?;
    Ok(rows.into_iter().map(ListedAdmin::from).collect())
}

const NOTE_VISIT: &str = "UPDATE admins SET last_seen_at = $2 WHERE user_id = $1";

/// Keeps when an admin was here.
pub(crate) async fn note_visit(
    db: &impl ConnectionTrait,
    user_id: &UserId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let values = [user_id.0.as_str().into(), now.into()];
    db.execute_raw(statement(NOTE_VISIT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

const DELETE: &str = "DELETE FROM admins WHERE user_id = $1";

/// Makes an admin an ordinary user; says whether the user was one.
pub(crate) async fn delete(db: &impl ConnectionTrait, user_id: &UserId) -> Result<bool, Fault> {
    let result = db
        .execute_raw(statement(DELETE, [user_id.0.as_str().into()]))
        .await
        .map_err(db_fault)?;
    Ok(result.rows_affected() > 0)
}
