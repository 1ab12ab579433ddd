//! Free TCP ports of the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// Whether nothing listens on the port of 127.0.0.1 right now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port that was free a moment ago. Nobody keeps it: take it soon, and try again if it is gone.
///
/// # Errors
/// When the machine has no port left.
pub fn any_free() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no TCP port is free")?;
    let address = listener.local_addr().context("no TCP port is free")?;
    Ok(address.port())
}
