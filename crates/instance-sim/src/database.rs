//! How the simulator reaches a database: with the address's own user, without a service's role.

use billing_database::{Address, Policy};
use sea_orm::sqlx::postgres::PgPoolOptions;
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};

/// An address that is wrong; the program exits with [`billing_database::EXIT_CONFIG`].
#[derive(Debug)]
pub struct WrongAddress(Vec<String>);

impl std::fmt::Display for WrongAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for WrongAddress {}

/// A pool of a few connections.
///
/// # Errors
/// The address is wrong, or the database does not answer.
pub(crate) async fn connect(database_url: &str) -> anyhow::Result<DatabaseConnection> {
    let address =
        Address::parse("DATABASE_URL", database_url, &Policy::default()).map_err(WrongAddress)?;
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(address.connect_options())
        .await?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}
