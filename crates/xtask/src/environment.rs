//! The variables that each service is started with. They are the same that a deployment sets.

use billing_devkit::wiring::{Callees, Place, Variables, Wiring};
use tokio::process::Command;

use crate::layout;
use crate::processes::GRACE_SECONDS;
use crate::settings::{Settings, given};

pub(crate) use billing_devkit::wiring::address;

/// What the simulator signs its webhooks with.
const SIMULATOR_WEBHOOK_SECRET: &str = "whsec_local";

/// One of the product's processes, ready to be started.
///
/// # Errors
/// When its binary was not built.
pub(crate) fn gateway(settings: &Settings) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let place = place(ports.gateway, ports.gateway_health);
    let variables = wiring(settings).gateway(place, callees(settings));
    let mut command = service("gateway", variables)?;
    for name in ["BETTER_AUTH_URL", "NEXT_PUBLIC_BETTER_AUTH_URL"] {
        if let Some(value) = given(name) {
            command.env(name, value);
        }
    }
    Ok(command)
}

/// See [`gateway`].
///
/// # Errors
/// When its binary was not built.
pub(crate) fn ingest_svc(settings: &Settings, database_url: &str) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let place = place(ports.ingest, ports.ingest_health);
    let variables = wiring(settings).ingest_svc(place, callees(settings), database_url);
    service("ingest-svc", variables)
}

/// See [`gateway`].
///
/// # Errors
/// When its binary was not built.
pub(crate) fn org_svc(settings: &Settings, database_url: &str) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let place = place(ports.org, ports.org_health);
    let variables = wiring(settings).org_svc(place, callees(settings), database_url);
    let mut command = service("org-svc", variables)?;
    for name in [
        "NEW_ORGANIZATIONS_PER_NETWORK",
        "NEW_ORGANIZATIONS_UNKNOWN_SOURCE",
    ] {
        if let Some(value) = given(name) {
            command.env(name, value);
        }
    }
    Ok(command)
}

/// See [`gateway`].
///
/// # Errors
/// When its binary was not built.
pub(crate) fn stripe_svc(settings: &Settings, database_url: &str) -> anyhow::Result<Command> {
    let ports = &settings.ports;
    let place = place(ports.stripe, ports.stripe_health);
    let mut variables = wiring(settings).stripe_svc(place, database_url);
    if settings.stripe.is_simulated {
        variables.push(("STRIPE_WEBHOOK_SECRET", SIMULATOR_WEBHOOK_SECRET.into()));
    }
    service("stripe-svc", variables)
}

/// The simulator keeps its state in a file, so that a second run finds the customers of the first.
///
/// # Errors
/// When its binary was not built.
pub(crate) fn stripe_sim(settings: &Settings) -> anyhow::Result<Command> {
    let gateway = address(settings.ports.gateway);
    let webhook_url = format!("http://{gateway}/api/webhooks/stripe");
    let mut command = Command::new(layout::binary("stripe-sim")?);
    command
        .args(["--listen", &address(settings.ports.stripe_sim)])
        .args(["--secret-key", &settings.stripe.secret_key])
        .arg("--state-file")
        .arg(settings.dir.join("stripe-sim.json"))
        .args(["--webhook-url", &webhook_url])
        .args(["--webhook-secret", SIMULATOR_WEBHOOK_SECRET]);
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

fn wiring(settings: &Settings) -> Wiring<'_> {
    Wiring {
        pki: &settings.pki,
        signing_key: &settings.signing_key,
        better_auth_secret: &settings.better_auth_secret,
        base_url: &settings.base_url,
        stripe_api_base: &settings.stripe.api_base,
        stripe_secret_key: &settings.stripe.secret_key,
        catalog: &settings.catalog,
        grace_seconds: GRACE_SECONDS,
    }
}

fn place(port: u16, health_port: u16) -> Place {
    Place { port, health_port }
}

fn callees(settings: &Settings) -> Callees {
    Callees {
        ingest: settings.ports.ingest,
        org: settings.ports.org,
        stripe: settings.ports.stripe,
    }
}

/// A service with its variables, and with the caller's word on how to log.
fn service(name: &str, variables: Variables) -> anyhow::Result<Command> {
    let mut command = Command::new(layout::binary(name)?);
    command.envs(variables);
    for (name, default) in [("LOG_FORMAT", "text"), ("LOG_FILTER", "info")] {
        command.env(name, given(name).unwrap_or_else(|| default.to_owned()));
    }
    Ok(command)
}
