//! Which port everything listens on: the documented ones where they are free.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// The ports of one run, all different and all free when they were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) gateway: u16,
    pub(crate) stripe_sim: u16,
    pub(crate) ingest: u16,
    pub(crate) org: u16,
    pub(crate) stripe: u16,
    pub(crate) gateway_health: u16,
    pub(crate) ingest_health: u16,
    pub(crate) org_health: u16,
    pub(crate) stripe_health: u16,
}

impl Ports {
    pub(crate) fn choose() -> anyhow::Result<Self> {
        // Each stays bound until all are chosen, so that none is given out twice.
        let mut bound = Vec::new();
        let mut port = |default| choose(default, &mut bound);
        Ok(Self {
            gateway: port(8080)?,
            stripe_sim: port(12111)?,
            ingest: port(50051)?,
            org: port(50052)?,
            stripe: port(50053)?,
            gateway_health: port(9101)?,
            ingest_health: port(9102)?,
            org_health: port(9103)?,
            stripe_health: port(9104)?,
        })
    }
}

fn choose(default: u16, bound: &mut Vec<TcpListener>) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(default).or_else(|_| bind(0));
    let listener = listener.context("no TCP port is free")?;
    let port = listener.local_addr()?.port();
    bound.push(listener);
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_and_none_is_given_twice() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken_port = taken.local_addr().unwrap().port();
        let mut bound = Vec::new();
        let first = choose(taken_port, &mut bound).unwrap();
        let second = choose(first, &mut bound).unwrap();
        assert_ne!(first, taken_port);
        assert_ne!(second, first);
    }
}
