//! The gateway's process.

use std::process::ExitCode;

use billing_kit::{config::Env, process};
use gateway::{Config, Deps};

fn main() -> ExitCode {
    process::run(
        "gateway",
        Config::from_env(Env::from_process()),
        |config| config.process.clone(),
        async |config, life| {
            gateway::start(config, Deps::system(), life)
                .await
                .map(|running| running.health)
        },
    )
}
