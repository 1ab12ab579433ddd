//! What must be true of the server that an address leads to.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{self, ConnectOptions, Connection, Executor, Row};

/// A pooler with one connection to the server lets the second of ours wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A busy pooler hands out connections in any order.
const ROUNDS: usize = 3;

const POOLER: &str = "leads to a pooler in transaction mode. Sessions here set a role and a schema, which would leak into the sessions of others. Connect to PostgreSQL itself, or set the pooler to pool_mode = session.";
const STARTUP: &str = "leads to a pooler that refuses a setting at the beginning of a session. Connect to PostgreSQL itself, or let the pooler ignore the setting (PgBouncer: ignore_startup_parameters = extra_float_digits,options) in session mode.";
const NO_TLS: &str = "leads to a server that offers no TLS. Turn on ssl there. On a network that you trust, sslmode=disable and DATABASE_ALLOW_PLAINTEXT=true allow a connection without it.";

/// Why a program should not start.
#[derive(Debug)]
pub enum StartError {
    /// The server is not one that this program can work with: a sentence with the fix, to be put after
    /// the variable's name.
    Refused(&'static str),
    /// The server cannot be reached now.
    Away(sqlx::Error),
}

impl From<sqlx::Error> for StartError {
    fn from(error: sqlx::Error) -> Self {
        const PROTOCOL_VIOLATION: &str = "08P01";
        if let sqlx::Error::Tls(cause) = &error
            && cause.to_string().contains("does not support TLS")
        {
            return Self::Refused(NO_TLS);
        }
        // What PgBouncer says to a session with settings of its own.
        if let Some(refusal) = error.as_database_error()
            && refusal.code().as_deref() == Some(PROTOCOL_VIOLATION)
            && refusal.message().contains("startup parameter")
        {
            return Self::Refused(STARTUP);
        }
        Self::Away(error)
    }
}

/// Whether a connection is a session of its own. Behind a pooler in transaction mode it is not: two open
/// connections share one backend, or one connection has another backend while the first one is busy.
///
/// # Errors
/// It is not, or the server cannot be reached.
pub async fn check_session(options: &PgConnectOptions) -> Result<(), StartError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, is_own_session(options)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(StartError::Refused(POOLER)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(StartError::Away(sqlx::Error::PoolTimedOut)),
    }
}

async fn is_own_session(options: &PgConnectOptions) -> sqlx::Result<bool> {
    let mut one = options.connect().await?;
    let mut other = options.connect().await?;
    let mut is_own = true;
    for _ in 0..ROUNDS {
        let before = backend(&mut one).await?;
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let busy = backend(&mut other).await?;
        is_own = before != busy && backend(&mut one).await? == before;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        if !is_own {
            break;
        }
    }
    other.close().await?;
    one.close().await?;
    Ok(is_own)
}

async fn backend(connection: &mut PgConnection) -> sqlx::Result<i32> {
    // By the simple protocol: a pooler may not know prepared statements.
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()"))
        .await?;
    row.try_get(0)
}
