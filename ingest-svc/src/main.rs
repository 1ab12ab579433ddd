//! The process: see the library.

use std::process::ExitCode;

use billing_kit::{config::Env, process};
use ingest_svc::{Config, Deps};

fn main() -> ExitCode {
    process::run(
        "ingest-svc",
        Config::from_env(Env::from_process()),
        |config| config.process.clone(),
        async |config, life| {
            ingest_svc::start(config, Deps::system(), life)
                .await
                .map(|running| running.health)
        },
    )
}
