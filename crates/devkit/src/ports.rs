//! Free TCP ports of the loopback interface.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

/// Whether nothing listens on the port of 127.0.0.1 right now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Below the ports that the system gives to connections of its own accord, one of which could take a
/// port between the moment that it was found free and the moment that it is listened on.
const QUIET: std::ops::Range<u32> = 20_000..32_000;
/// How far apart processes begin to look, which may all look at once.
const STRIDE: u32 = 97;

/// A port that was free a moment ago. Nobody keeps it: take it soon, and try again if it is gone. No
/// port is given twice in a process until all were.
///
/// # Errors
/// When the machine has no port left.
pub fn any_free() -> anyhow::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = QUIET.end - QUIET.start;
    let first = std::process::id().wrapping_mul(STRIDE) % count;
    for _ in 0..count {
        let step = GIVEN.fetch_add(1, Ordering::Relaxed) % count;
        let port = u16::try_from(QUIET.start + (first + step) % count)?;
        if is_free(port) {
            return Ok(port);
        }
    }
    anyhow::bail!("no TCP port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_quiet_free_and_given_once() {
        let (one, other) = (any_free().unwrap(), any_free().unwrap());
        assert_ne!(one, other);
        for port in [one, other] {
            assert!(QUIET.contains(&u32::from(port)) && is_free(port), "{port}");
        }
    }
}
