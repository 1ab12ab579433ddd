//! A database for one test.

use anyhow::Context;

use super::{TEST_DATABASE_URL, create_database, create_database_from_template, drop_database};
use crate::files::random_secret;

/// Longest name that PostgreSQL keeps in full.
const MAX_NAME_LENGTH: usize = 63;

/// A database that is dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    server_url: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// An empty database.
    ///
    /// # Errors
    /// When there is no server for tests, or it refuses.
    pub fn create() -> anyhow::Result<Self> {
        let (server_url, name) = (test_server_url()?, unique_name());
        let url = create_database(&server_url, &name)?;
        Ok(Self {
            server_url,
            name,
            url,
        })
    }

    /// A copy of a database that nobody is connected to.
    ///
    /// # Errors
    /// When there is no server for tests, or it refuses.
    pub fn copy_of(template: &str) -> anyhow::Result<Self> {
        let (server_url, name) = (test_server_url()?, unique_name());
        let url = create_database_from_template(&server_url, &name, template)?;
        Ok(Self {
            server_url,
            name,
            url,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Err(error) = drop_database(&self.server_url, &self.name) {
            eprintln!("the test database {} stays behind: {error:#}", self.name);
        }
    }
}

/// The URL of the server that tests make their databases on.
///
/// # Errors
/// When nobody has started one for us. The message says how.
pub fn test_server_url() -> anyhow::Result<String> {
    let url = std::env::var_os(TEST_DATABASE_URL).and_then(|url| url.into_string().ok());
    url.filter(|url| !url.is_empty()).with_context(|| {
        format!("{TEST_DATABASE_URL} is not set. Run tests with `cargo xtask test`, which starts a server for them (`cargo xtask test -p PACKAGE` for a few); or set it to the URL of a superuser of another server.")
    })
}

fn unique_name() -> String {
    let name = format!("test_{}", random_secret().to_lowercase());
    name.chars().take(MAX_NAME_LENGTH).collect()
}
