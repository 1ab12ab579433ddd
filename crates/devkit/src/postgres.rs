//! A PostgreSQL cluster of one's own: found or installed, started on a free port of 127.0.0.1, and
//! stopped with its owner.
//!
//! It needs no configuration of the machine and touches nothing but its own directory. PostgreSQL
//! refuses to run as root; for root it runs as another user, who owns the data directory.

mod account;
mod binaries;
mod cluster;
mod test_database;

pub use account::Account;
pub use binaries::Binaries;
pub use cluster::{Cluster, Durability, InUse, run_sql};
pub use test_database::{TestDatabase, test_server_url};

/// The variable in which `cargo xtask test` gives tests the URL of a database whose user may create
/// others. Tests create their own databases and leave this one alone.
pub const TEST_DATABASE_URL: &str = "BILLING_TEST_DATABASE_URL";

/// The URL of the same server's database of another name.
///
/// # Errors
/// When the URL has no host and path to speak of.
pub fn with_database(url: &str, database: &str) -> anyhow::Result<String> {
    let (rest, query) = match url.split_once('?') {
        Some((rest, query)) => (rest, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = rest
        .split_once("://")
        .ok_or_else(|| anyhow::anyhow!("a database's URL starts with postgresql://"))?;
    let authority = rest
        .split_once('/')
        .map_or(rest, |(authority, _)| authority);
    Ok(format!("{scheme}://{authority}/{database}{query}"))
}

/// Creates an empty database on the server of the URL, and gives its URL.
///
/// # Errors
/// When the server refuses, for instance because the name is taken.
pub fn create_database(url: &str, name: &str) -> anyhow::Result<String> {
    run_sql(url, &format!("CREATE DATABASE {}", quoted(name)))?;
    with_database(url, name)
}

/// Creates a database as a copy of another one that nobody is connected to, and gives its URL. A
/// copy of a migrated database takes tens of milliseconds, migrating one takes longer.
///
/// # Errors
/// When the server refuses.
pub fn create_database_from_template(
    url: &str,
    name: &str,
    template: &str,
) -> anyhow::Result<String> {
    let sql = format!(
        "CREATE DATABASE {} TEMPLATE {}",
        quoted(name),
        quoted(template)
    );
    run_sql(url, &sql)?;
    with_database(url, name)
}

/// Drops a database, whoever is still connected to it.
///
/// # Errors
/// When the server refuses.
pub fn drop_database(url: &str, name: &str) -> anyhow::Result<()> {
    run_sql(
        url,
        &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name)),
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
