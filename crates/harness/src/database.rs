//! A database of one's own, migrated, gone with its owner.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

use billing_devkit::postgres::{self, TEST_DATABASE_URL};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbErr};
use uuid::Uuid;

/// A migrated database that no other test knows.
#[derive(Debug)]
pub struct TestDatabase {
    server_url: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Creates a database by copying one that was migrated once.
    ///
    /// # Panics
    /// There is no server to create it on: tests run under `cargo xtask test`.
    pub async fn migrated() -> Self {
        let server_url = server_url();
        let template = template(&server_url)
            .await
            .expect("a migrated template database");
        Self::create(server_url, Some(&template))
    }

    /// Creates an empty database.
    ///
    /// # Panics
    /// As [`TestDatabase::migrated`].
    pub fn empty() -> Self {
        Self::create(server_url(), None)
    }

    fn create(server_url: String, template: Option<&str>) -> Self {
        let name = format!("test_{}", new_id().simple());
        let url = match template {
            Some(template) => postgres::create_database_from_template(&server_url, &name, template),
            None => postgres::create_database(&server_url, &name),
        }
        .expect("a database of the test's own");
        Self {
            server_url,
            name,
            url,
        }
    }

    /// Its address, for a user who may take every service's role.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets nobody in any more and ends the connections that there are: to its clients it is away.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn close_to_all(&self) {
        let name = &self.name;
        let end = format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        postgres::run_sql(&self.server_url, &end).expect("the database closes");
    }

    /// Lets everybody in again.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn open_again(&self) {
        let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        postgres::run_sql(&self.server_url, &open).expect("the database opens");
    }

    /// Makes sessions begin read-only, and ends those that there are: a failover after which its clients
    /// reach a server that may not be written to.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn make_read_only(&self) {
        let name = &self.name;
        let fail_over = format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = on; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        postgres::run_sql(&self.server_url, &fail_over).expect("the database is read-only");
    }

    /// Makes new sessions begin writable. Those that there are stay read-only.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn make_writable(&self) {
        let writable = format!(
            "ALTER DATABASE {} RESET default_transaction_read_only",
            self.name
        );
        postgres::run_sql(&self.server_url, &writable).expect("the database is writable");
    }

    /// A connection as that user, for a test that looks beneath the services.
    ///
    /// # Panics
    /// The server does not answer.
    pub async fn connect(&self) -> DatabaseConnection {
        connect(&self.url)
            .await
            .expect("a connection to the test's database")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A server that is gone has taken the database with it.
        let _gone = postgres::drop_database(&self.server_url, &self.name);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test cluster is named by the environment"
)]
fn server_url() -> String {
    std::env::var(TEST_DATABASE_URL).expect("tests need a database: run `cargo xtask test`")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's database needs a name, not a repeatable one"
)]
fn new_id() -> Uuid {
    Uuid::new_v4()
}

async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(2).sqlx_logging(false);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test connects as itself, not as a service"
    )]
    sea_orm::Database::connect(options).await
}

/// The database that all are copied from: made once per state of the migrations, by whichever test
/// process comes first.
async fn template(server_url: &str) -> Result<String, DbErr> {
    const LOCK: &str = "SELECT pg_advisory_lock(hashtext('billing-test-template'))";
    let mut hasher = DefaultHasher::new();
    migrations::sources().for_each(|source| source.hash(&mut hasher));
    let name = format!("template_{:016x}", hasher.finish());

    // One connection, because the lock is the session's; it goes with the connection.
    let mut options = ConnectOptions::new(server_url);
    options.max_connections(1).sqlx_logging(false);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test connects as itself, not as a service"
    )]
    let server = sea_orm::Database::connect(options).await?;
    server.execute_unprepared(LOCK).await?;
    let exists = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
    let exists = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, exists);
    if server.query_one_raw(exists).await?.is_none() {
        // Under another name until it is whole.
        let draft = format!("draft_{}", new_id().simple());
        server
            .execute_unprepared(&format!("CREATE DATABASE {draft}"))
            .await?;
        let draft_url = postgres::with_database(server_url, &draft)
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        let database = connect(&draft_url).await?;
        migrations::up(&database).await?;
        database.close().await?;
        server
            .execute_unprepared(&format!("ALTER DATABASE {draft} RENAME TO {name}"))
            .await?;
    }
    server.close().await?;
    Ok(name)
}
