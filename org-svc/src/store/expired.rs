//! Organizations that nobody ever linked, once they are old.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult, SqlErr, TransactionTrait,
};
use uuid::Uuid;

use super::statement;
use crate::domain::{keyset::Keyset, organization::OrganizationId};

/// Never linked: there is no customer, no operation, and it is not a row of an older database, of
/// which that is not known.
macro_rules! never_linked {
    () => {
        "o.stripe_customer_id IS NULL AND o.legacy IS NULL
            AND NOT EXISTS (SELECT FROM link_operations l WHERE l.organization_id = o.id)"
    };
}

const LIST: &str = concat!(
    "SELECT created_at AS at, id FROM organizations o WHERE ",
    never_linked!(),
    " AND created_at < $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4"
);

/// Those that were created before a moment and were never linked, the oldest first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    before: DateTime<Utc>,
    after: Option<Keyset>,
    limit: usize,
) -> Result<Vec<Keyset>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        at: DateTime<Utc>,
        id: Uuid,
    }
    let Keyset { at, id } = after.unwrap_or(Keyset {
        at: DateTime::UNIX_EPOCH,
        id: Uuid::nil(),
    });
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [before.into(), at.into(), id.into(), limit.into()];
    let rows = Row::find_by_statement(statement(LIST, values))
        .all(db)
        .await
        .map_err(db_fault)?;
    let rows = rows.into_iter();
    Ok(rows.map(|Row { at, id }| Keyset { at, id }).collect())
}

/// What became of an organization that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It is not there, now or before.
    Gone,
    /// It was linked meanwhile, it is too young, or a report of it came in.
    Kept,
}

const LOCK: &str = "SELECT id FROM organizations WHERE id = $1 FOR UPDATE";
const FORGET_CHANGES: &str = concat!(
    "DELETE FROM organization_changes c USING organizations o
    WHERE c.organization_id = $1 AND o.id = $1 AND ",
    never_linked!(),
    " AND o.created_at < $2"
);
const DELETE: &str = concat!(
    "DELETE FROM organizations o WHERE o.id = $1 AND ",
    never_linked!(),
    " AND o.created_at < $2 RETURNING o.id"
);

/// Deletes an organization that is expired, with what the feed tells of it. The foreign key of its
/// reports, which are another service's, keeps one that reported meanwhile.
pub(crate) async fn delete(
    db: &DatabaseConnection,
    id: OrganizationId,
    before: DateTime<Utc>,
) -> Result<Deletion, Fault> {
    let transaction = db.begin().await.map_err(db_fault)?;
    let found = transaction
        .query_one_raw(statement(LOCK, [id.0.into()]))
        .await
        .map_err(db_fault)?;
    if found.is_none() {
        return Ok(Deletion::Gone);
    }
    let values = || [id.0.into(), before.into()];
    transaction
        .execute_raw(statement(FORGET_CHANGES, values()))
        .await
        .map_err(db_fault)?;
    match transaction.query_one_raw(statement(DELETE, values())).await {
        Ok(Some(_)) => {
            transaction.commit().await.map_err(db_fault)?;
            Ok(Deletion::Gone)
        }
        Ok(None) => Ok(Deletion::Kept),
        Err(error) if has_reports(&error) => Ok(Deletion::Kept),
        Err(error) => Err(db_fault(error)),
    }
}

fn has_reports(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(SqlErr::ForeignKeyConstraintViolation(_))
    )
}
