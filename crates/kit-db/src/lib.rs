//! The database side of the kit: the pool with its role, what queries have in common, and database
//! errors as faults.
//!
//! Architecture invariant: a service reaches its tables through [`connect`] alone, which sets the
//! service's role on every connection, so that the database itself keeps each room closed to the
//! others.

mod fault;
pub mod query;
mod readiness;
mod store_error;

use std::time::{Duration, Instant};

use billing_database::{ALLOW_PLAINTEXT, Address, Policy, SCHEMA, StartError, check_session};
use billing_kit::config::Env;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::{DatabaseConnection, DbErr, SqlxPostgresConnector, sqlx};
use secrecy::ExposeSecret;

pub use fault::{db_fault, is_unique_violation};
pub use readiness::Readiness;
pub use store_error::StoreError;

const URL: &str = "DATABASE_URL";
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
    /// Or what is wrong with it.
    address: Result<Address, String>,
    pool_size_max: u32,
}

impl DatabaseConfig {
    /// Reads `DATABASE_URL`, `DATABASE_ALLOW_PLAINTEXT`, `DATABASE_SCHEMA` and `DATABASE_POOL_SIZE`.
    pub fn read(env: &mut Env) -> Self {
        let url = env.required_secret(
            URL,
            "the address of PostgreSQL, for example postgresql://user:password@host:5432/billing",
        );
        let policy = Policy {
            allow_plaintext: env.optional(ALLOW_PLAINTEXT),
            schema: env.optional(SCHEMA),
        };
        let address = match Address::parse(URL, url.expose_secret(), &policy) {
            Ok(address) => Ok(address),
            // That it is not set was said already.
            Err(_) if url.expose_secret().is_empty() => Err(format!("{URL} is not set.")),
            Err(problems) => {
                problems.iter().for_each(|problem| env.problem(problem));
                Err(problems.join(" "))
            }
        };
        let pool_size_max = env
            .parsed(
                "DATABASE_POOL_SIZE",
                POOL_SIZE_DEFAULT,
                "a number of connections",
            )
            .max(1);
        Self {
            address,
            pool_size_max,
        }
    }

    /// A config for any database: for tests.
    pub fn new(url: impl AsRef<str>, pool_size_max: u32) -> Self {
        Self {
            address: Address::parse(URL, url.as_ref(), &Policy::default())
                .map_err(|problems| problems.join(" ")),
            pool_size_max,
        }
    }
}

/// A pool whose every connection runs as `role`, in one schema and in UTC. It connects when it is first
/// used.
///
/// # Errors
/// The address cannot be read.
pub async fn connect(
    config: &DatabaseConfig,
    role: &'static str,
) -> Result<DatabaseConnection, DbErr> {
    let address = config
        .address
        .as_ref()
        .map_err(|problem| DbErr::Custom(problem.clone()))?;
    if address.is_plaintext_to_another_machine() {
        tracing::warn!(
            "{ALLOW_PLAINTEXT} is true: passwords and usage may go to PostgreSQL without TLS. Anybody on the way can read and change them"
        );
    }
    let setup = session_setup(role, &address.search_path());
    let pool = PgPoolOptions::new()
        .max_connections(config.pool_size_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        // `is_usable` does more, in the same time.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            let opened_at = Instant::now().checked_sub(meta.age);
            Box::pin(async move {
                Ok(!fault::is_to_be_replaced(opened_at) && is_usable(connection).await?)
            })
        })
        .after_connect(move |connection, _| {
            let setup = sqlx::AssertSqlSafe(setup.clone());
            Box::pin(async move { sqlx::Executor::execute(connection, setup).await.map(drop) })
        })
        .connect_lazy_with(address.connect_options());
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Whether a connection from the pool is outside any transaction and may write; one that is not is
/// closed, and so is one that does not answer.
///
/// After a failover a session may be left at a server that is a standby now. Even a server that became
/// writable again keeps `default_transaction_read_only` in the sessions that began before.
///
/// A caller may go away while its transaction begins: then the BEGIN was sent, sqlx does not know of
/// it, and what the next caller writes would be rolled back some seconds later, after it was told that
/// it is done.
async fn is_usable(connection: &mut sqlx::PgConnection) -> sqlx::Result<bool> {
    // A statement that is a transaction of its own begins when that does. By the simple protocol: in
    // the extended one a statement begins several times.
    const IS_USABLE: &str = "SELECT now() = statement_timestamp() \
        AND current_setting('transaction_read_only') = 'off'";
    let row = sqlx::Executor::fetch_one(connection, sqlx::raw_sql(IS_USABLE)).await?;
    sqlx::Row::try_get(&row, 0)
}

/// What every connection begins with. `role` is a constant of ours, never input.
///
/// A transaction whose process or machine is lost holds its locks until the server notices: the
/// server is told to notice within seconds. Plans are made for the values at hand, because the
/// tables grow by orders of magnitude within a connection's life.
fn session_setup(role: &str, search_path: &str) -> String {
    let statement_ms = STATEMENT_TIMEOUT.as_millis();
    let lock_ms = LOCK_TIMEOUT.as_millis();
    let idle_ms = IDLE_IN_TRANSACTION_TIMEOUT.as_millis();
    let lost_ms = CONNECTION_LOST_AFTER.as_millis();
    format!(
        "SET ROLE {role}; {search_path}; SET TIME ZONE 'UTC'; SET statement_timeout = {statement_ms}; \
         SET lock_timeout = {lock_ms}; SET idle_in_transaction_session_timeout = {idle_ms}; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
         SET tcp_user_timeout = {lost_ms}; SET plan_cache_mode = force_custom_plan;"
    )
}

/// Checks at start that the login may take the role and that each connection is a session of its own,
/// where the database can be reached. One that is away is no error: it is waited for, not ready
/// meanwhile, and checked by [`Readiness`] once it is there.
///
/// # Errors
/// A sentence with the fix.
pub async fn check_role(db: &DatabaseConnection, role: &str) -> Result<(), String> {
    match verify(db, role).await {
        Ok(()) => Ok(()),
        Err(NotVerified::Refused(sentence)) => Err(sentence),
        Err(NotVerified::Away(error)) => {
            tracing::warn!(%error, "the database cannot be reached yet");
            Ok(())
        }
    }
}

enum NotVerified {
    /// A sentence with the fix.
    Refused(String),
    Away(sqlx::Error),
}

async fn verify(db: &DatabaseConnection, role: &str) -> Result<(), NotVerified> {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    const UNDEFINED_OBJECT: &str = "22023";
    // On connections of its own: the pool would try again, and in the end tell of its time-out alone.
    let options = db.get_postgres_connection_pool().connect_options();
    check_session(&options).await.map_err(|error| match error {
        StartError::Refused(sentence) => NotVerified::Refused(format!("{URL} {sentence}")),
        StartError::Away(error) => NotVerified::Away(error),
    })?;
    let attempt = tokio::time::timeout(ACQUIRE_TIMEOUT, take_role(&options, role));
    let Err(error) = attempt.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) else {
        return Ok(());
    };
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    match code.as_deref() {
        Some(INSUFFICIENT_PRIVILEGE) => Err(NotVerified::Refused(format!(
            "the login of {URL} is no member of the role {role}. Run: GRANT {role} TO <login>;"
        ))),
        Some(UNDEFINED_OBJECT) => Err(NotVerified::Refused(format!(
            "the database has no role {role}. Run the migrations first: migrations up"
        ))),
        _ => Err(NotVerified::Away(error)),
    }
}

async fn take_role(options: &PgConnectOptions, role: &str) -> sqlx::Result<()> {
    let mut connection = sqlx::ConnectOptions::connect(options).await?;
    let set_role = sqlx::AssertSqlSafe(format!("SET ROLE {role}"));
    sqlx::Executor::execute(&mut connection, set_role).await?;
    sqlx::Connection::close(connection).await
}
