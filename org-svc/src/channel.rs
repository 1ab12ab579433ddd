//! The operator's own channel: where notices are sent, signed as Stripe signs its webhooks.
//!
//! The address is resolved once per connection, and what it resolves to is what is connected to: a
//! name that points elsewhere the second time gains nothing. Private addresses are left out unless the
//! operator says otherwise. No redirect is followed, and no proxy of the environment asked, which would
//! resolve the name by itself.

use std::{
    error::Error as StdError,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{
    Client,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::{Host, Url};
use uuid::Uuid;

use crate::domain::address::is_public;

/// How long an attempt may take, and its connection. Together they stay within a notice's lease.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_CONNECTIONS_MAX: usize = 2;

/// The header with the time and the signature over it and the body: `t=…,v1=…`.
const SIGNATURE: &str = "billing-signature";
/// The header with the notice's id.
const NOTICE_ID: &str = "billing-notice-id";

const PRIVATE: &str = "its address is private, and NOTICE_PRIVATE_ADDRESSES does not allow that";

/// Where notices go. The address may carry a token of the receiver's, so it is never shown.
#[derive(Clone)]
pub struct ChannelConfig {
    /// `https`; with private addresses also `http`.
    pub url: Url,
    /// What notices are signed with.
    pub secret: SecretString,
    /// Whether it may be on this machine or in this network.
    pub private_addresses: bool,
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConfig")
            .field("host", &self.url.host_str())
            .field("private_addresses", &self.private_addresses)
            .finish_non_exhaustive()
    }
}

impl ChannelConfig {
    /// What is wrong with the address, as a sentence that does not show it.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let is_fine = match self.url.scheme() {
            "https" => true,
            "http" => self.private_addresses,
            _ => false,
        };
        let literal = match self.url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Some("names no host"),
        };
        if !is_fine {
            return Some(
                "is not an https address; http is only for private addresses, with NOTICE_PRIVATE_ADDRESSES=true",
            );
        }
        let is_refused = literal.is_some_and(|it| !self.private_addresses && !is_public(it));
        is_refused
            .then_some("is a private address; to allow those set NOTICE_PRIVATE_ADDRESSES=true")
    }
}

/// The channel. Connects when there is something to tell.
#[derive(Clone)]
pub(crate) struct Channel {
    http: Client,
    config: ChannelConfig,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl Channel {
    pub(crate) fn new(config: ChannelConfig) -> Result<Self, String> {
        if let Some(problem) = config.problem() {
            return Err(format!("NOTICE_URL {problem}."));
        }
        let resolver = Resolver {
            private_addresses: config.private_addresses,
        };
        let http = Client::builder()
            .user_agent(concat!("VaultAI-Billing/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls()?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .build()
            .map_err(|error| format!("notices cannot be sent: {error}"))?;
        Ok(Self { http, config })
    }

    /// Sends one notice. Taken is what is answered with a 2xx.
    ///
    /// # Errors
    /// Why it was not taken, as a sentence without the address.
    pub(crate) async fn send(
        &self,
        id: Uuid,
        body: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let signature = sign(&self.config.secret, &body, now)?;
        let request = self
            .http
            .post(self.config.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(NOTICE_ID, id.to_string())
            .header(SIGNATURE, signature)
            .body(body);
        let response = request.send().await.map_err(told)?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("It answered with status {}.", status.as_u16()))
        }
    }
}

/// The signature's header, as Stripe's: over the time and the body, with the secret as it stands.
fn sign(secret: &SecretString, body: &[u8], now: DateTime<Utc>) -> Result<String, String> {
    let time = now.timestamp();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .map_err(|error| error.to_string())?;
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    let signature = mac.finalize().into_bytes();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={time},v1={hex}"))
}

/// What happened on the way, to its cause, and without the address.
fn told(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "It did not answer in time.".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn StdError = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    format!("It cannot be reached: {cause}.")
}

/// Resolves a name to what may be connected to.
#[derive(Debug)]
struct Resolver {
    private_addresses: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private_addresses = self.private_addresses;
        Box::pin(async move {
            // The port is the URL's: whoever connects puts it in.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| private_addresses || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(PRIVATE.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

fn tls() -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, private_addresses: bool) -> ChannelConfig {
        ChannelConfig {
            url: Url::parse(url).unwrap(),
            secret: "secret".into(),
            private_addresses,
        }
    }

    #[test]
    fn only_https_to_the_internet_unless_private_addresses_are_allowed() {
        for (url, is_public, is_allowed) in [
            ("https://hooks.example.com/x", true, true),
            ("http://hooks.example.com/x", false, true),
            ("https://8.8.8.8/x", true, true),
            ("https://127.0.0.1/x", false, true),
            // However it is written.
            ("https://2130706433/x", false, true),
            ("https://0x7f.1/x", false, true),
            ("https://[::1]/x", false, true),
            ("https://[::ffff:10.0.0.1]/x", false, true),
            ("https://169.254.169.254/x", false, true),
            ("ftp://hooks.example.com/x", false, false),
        ] {
            for (private, expected) in [(false, is_public), (true, is_allowed)] {
                let problem = config(url, private).problem();
                assert_eq!(problem.is_none(), expected, "{url} {private}: {problem:?}");
            }
        }
    }

    #[test]
    fn the_address_and_the_secret_are_never_shown() {
        let config = config("https://hooks.example.com/T0KEN", false);
        let channel = Channel::new(config.clone()).unwrap();
        for shown in [format!("{config:?}"), format!("{channel:?}")] {
            assert!(
                !shown.contains("T0KEN") && !shown.contains("\"secret\""),
                "{shown}"
            );
        }
    }

    /// The vector is OpenSSL's: `printf '1800000000.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_is_over_the_time_and_the_body() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(
            sign(&"secret".into(), b"{}", now).unwrap(),
            "t=1800000000,v1=bb7079132825ac793cea8c013c1dd24d926b9b02132245b10588d9e5c0df70d7"
        );
    }
}
