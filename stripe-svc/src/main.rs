//! Runs stripe-svc, or one of its commands.

use std::process::ExitCode;

use billing_kit::{config::Env, process};
use stripe_svc::{
    Config, Deps,
    cli::{self, Arguments, Command},
};

fn main() -> ExitCode {
    match Arguments::read() {
        Err(code) => code,
        Ok(Arguments {
            command: Some(Command::Catalog(command)),
        }) => cli::catalog(command, Env::from_process()),
        Ok(Arguments { command: None }) => process::run(
            "stripe-svc",
            Config::from_env(Env::from_process()),
            |config| config.process.clone(),
            async |config, life| {
                let running = stripe_svc::start(config, Deps::system(), life).await?;
                Ok::<_, String>(running.health)
            },
        ),
    }
}
