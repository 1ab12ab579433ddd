//! The database side of the kit: the pool with its role, and database errors as faults.
//!
//! Architecture invariant: a service reaches its tables through [`connect`] alone, which sets the
//! service's role on every connection, so that the database itself keeps each room closed to the
//! others.

mod fault;

use std::time::Duration;

use billing_kit::config::Env;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr, Statement, sqlx};
use secrecy::{ExposeSecret, SecretString};

pub use fault::{db_fault, is_unique_violation};

const POOL_SIZE_DEFAULT: u32 = 10;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a statement waits for another transaction's lock; less than a caller waits for us.
const LOCK_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a transaction may do nothing before the server ends it.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server waits for a client that acknowledges nothing.
const CONNECTION_LOST_AFTER: Duration = Duration::from_secs(20);

/// How a service reaches its database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    url: SecretString,
    pool_size_max: u32,
}

impl DatabaseConfig {
    /// Reads `DATABASE_URL` and `DATABASE_POOL_SIZE`.
    pub fn read(env: &mut Env) -> Self {
        let url = env.required_secret(
            "DATABASE_URL",
            "the address of PostgreSQL, for example postgresql://user:password@host:5432/billing",
        );
        let text = url.expose_secret();
        if !text.is_empty()
            && !text.starts_with("postgres://")
            && !text.starts_with("postgresql://")
        {
            env.problem("DATABASE_URL is no PostgreSQL address. It begins with postgresql://");
        }
        let pool_size_max = env
            .parsed(
                "DATABASE_POOL_SIZE",
                POOL_SIZE_DEFAULT,
                "a number of connections",
            )
            .max(1);
        Self { url, pool_size_max }
    }

    /// A config for any database: for tests.
    pub fn new(url: impl Into<String>, pool_size_max: u32) -> Self {
        Self {
            url: url.into().into(),
            pool_size_max,
        }
    }
}

/// A pool whose every connection runs as `role` and in UTC. It connects when it is first used.
///
/// # Errors
/// The address cannot be read.
pub async fn connect(
    config: &DatabaseConfig,
    role: &'static str,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(config.url.expose_secret());
    options
        .max_connections(config.pool_size_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy(true)
        // `is_clean` does more, in the same time.
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_postgres_pool_opts(move |pool| {
            let pool = pool.before_acquire(|connection, _| Box::pin(is_clean(connection)));
            pool.after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::Executor::execute(connection, sqlx::AssertSqlSafe(session_setup(role)))
                        .await
                        .map(drop)
                })
            })
        });
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the function that the rule names"
    )]
    sea_orm::Database::connect(options).await
}

/// Whether a connection from the pool is outside any transaction; one that is not is closed, and so is
/// one that does not answer.
///
/// A caller may go away while its transaction begins: then the BEGIN was sent, sqlx does not know of
/// it, and what the next caller writes would be rolled back some seconds later, after it was told that
/// it is done.
async fn is_clean(connection: &mut sqlx::PgConnection) -> sqlx::Result<bool> {
    // A statement that is a transaction of its own begins when that does. By the simple protocol: in
    // the extended one a statement begins several times.
    const IS_CLEAN: &str = "SELECT now() = statement_timestamp()";
    let row = sqlx::Executor::fetch_one(connection, sqlx::raw_sql(IS_CLEAN)).await?;
    sqlx::Row::try_get(&row, 0)
}

/// What every connection begins with. `role` is a constant of ours, never input.
///
/// A transaction whose process or machine is lost holds its locks until the server notices: the
/// server is told to notice within seconds. Plans are made for the values at hand, because the
/// tables grow by orders of magnitude within a connection's life.
fn session_setup(role: &str) -> String {
    let statement_ms = STATEMENT_TIMEOUT.as_millis();
    let lock_ms = LOCK_TIMEOUT.as_millis();
    let idle_ms = IDLE_IN_TRANSACTION_TIMEOUT.as_millis();
    let lost_ms = CONNECTION_LOST_AFTER.as_millis();
    format!(
        "SET ROLE {role}; SET TIME ZONE 'UTC'; SET statement_timeout = {statement_ms}; \
         SET lock_timeout = {lock_ms}; SET idle_in_transaction_session_timeout = {idle_ms}; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
         SET tcp_user_timeout = {lost_ms}; SET plan_cache_mode = force_custom_plan;"
    )
}

/// Whether the database answers, as this role.
pub async fn is_reachable(db: &DatabaseConnection) -> bool {
    let ping = Statement::from_string(sea_orm::DbBackend::Postgres, "SELECT 1");
    match db.query_one_raw(ping).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "the database does not answer");
            false
        }
    }
}

/// Checks at start that the login may take the role, where the database can be reached. One that is
/// away is no error: it is waited for, not ready meanwhile.
///
/// # Errors
/// A sentence with the fix.
pub async fn check_role(db: &DatabaseConnection, role: &str) -> Result<(), String> {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    const UNDEFINED_OBJECT: &str = "22023";
    // On a connection of its own: the pool would try again, and in the end tell of its time-out alone.
    let options = db.get_postgres_connection_pool().connect_options();
    let attempt = tokio::time::timeout(ACQUIRE_TIMEOUT, take_role(&options, role));
    let Err(error) = attempt.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) else {
        return Ok(());
    };
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    match code.as_deref() {
        Some(INSUFFICIENT_PRIVILEGE) => Err(format!(
            "the login of DATABASE_URL is no member of the role {role}. Run: GRANT {role} TO <login>;"
        )),
        Some(UNDEFINED_OBJECT) => Err(format!(
            "the database has no role {role}. Run the migrations first: migrations up"
        )),
        _ => {
            tracing::warn!(%error, "the database cannot be reached yet");
            Ok(())
        }
    }
}

async fn take_role(options: &sqlx::postgres::PgConnectOptions, role: &str) -> sqlx::Result<()> {
    let mut connection = sqlx::ConnectOptions::connect(options).await?;
    let setup = sqlx::AssertSqlSafe(session_setup(role));
    sqlx::Executor::execute(&mut connection, setup).await?;
    sqlx::Connection::close(connection).await
}
