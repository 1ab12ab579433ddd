//! The flags of the simulator's process.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use secrecy::SecretString;
use stripe_sim::Config;

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
}

impl Flags {
    pub(crate) fn into_config(self) -> Config {
        let Self {
            listen,
            secret_key,
            state_file,
        } = self;
        Config {
            addr: listen,
            secret_key,
            state_file,
            ..Config::default()
        }
    }
}
