//! Whose word on a client's address is taken.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ipnet::IpNet;

/// The networks of the proxies in front of the gateway. A clone has the same memory.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Whether another proxy was seen.
    unknown_seen: Arc<AtomicBool>,
}

impl TrustedProxies {
    /// Reads networks (`10.0.0.0/8`) and single addresses.
    ///
    /// # Errors
    /// The entry that is neither.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        entries
            .iter()
            .map(|entry| {
                let single = || entry.parse::<IpAddr>().ok().map(IpNet::from);
                entry
                    .parse()
                    .ok()
                    .or_else(single)
                    .ok_or_else(|| entry.clone())
            })
            .collect::<Result<_, _>>()
            .map(|networks| Self {
                networks,
                unknown_seen: Arc::default(),
            })
    }

    /// The client's address: the peer's own, or, where the peer is one of these proxies, the
    /// right-most address in `X-Forwarded-For` that is none of them. Whatever stands further left
    /// was written by the client itself.
    pub fn client_address<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut address = peer.to_canonical();
        for value in forwarded_for.rev() {
            for entry in value.rsplit(',') {
                if !self.contains(address) {
                    return address;
                }
                let Some(next) = parse_address(entry.trim()) else {
                    return address;
                };
                address = next.to_canonical();
            }
        }
        address
    }

    /// Whether a peer that says for whom it speaks is a proxy of ours that nobody named: it stands in
    /// our own network, where no stranger's connection comes from.
    pub fn is_unknown_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let is_inside = match peer {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local()
            }
        };
        is_inside && !self.contains(peer)
    }

    /// Whether this is the first peer that is such a proxy: the operator is told of it once.
    pub fn is_first_unknown_proxy(&self, peer: IpAddr) -> bool {
        self.is_unknown_proxy(peer) && !self.unknown_seen.swap(true, Ordering::Relaxed)
    }

    /// Whether an address is one of these proxies.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// The form in which Better Auth keeps an address: IPv6 is cut to its /64 and written in full.
pub(crate) fn session_form(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:04x}:{b:04x}:{c:04x}:{d:04x}:0000:0000:0000:0000")
        }
    }
}

fn parse_address(entry: &str) -> Option<IpAddr> {
    let bare = entry.parse().ok().or_else(|| {
        entry
            .parse()
            .ok()
            .map(|socket: std::net::SocketAddr| socket.ip())
    });
    bare.or_else(|| entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded_for: &[&str]) -> String {
        let entries: Vec<_> = trusted.iter().map(|e| (*e).to_owned()).collect();
        TrustedProxies::parse(&entries)
            .unwrap()
            .client_address(peer.parse().unwrap(), forwarded_for.iter().copied())
            .to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies = ["10.0.0.0/8", "192.0.2.7"];
        for (peer, forwarded_for, address) in [
            ("203.0.113.9", vec!["1.2.3.4"], "203.0.113.9"),
            ("10.1.1.1", vec!["1.2.3.4"], "1.2.3.4"),
            ("10.1.1.1", vec!["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("10.1.1.1", vec!["6.6.6.6, 1.2.3.4, 192.0.2.7"], "1.2.3.4"),
            ("10.1.1.1", vec!["1.2.3.4", "10.2.2.2"], "1.2.3.4"),
            ("10.1.1.1", vec![], "10.1.1.1"),
            ("10.1.1.1", vec!["nonsense"], "10.1.1.1"),
            ("10.1.1.1", vec!["1.2.3.4:5678"], "1.2.3.4"),
            ("::ffff:10.1.1.1", vec!["[2001:db8::1]"], "2001:db8::1"),
        ] {
            assert_eq!(client(&proxies, peer, &forwarded_for), address);
        }
        assert_eq!(client(&[], "10.1.1.1", &["1.2.3.4"]), "10.1.1.1");
    }

    #[test]
    fn a_proxy_of_our_own_network_is_known_or_noticed() {
        let proxies = TrustedProxies::parse(&["10.1.0.0/16".to_owned()]).unwrap();
        for (peer, unknown) in [
            ("10.1.1.1", false),
            ("10.2.1.1", true),
            ("::ffff:192.168.0.1", true),
            ("fd00::1", true),
            ("203.0.113.9", false),
            ("2001:db8::1", false),
        ] {
            let peer: IpAddr = peer.parse().unwrap();
            assert_eq!(proxies.is_unknown_proxy(peer), unknown, "{peer}");
        }
    }

    #[test]
    fn ipv6_is_kept_as_its_network() {
        let form = |text: &str| session_form(text.parse().unwrap());
        assert_eq!(form("203.0.113.7"), "203.0.113.7");
        assert_eq!(
            form("2001:db8:1:2:3:4:5:6"),
            "2001:0db8:0001:0002:0000:0000:0000:0000"
        );
    }
}
