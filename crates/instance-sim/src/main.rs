//! The program: see `instance-sim --help`.
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use instance_sim::cli::{self, Cli};
use instance_sim::database::WrongAddress;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(cli.log_filter())))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match cli::run(cli).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            if error.is::<WrongAddress>() {
                ExitCode::from(billing_database::EXIT_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
