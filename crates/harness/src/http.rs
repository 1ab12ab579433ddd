//! The HTTP client of tests.

use std::{sync::Arc, time::Duration};

/// A client that is built the same way whatever features the rest of the workspace gives reqwest:
/// without a TLS provider that it is handed, building one would panic. It only ever speaks plain
/// HTTP, so it believes no authority at all; it follows no redirects and uses no proxy.
///
/// # Panics
/// The client cannot be built.
pub fn plain_http_client(timeout: Duration) -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring can do TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .build()
        .expect("an HTTP client")
}
