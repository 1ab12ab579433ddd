//! What PostgreSQL holds, read by SQL of our own: the services' code is what is on trial.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions as _, PgPool};
use serde::de::DeserializeOwned;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// More than PostgreSQL gives out unless told otherwise.
const CONNECTIONS_MAX: usize = 120;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(crate) struct Database {
    pool: PgPool,
}

impl Database {
    pub(crate) fn at(url: &str) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy(url)?;
        Ok(Self { pool })
    }

    /// The rows of a query, each as an object of its columns.
    pub(crate) async fn rows<T: DeserializeOwned>(&self, query: &str) -> anyhow::Result<Vec<T>> {
        let query = format!("SELECT coalesce(json_agg(t), '[]')::text FROM ({query}) t");
        let text: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&self.pool)
            .await?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Takes every connection that can be had, for a while. Answers how many that were.
pub(crate) async fn fill_connections(url: &str, lasting: Duration) -> anyhow::Result<usize> {
    let options: PgConnectOptions = url.parse()?;
    let mut taken = Vec::new();
    while taken.len() < CONNECTIONS_MAX {
        match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
            Ok(Ok(connection)) => taken.push(connection),
            // There are no more, or the server is away.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    tokio::time::sleep(lasting).await;
    Ok(taken.len())
}
