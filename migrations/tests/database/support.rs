//! A database, and the few ways in which these tests look at it.

use billing_devkit::postgres::{TestDatabase, run_sql};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};

pub(crate) struct Db {
    pub(crate) connection: DatabaseConnection,
    // After the connection: fields are dropped in their order.
    database: TestDatabase,
}

impl Db {
    /// An empty database.
    pub(crate) async fn empty() -> Self {
        let database = TestDatabase::create().unwrap();
        let connection = connect(database.url()).await;
        Self {
            connection,
            database,
        }
    }

    /// A database in which the SQL was run.
    pub(crate) async fn with(sql: &str) -> Self {
        let db = Self::empty().await;
        db.run(sql);
        db
    }

    /// An empty database, migrated.
    pub(crate) async fn migrated() -> Self {
        let db = Self::empty().await;
        db.up().await;
        db
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    pub(crate) async fn up(&self) -> Vec<String> {
        migrations::up(&self.connection).await.unwrap()
    }

    /// Runs SQL that must succeed.
    pub(crate) fn run(&self, sql: &str) {
        run_sql(self.url(), sql).unwrap();
    }

    /// Runs SQL in a role, in one session.
    pub(crate) fn try_as(&self, role: &str, sql: &str) -> Result<(), String> {
        run_sql(self.url(), &format!("SET ROLE {role}; {sql}")).map_err(|error| error.to_string())
    }

    /// Runs SQL in a role, which must not be let do it.
    pub(crate) fn denied_to(&self, role: &str, sql: &str) {
        let error = self.try_as(role, sql).unwrap_err();
        assert!(
            error.contains("permission denied"),
            "{role}: {sql}: {error}"
        );
    }

    /// The rows of a query, each as the text that PostgreSQL's `row_to_json` gives.
    pub(crate) async fn rows(&self, query: &str) -> Vec<serde_json::Value> {
        let sql = format!("SELECT row_to_json(q)::text AS j FROM ({query}) AS q");
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        let rows = self.connection.query_all_raw(statement).await.unwrap();
        let texts = rows
            .iter()
            .map(|row| row.try_get::<String>("", "j").unwrap());
        texts
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect()
    }

    /// The one row of a query.
    pub(crate) async fn row(&self, query: &str) -> serde_json::Value {
        let mut rows = self.rows(query).await;
        assert_eq!(rows.len(), 1, "{query}");
        rows.remove(0)
    }

    pub(crate) async fn count(&self, table: &str) -> u64 {
        let row = self.row(&format!("SELECT count(*) FROM {table}")).await;
        row["count"].as_u64().unwrap()
    }
}

/// A small pool: several connections, as a caller's may have.
pub(crate) async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(3).sqlx_logging(false);
    #[expect(
        clippy::disallowed_methods,
        reason = "migrations run as the owner of the tables, not in a service's role"
    )]
    Database::connect(options).await.unwrap()
}
