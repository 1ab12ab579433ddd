//! The HTTP client that everything here is made with.
//!
//! reqwest is built without a TLS provider, as in the rest of the workspace: a client that is not
//! handed one panics when it is built.
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client whose requests take at most this long, that follows no redirects (a token or a cookie is
/// for the host that it was given for), and that believes the authorities browsers believe.
pub fn client(request_timeout: Duration) -> anyhow::Result<Client> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("ring cannot do TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(request_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .build()
        .context("cannot make an HTTP client")
}
