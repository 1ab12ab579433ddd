//! The simulator as a process: serve until a signal, then save.

mod flags;

use std::io::IsTerminal as _;

use clap::Parser as _;
use stripe_sim::Simulator;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = flags::Flags::parse().into_config();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_ansi(std::io::stderr().is_terminal());
    log.with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let handle = Simulator::start(config).await?;
    tracing::info!(url = handle.base_url(), "the Stripe simulator is listening");
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    handle.stop().await;
    Ok(())
}
