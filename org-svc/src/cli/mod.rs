//! The command line: `org-svc` serves, `org-svc admin …` is for the operator.

mod admin;

use std::process::ExitCode;

use billing_kit::{
    config::{EXIT_CONFIG, Env},
    process,
};
use billing_kit_db::DatabaseConfig;
use clap::{Parser, Subcommand};
use secrecy::SecretString;

use crate::{Config, Deps};

/// Organizations, their link to Stripe, and the admins of billing.
#[derive(Debug, Parser)]
#[command(name = "org-svc", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default).
    Serve,
    /// Manage the billing admins. Needs only DATABASE_URL.
    #[command(subcommand)]
    Admin(admin::AdminCommand),
}

/// Does what the process's arguments say.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // When a message cannot be printed there is nobody left to tell.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { EXIT_CONFIG } else { 0 });
        }
    };
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(),
        Command::Admin(command) => admin::run(command),
    }
}

/// Creates an admin, or gives an existing user a new password and makes an admin of them: what
/// `org-svc admin create` does, for a test that has no terminal.
///
/// # Errors
/// What is wrong, as a sentence.
pub async fn create_admin(
    database: &DatabaseConfig,
    email: &str,
    password: SecretString,
) -> Result<(), String> {
    match admin::create_on(database, email, None, password).await {
        Ok(_created) => Ok(()),
        Err(admin::Problem::Usage(line) | admin::Problem::Failed(line)) => Err(line),
    }
}

/// Gives a user a new password: what `org-svc admin reset-password` does.
///
/// # Errors
/// What is wrong, as a sentence.
pub async fn reset_password(
    database: &DatabaseConfig,
    email: &str,
    password: SecretString,
) -> Result<(), String> {
    match admin::reset_on(database, email, password).await {
        Ok(()) => Ok(()),
        Err(admin::Problem::Usage(line) | admin::Problem::Failed(line)) => Err(line),
    }
}

/// Takes billing away from an admin: what `org-svc admin disable` does.
///
/// # Errors
/// What is wrong, as a sentence.
pub async fn disable_admin(database: &DatabaseConfig, email: &str) -> Result<(), String> {
    match admin::disable_on(database, email).await {
        Ok(_line) => Ok(()),
        Err(admin::Problem::Usage(line) | admin::Problem::Failed(line)) => Err(line),
    }
}

fn serve() -> ExitCode {
    process::run(
        "org-svc",
        Config::from_env(Env::from_process()),
        |config| config.process.clone(),
        |config, life| async {
            let running = crate::start(config, Deps::system(), life).await?;
            tracing::info!(addr = %running.addr, "org-svc listens");
            Ok::<_, String>(running.health)
        },
    )
}
