//! The one connection that a run has, and how it waits for locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm_migration::sea_orm::sqlx::postgres::{PgDatabaseError, PgPoolOptions};
use sea_orm_migration::sea_orm::sqlx::{self, Executor};
use sea_orm_migration::sea_orm::{
    self, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr,
    SqlxPostgresConnector, TransactionTrait,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Managed databases come with time-outs that an adoption of years of reports may exceed. Plan notices
/// ("already exists, skipping") are nobody's business.
const SETUP: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET client_min_messages = 'warning'";

/// For the first run, before which no service of ours works.
pub(crate) const LONG_LOCKS: &str = "SET LOCAL lock_timeout = '60s'";
/// Beside running services, which give up on a lock after 4 s and whose statements queue behind ours.
/// Below the second after which PostgreSQL looks for deadlocks: we give way, not they.
pub(crate) const SHORT_LOCKS: &str = "SET LOCAL lock_timeout = '800ms'";
/// How often a lock is tried for, and how long the services have to themselves in between.
const LOCK_ATTEMPTS_MAX: u32 = 120;
const LOCK_PAUSE: Duration = Duration::from_secs(1);

const OTHER_RUN_POLL: Duration = Duration::from_millis(200);
/// A run that builds indexes on many rows takes minutes.
const OTHER_RUN_WAIT_MAX: Duration = Duration::from_secs(3600);

/// The connection of a run that is the only one in its database.
pub(crate) struct Session {
    pub(crate) db: DatabaseConnection,
}

impl Session {
    /// Waits until no other run is under way in this database.
    ///
    /// The lock is asked for again and again. A statement that waits for it would hold a snapshot, and
    /// an index that the other run builds concurrently would wait for that.
    pub(crate) async fn alone(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let session = Self::open(db).await?;
        let deadline = tokio::time::Instant::now() + OTHER_RUN_WAIT_MAX;
        while !session.try_lock().await? {
            if tokio::time::Instant::now() > deadline {
                return Err(DbErr::Migration(
                    "the migrations already run in this database".to_owned(),
                ));
            }
            tokio::time::sleep(OTHER_RUN_POLL).await;
        }
        Ok(session)
    }

    /// One connection and never another: the lock and the time-outs are the session's. When it breaks
    /// the run is over.
    async fn open(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let options = db.get_postgres_connection_pool().connect_options();
        let opened = Arc::new(AtomicBool::new(false));
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                let is_second = opened.swap(true, Ordering::Relaxed);
                Box::pin(async move {
                    if is_second {
                        let lost = "the connection to the database was lost during the run";
                        return Err(sqlx::Error::Protocol(lost.to_owned()));
                    }
                    connection.execute(SETUP).await.map(drop)
                })
            })
            .connect_with((*options).clone())
            .await
            .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))?;
        Ok(Self {
            db: SqlxPostgresConnector::from_sqlx_postgres_pool(pool),
        })
    }

    async fn try_lock(&self) -> Result<bool, DbErr> {
        let lock = "SELECT pg_try_advisory_lock(hashtext('billing migrations'))";
        first_bool(&self.db, lock)
            .await
            .map(|got| got == Some(true))
    }

    /// Ends the session and with it the lock.
    pub(crate) async fn end<T>(self, run: Result<T, DbErr>) -> Result<T, DbErr> {
        let closed = self.db.close().await;
        let done = run?;
        closed?;
        Ok(done)
    }
}

pub(crate) async fn begin(
    db: &DatabaseConnection,
    setup: &str,
) -> Result<DatabaseTransaction, DbErr> {
    let transaction = db.begin().await?;
    transaction.execute_unprepared(setup).await?;
    Ok(transaction)
}

/// Ends a transaction: at once in either case. One that is merely dropped is rolled back when its
/// connection is next looked at, and holds its locks until then.
pub(crate) async fn end<T>(
    transaction: DatabaseTransaction,
    run: Result<T, DbErr>,
) -> Result<T, DbErr> {
    match run {
        Ok(done) => transaction.commit().await.map(|()| done),
        Err(error) => {
            // A connection that broke has rolled back by itself.
            drop(transaction.rollback().await);
            Err(error)
        }
    }
}

/// How often a statement that found a table locked is tried again.
#[derive(Default)]
pub(crate) struct Patience {
    attempts: u32,
}

impl Patience {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The error itself, when it is about something else than a lock or this was the last attempt.
    pub(crate) async fn wait_after(&mut self, error: DbErr) -> Result<(), DbErr> {
        self.attempts += 1;
        if !is_locked(&error) || self.attempts >= LOCK_ATTEMPTS_MAX {
            return Err(error);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
        Ok(())
    }
}

/// A lock that could not be had in time, or a deadlock that we lost.
fn is_locked(error: &DbErr) -> bool {
    refusal(error).is_some_and(|refusal| matches!(refusal.code(), "55P03" | "40P01"))
}

/// What PostgreSQL said.
pub(crate) fn refusal(error: &DbErr) -> Option<&PgDatabaseError> {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) =
        error
    else {
        return None;
    };
    cause.as_database_error()?.try_downcast_ref()
}

/// A statement that works concurrently holds no lock that reports wait for, and itself waits for every
/// transaction that is under way: it is not hurried.
pub(crate) async fn set_lock_timeout(
    db: &DatabaseConnection,
    is_concurrent: bool,
) -> Result<(), DbErr> {
    let set = if is_concurrent {
        "SET lock_timeout = '10min'"
    } else {
        "SET lock_timeout = '800ms'"
    };
    db.execute_unprepared(set).await.map(drop)
}

/// Drops the index if its build was interrupted.
pub(crate) async fn drop_invalid_index(db: &DatabaseConnection, name: &str) -> Result<(), DbErr> {
    let is_valid = format!(
        "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE c.relname = '{name}' AND c.relnamespace = current_schema()::regnamespace"
    );
    if first_bool(db, &is_valid).await? == Some(false) {
        set_lock_timeout(db, true).await?;
        db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {name}"))
            .await?;
    }
    Ok(())
}

/// Marks a migration as applied, as the migrator does.
pub(crate) async fn record(db: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    let insert = format!(
        "INSERT INTO seaql_migrations (version, applied_at)
         VALUES ('{name}', extract(epoch FROM now())::bigint)"
    );
    db.execute_unprepared(&insert).await.map(drop)
}

async fn first_bool(db: &DatabaseConnection, query: &str) -> Result<Option<bool>, DbErr> {
    let query = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, query);
    let row = db.query_one_raw(query).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}
