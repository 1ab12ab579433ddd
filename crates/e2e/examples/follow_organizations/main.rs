//! An internal service in small: it keeps a copy of how every organization stands with Stripe.
//! docs/SERVICES.md explains it; `crates/e2e/tests/services.rs` runs it.
//!
//! It reads `ORG_SVC_URL`, `TLS_CA_FILE`, `TLS_CERT_FILE`, `TLS_KEY_FILE` and `COPY_FILE`, follows the
//! feed until it is stopped, and prints each change.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "an example reads its few variables where it starts"
)]

mod consumer;

use std::{env, fs};

use anyhow::Context;
use billing_proto::org::v1::OrganizationStanding;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let variable = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
    let pem = |name: &str| {
        let path = variable(name)?;
        fs::read_to_string(&path).with_context(|| format!("{name} is {path}"))
    };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem("TLS_CA_FILE")?))
        .identity(Identity::from_pem(
            pem("TLS_CERT_FILE")?,
            pem("TLS_KEY_FILE")?,
        ));
    let copy = variable("COPY_FILE")?.into();
    let print = |change: &OrganizationStanding| {
        let status = change.subscription_status().as_str_name();
        println!("{} {status}", change.organization_id);
    };
    match consumer::follow(&variable("ORG_SVC_URL")?, tls, copy, print).await? {}
}
