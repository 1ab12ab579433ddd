//! The product that is attacked: the part of the ready file of `cargo xtask up` that attacks need.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Where the product is, and how to sign in.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) base_url: String,
    pub(crate) admin_email: String,
    pub(crate) admin_password: String,
    /// The simulator's, which tells what it was sent.
    pub(crate) stripe_api_base: String,
    pub(crate) grpc: GrpcAddresses,
    /// The gateway's process.
    pub(crate) gateway_pid: u32,
}

/// The gRPC port of each service.
#[derive(Debug, Deserialize)]
pub(crate) struct GrpcAddresses {
    pub(crate) gateway: SocketAddr,
    pub(crate) ingest: SocketAddr,
    pub(crate) org: SocketAddr,
    pub(crate) stripe: SocketAddr,
}

impl Target {
    /// Reads the ready file.
    ///
    /// # Errors
    /// The file cannot be read, or an address in it is not on this machine.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path)
            .with_context(|| format!("the ready file {} cannot be read", path.display()))?;
        let target: Self = serde_json::from_slice(&text)?;
        let GrpcAddresses {
            gateway,
            ingest,
            org,
            stripe,
        } = &target.grpc;
        for addr in [gateway, ingest, org, stripe] {
            ensure!(
                addr.ip().is_loopback(),
                "{addr} is not on this machine. Attacks are made on loopback only."
            );
        }
        for address in [&target.base_url, &target.stripe_api_base] {
            let url = reqwest::Url::parse(address)?;
            let host = url.host_str().unwrap_or_default();
            let is_here = host == "localhost"
                || host
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback());
            ensure!(
                is_here,
                "{address} is not on this machine. Attacks are made on loopback only."
            );
        }
        Ok(target)
    }
}
