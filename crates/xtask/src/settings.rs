//! What one run of `up` stands on: addresses, secrets, certificates. Made once and kept in its
//! directory, or taken from the specification's variables where the caller has set them.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use billing_database::{ALLOW_PLAINTEXT, Address, Policy, SCHEMA};
use billing_devkit::files;
use billing_devkit::pki::{DevPki, SigningKey, ensure_signing_key};
use billing_devkit::wiring::IDENTITIES;
use serde::{Deserialize, Serialize};

use crate::layout;
use crate::leftovers::Ledger;
use crate::ports::Ports;

const SIMULATOR_KEY: &str = "sk_test_local";
const STRIPE_API: &str = "https://api.stripe.com";
const ADMIN_EMAIL: &str = "admin@billing.example";

/// Which Stripe is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Stripe {
    pub(crate) api_base: String,
    pub(crate) secret_key: String,
    /// Whether it is the simulator, which has to be started.
    pub(crate) is_simulated: bool,
}

/// The dashboard's first admin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Admin {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// Everything a run is made of but its database, which may have to be started first.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) dir: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) base_url: String,
    /// The caller's database, where there is one.
    pub(crate) database_url: Option<String>,
    pub(crate) stripe: Stripe,
    /// What is sold: our sample, unless the caller names another.
    pub(crate) catalog: PathBuf,
    pub(crate) admin: Admin,
    pub(crate) better_auth_secret: String,
    pub(crate) pki: DevPki,
    pub(crate) signing_key: SigningKey,
}

/// Makes the directory this run's own, for as long as the lock is kept, and ends what a killed run
/// left behind in it.
pub(crate) fn claim(dir: &Path) -> anyhow::Result<File> {
    let Some(lock) = files::lock_now(dir)? else {
        anyhow::bail!(
            "Another `cargo xtask up` runs in {}. Stop that one first, or give this one a directory of its own (--data-dir).",
            dir.display()
        );
    };
    Ledger::of(dir).end_leftovers()?;
    Ok(lock)
}

impl Settings {
    /// Of a directory that was claimed.
    pub(crate) fn prepare(dir: &Path) -> anyhow::Result<Self> {
        let dir = std::fs::canonicalize(dir)?;
        let ports = Ports::choose()?;
        let base_url = format!("http://127.0.0.1:{}", ports.gateway);
        let pki_dir = dir.join("pki");
        let better_auth_secret = match given("BETTER_AUTH_SECRET") {
            Some(secret) => secret,
            None => files::ensure_secret(&dir.join("better-auth-secret"))?,
        };
        Ok(Self {
            base_url,
            database_url: given("DATABASE_URL"),
            stripe: stripe(&ports)?,
            catalog: given("CATALOG_FILE").map_or_else(layout::sample_catalog, PathBuf::from),
            admin: ensure_admin(&dir.join("admin.json"))?,
            better_auth_secret,
            pki: DevPki::ensure(&pki_dir, &IDENTITIES)?,
            signing_key: ensure_signing_key(&pki_dir)?,
            ports,
            dir,
        })
    }
}

fn stripe(ports: &Ports) -> anyhow::Result<Stripe> {
    let Some(secret_key) = given("STRIPE_SECRET_KEY") else {
        anyhow::ensure!(
            given("STRIPE_API_BASE").is_none(),
            "STRIPE_API_BASE is set without STRIPE_SECRET_KEY. Set both to use that Stripe, or neither to use the simulator."
        );
        return Ok(Stripe {
            api_base: format!("http://127.0.0.1:{}", ports.stripe_sim),
            secret_key: SIMULATOR_KEY.to_owned(),
            is_simulated: true,
        });
    };
    Ok(Stripe {
        api_base: given("STRIPE_API_BASE").unwrap_or_else(|| STRIPE_API.to_owned()),
        secret_key,
        is_simulated: false,
    })
}

/// The admin of earlier runs, or a new one.
fn ensure_admin(path: &Path) -> anyhow::Result<Admin> {
    if let Ok(json) = std::fs::read(path) {
        return serde_json::from_slice(&json).with_context(|| {
            format!(
                "{} is damaged. Remove it to get a new password.",
                path.display()
            )
        });
    }
    let admin = Admin {
        email: ADMIN_EMAIL.to_owned(),
        password: files::random_secret(),
    };
    files::write_atomically(path, &serde_json::to_vec_pretty(&admin)?, files::PRIVATE)?;
    Ok(admin)
}

/// What is wrong with the caller's database, before a service is built for it.
pub(crate) fn database_problems() -> Vec<String> {
    const URL: &str = "DATABASE_URL";
    let policy = Policy {
        allow_plaintext: given(ALLOW_PLAINTEXT),
        schema: given(SCHEMA),
    };
    given(URL)
        .and_then(|url| Address::parse(URL, &url, &policy).err())
        .unwrap_or_default()
}

/// A variable of the caller's environment, unless it is empty.
pub(crate) fn given(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "xtask is no service: it takes over what its caller has set, and hands it on"
    )]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admins_password_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.json");
        let first = ensure_admin(&path).unwrap();
        assert_eq!(ensure_admin(&path).unwrap().password, first.password);
        assert!(first.password.len() >= 20);
    }
}
