//! Database errors as faults: what passes by itself is told apart from what does not.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use billing_kit::Fault;
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::StoreError;

/// Connections that were opened before this moment are replaced. It is the process's, because an error
/// does not say which pool it came from; another pool opens its connections once more than needed.
static REPLACE_BEFORE: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether a connection that was opened then is to be closed and not used again.
pub(crate) fn is_to_be_replaced(opened_at: Option<Instant>) -> bool {
    let replace_before = REPLACE_BEFORE.lock();
    let replace_before = replace_before.unwrap_or_else(PoisonError::into_inner);
    replace_before.is_some_and(|moment| opened_at.is_none_or(|opened_at| opened_at <= moment))
}

/// The fault of a database error, or of a store's. Nothing of it but its kind reaches the caller.
pub fn db_fault(error: impl Into<StoreError>) -> Fault {
    error.into().into()
}

pub(crate) fn fault_of(error: DbErr) -> Fault {
    if is_of_the_session(&error) {
        tracing::warn!(%error, "connections to the database are replaced");
        let replace_before = REPLACE_BEFORE.lock();
        *replace_before.unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Fault::unavailable("The database cannot be reached now.").caused_by(error)
    } else if is_passing(&error) {
        Fault::unavailable("The database cannot be reached now.").caused_by(error)
    } else {
        Fault::internal(error)
    }
}

/// Whether this unique constraint, by its name, was violated.
pub fn is_unique_violation(error: &DbErr, constraint: &str) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(text)) if text.contains(constraint))
}

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    let (DbErr::Conn(RuntimeErr::SqlxError(driver))
    | DbErr::Exec(RuntimeErr::SqlxError(driver))
    | DbErr::Query(RuntimeErr::SqlxError(driver))) = error
    else {
        return None;
    };
    Some(driver)
}

/// Whether the same statement may well succeed in a new session: this one's server became read-only, or
/// what the driver prepared in it is no longer valid because a table was altered.
fn is_of_the_session(error: &DbErr) -> bool {
    const READ_ONLY: &str = "25006";
    const UNKNOWN_STATEMENT: &str = "26000";
    const NOT_SUPPORTED: &str = "0A000";
    let refusal = driver_error(error).and_then(sqlx::Error::as_database_error);
    let Some(refusal) = refusal else {
        return false;
    };
    match refusal.code().as_deref() {
        Some(READ_ONLY | UNKNOWN_STATEMENT) => true,
        Some(NOT_SUPPORTED) => refusal.message().starts_with("cached plan must not change"),
        _ => false,
    }
}

/// Whether the same statement may well succeed later: the connection broke or could not be had, the
/// server restarts, or a transaction lost against another.
fn is_passing(error: &DbErr) -> bool {
    // No connection could be had, whatever the reason: nothing was done.
    if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
        return true;
    }
    let Some(driver) = driver_error(error) else {
        return false;
    };
    if let sqlx::Error::Database(database) = driver {
        return database.code().is_some_and(|code| {
            // 08 connection, 40 rolled back, 53 resources, 57 operator (and our statement time-out),
            // 58 system; 55P03 a lock that could not be had.
            ["08", "40", "53", "57", "58", "55P03"]
                .iter()
                .any(|class| code.starts_with(class))
        });
    }
    matches!(
        driver,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn driver(error: sqlx::Error) -> DbErr {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
    }

    #[test]
    fn a_lost_connection_passes_and_a_wrong_statement_does_not() {
        let retry_after = |error| db_fault(driver(error)).retry_after;
        assert!(retry_after(sqlx::Error::PoolTimedOut).is_some());
        assert!(retry_after(sqlx::Error::RowNotFound).is_none());
    }
}
