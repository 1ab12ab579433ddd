//! What tests stand on: a migrated database each, and waiting without sleeping.
//!
//! Architecture invariant: only tests link this crate. It knows no service, so that every service's
//! tests can stand on it; the whole system stands in `billing_e2e`.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot have what it stands on fails by panicking"
)]

mod database;
mod http;

use std::{future::Future, time::Duration};

use tokio::time::Instant;

pub use database::TestDatabase;
pub use http::plain_http_client;

/// How long [`eventually`] waits before it gives up.
pub const EVENTUALLY_MAX: Duration = Duration::from_secs(20);
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// Probes until there is an answer.
///
/// # Panics
/// There was none in [`EVENTUALLY_MAX`]; the panic says what was waited for.
pub async fn eventually<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + EVENTUALLY_MAX;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {EVENTUALLY_MAX:?} in vain: {what}"
        );
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
