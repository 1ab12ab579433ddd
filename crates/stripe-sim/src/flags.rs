//! The flags of the simulator's process.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use secrecy::SecretString;
use stripe_sim::{Config, WebhookConfig};

/// A stateful simulator of Stripe's API, for development and tests.
#[derive(Debug, Parser)]
pub(crate) struct Flags {
    #[arg(long, default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    /// The one key that is accepted.
    #[arg(
        long,
        env = "STRIPE_SIM_SECRET_KEY",
        hide_env_values = true,
        default_value = "sk_test_local"
    )]
    secret_key: SecretString,
    /// Keeps the account in this file between runs.
    #[arg(long)]
    state_file: Option<PathBuf>,
    /// Where every event is delivered, over plain http.
    #[arg(long, env = "STRIPE_SIM_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// What deliveries to that place are signed with.
    #[arg(
        long,
        env = "STRIPE_SIM_WEBHOOK_SECRET",
        hide_env_values = true,
        default_value = "whsec_local"
    )]
    webhook_secret: SecretString,
    /// Divides the waits between attempts to deliver, which are minutes and hours as Stripe's.
    #[arg(long, env = "STRIPE_SIM_WEBHOOK_RETRY_SPEEDUP", default_value = "1")]
    webhook_retry_speedup: u32,
}

impl Flags {
    pub(crate) fn into_config(self) -> Config {
        let Self {
            listen,
            secret_key,
            state_file,
            webhook_url,
            webhook_secret,
            webhook_retry_speedup,
        } = self;
        let webhook = webhook_url.filter(|url| !url.is_empty());
        let webhook = webhook.map(|url| WebhookConfig {
            url,
            secret: webhook_secret,
        });
        Config {
            addr: listen,
            secret_key,
            state_file,
            webhook,
            webhook_retry_speedup,
            ..Config::default()
        }
    }
}
