//! The variables that each service is started with. They are the same that a deployment sets.

use tokio::process::Command;

use crate::layout;
use crate::processes::GRACE_SECONDS;
use crate::settings::{DEVELOPER, Settings, given};

/// One of the product's processes, ready to be started.
///
/// # Errors
/// When its binary was not built.
pub(crate) fn gateway(settings: &Settings) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let mut command = service(settings, "gateway", ports.gateway, ports.gateway_health)?;
    command
        .env("INGEST_SVC_URL", url(ports.ingest))
        .env("ORG_SVC_URL", url(ports.org))
        .env("STRIPE_SVC_URL", url(ports.stripe))
        .env("BETTER_AUTH_SECRET", &settings.better_auth_secret);
    for name in ["BETTER_AUTH_URL", "NEXT_PUBLIC_BETTER_AUTH_URL"] {
        let value = given(name).unwrap_or_else(|| settings.base_url.clone());
        command.env(name, value);
    }
    Ok(command)
}

/// See [`gateway`].
///
/// # Errors
/// When its binary was not built.
pub(crate) fn ingest_svc(settings: &Settings, database_url: &str) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let mut command = service(settings, "ingest-svc", ports.ingest, ports.ingest_health)?;
    command
        .env("DATABASE_URL", database_url)
        .env("ORG_SVC_URL", url(ports.org))
        .env("STRIPE_SVC_URL", url(ports.stripe))
        .env(
            "ADMIN_ASSERTION_PUBLIC_KEY_FILE",
            &settings.signing_key.public,
        );
    Ok(command)
}

/// See [`gateway`].
///
/// # Errors
/// When its binary was not built.
pub(crate) fn org_svc(settings: &Settings, database_url: &str) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let mut command = service(settings, "org-svc", ports.org, ports.org_health)?;
    command
        .env("DATABASE_URL", database_url)
        .env("STRIPE_SVC_URL", url(ports.stripe))
        .env("ORG_READERS", DEVELOPER)
        .env(
            "ADMIN_ASSERTION_PUBLIC_KEY_FILE",
            &settings.signing_key.public,
        )
        .env(
            "ADMIN_ASSERTION_PRIVATE_KEY_FILE",
            &settings.signing_key.private,
        );
    Ok(command)
}

/// See [`gateway`].
///
/// # Errors
/// When its binary was not built.
pub(crate) fn stripe_svc(settings: &Settings, database_url: &str) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let mut command = service(settings, "stripe-svc", ports.stripe, ports.stripe_health)?;
    let catalog = layout::root().join("stripe-svc/catalog.toml");
    command
        .env("DATABASE_URL", database_url)
        .env("STRIPE_SECRET_KEY", &settings.stripe.secret_key)
        .env("STRIPE_API_BASE", &settings.stripe.api_base)
        .env(
            "ADMIN_ASSERTION_PUBLIC_KEY_FILE",
            &settings.signing_key.public,
        )
        .env(
            "CATALOG_FILE",
            given("CATALOG_FILE").map_or(catalog, Into::into),
        );
    Ok(command)
}

/// The simulator keeps its state in a file, so that a second run finds the customers of the first.
///
/// # Errors
/// When its binary was not built.
pub(crate) fn stripe_sim(settings: &Settings) -> anyhow::Result<Command> {
    let mut command = Command::new(layout::binary("stripe-sim")?);
    command
        .args(["--listen", &address(settings.ports.stripe_sim)])
        .args(["--secret-key", &settings.stripe.secret_key])
        .arg("--state-file")
        .arg(settings.dir.join("stripe-sim.json"));
    Ok(command)
}

/// Brings the database to this release's tables.
///
/// # Errors
/// When its binary was not built.
pub(crate) fn migrations(database_url: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(layout::binary("migrations")?);
    command
        .args(["up", "--wait", "30"])
        .env("DATABASE_URL", database_url);
    Ok(command)
}

/// What every service is told: where to listen, who it is, how to log.
fn service(
    settings: &Settings,
    name: &str,
    port: u16,
    health_port: u16,
) -> anyhow::Result<Command> {
    let mut command = Command::new(layout::binary(name)?);
    command
        .env("LISTEN_ADDR", address(port))
        .env("HEALTH_ADDR", address(health_port))
        .env("TLS_CERT_FILE", settings.pki.cert(name))
        .env("TLS_KEY_FILE", settings.pki.key(name))
        .env("TLS_CA_FILE", settings.pki.ca())
        .env("SHUTDOWN_GRACE_SECONDS", GRACE_SECONDS.to_string());
    for (name, default) in [("LOG_FORMAT", "text"), ("LOG_FILTER", "info")] {
        command.env(name, given(name).unwrap_or_else(|| default.to_owned()));
    }
    Ok(command)
}

/// HOST:PORT on this machine.
pub(crate) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// By name, as between machines: certificates are checked against it.
fn url(port: u16) -> String {
    format!("https://localhost:{port}")
}
