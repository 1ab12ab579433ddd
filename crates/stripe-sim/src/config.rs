//! How a simulator is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

/// Calls in a second of the simulator's clock; none means without limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimits {
    pub calls_per_second: Option<u32>,
    /// Stripe counts meter events apart in live mode; unset, they count as calls.
    pub meter_events_per_second: Option<u32>,
}

/// A receiver of webhooks that exists without being made by a call.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Plain `http://`.
    pub url: String,
    /// What deliveries are signed with: `whsec_…`.
    pub secret: SecretString,
}

impl WebhookConfig {
    pub(crate) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// One simulated account and where it is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Port 0 takes a free one.
    pub addr: SocketAddr,
    /// The one key that is accepted.
    pub secret_key: SecretString,
    /// Where the account is kept between runs. None keeps it in memory.
    pub state_file: Option<PathBuf>,
    /// Makes ids and the chances of faults repeatable.
    pub seed: Option<u64>,
    /// How far search lags behind, as Stripe's does by up to a minute. Whole seconds.
    pub search_lag: Duration,
    pub rate_limits: RateLimits,
    /// How long invoices stay drafts after their period: Stripe's hour, up to 72. Whole seconds.
    pub invoice_grace: Duration,
    /// An endpoint that is told of every event from the start.
    pub webhook: Option<WebhookConfig>,
    /// Divides the waits between attempts to deliver, which are minutes and hours as Stripe's.
    pub webhook_retry_speedup: u32,
    /// How far summaries of usage and previews of invoices lag behind. Whole seconds.
    pub summary_lag: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret_key: SecretString::from("sk_test_local"),
            state_file: None,
            seed: None,
            search_lag: Duration::ZERO,
            rate_limits: RateLimits::default(),
            invoice_grace: Duration::from_secs(3_600),
            webhook: None,
            webhook_retry_speedup: 1,
            summary_lag: Duration::ZERO,
        }
    }
}
