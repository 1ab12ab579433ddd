//! The command line: the server, or `catalog plan` and `catalog apply`.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

use std::process::ExitCode;

use billing_kit::{
    Clock, Ids,
    config::{ConfigError, EXIT_CONFIG, Env},
    process::complain,
};
use clap::{Parser, Subcommand};

use crate::{
    app::change_catalog::{apply_catalog, plan_catalog},
    config::CatalogConfig,
    domain::catalog_diff::Plan,
    stripe::{ReadError, Stripe, Transport},
};

/// `catalog plan` found differences.
const EXIT_DIFFERENCES: u8 = 2;
const CONNECTIONS_MAX: usize = 1;

/// The only service that calls Stripe. Without a command it serves. The environment configures it.
#[derive(Debug, Parser)]
#[command(name = "stripe-svc", version)]
pub struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done beside serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare the catalog with Stripe.
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

/// Commands on the catalog. Both read STRIPE_SECRET_KEY, STRIPE_API_BASE and CATALOG_FILE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum CatalogCommand {
    /// Show the differences between the catalog and Stripe. Exits with 0 if there are none, else with 2.
    Plan,
    /// Change Stripe to match the catalog. You can run it again at any time.
    Apply,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// The exit code, once what is wrong, or the help that was asked for, is printed.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // When a message cannot be printed there is nobody left to tell.
            drop(error.print());
            ExitCode::from(if error.use_stderr() { EXIT_CONFIG } else { 0 })
        })
    }
}

/// Runs a command on the catalog from `main`.
pub fn catalog(command: CatalogCommand, env: Env) -> ExitCode {
    let config = match CatalogConfig::from_env(env, command == CatalogCommand::Apply) {
        Ok(config) => config,
        Err(error) => return wrong_config(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failure(&format!("the runtime cannot be started: {error}")),
    };
    let mut print = |line: &str| println!("{line}");
    match runtime.block_on(run_catalog(command, &config, &mut print)) {
        Ok(Ended::Agrees) => ExitCode::SUCCESS,
        Ok(Ended::Differs) => ExitCode::from(EXIT_DIFFERENCES),
        Ok(Ended::Obstructed) => ExitCode::FAILURE,
        Err(error) => failure(&error),
    }
}

fn wrong_config(error: &ConfigError) -> ExitCode {
    complain(&format!("stripe-svc: {error}"));
    ExitCode::from(EXIT_CONFIG)
}

fn failure(what: &str) -> ExitCode {
    complain(&format!("stripe-svc: {what}"));
    ExitCode::FAILURE
}

/// How a command on the catalog ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Stripe agrees with the catalog.
    Agrees,
    /// Something differs, and `apply` would mend it.
    Differs,
    /// Something differs that nothing can mend but another catalog.
    Obstructed,
}

/// Shows the difference between the catalog and Stripe, or makes it, a line each.
///
/// # Errors
/// Stripe refused or did not answer, as a sentence. What was printed is done.
pub async fn run_catalog(
    command: CatalogCommand,
    config: &CatalogConfig,
    print: &mut dyn FnMut(&str),
) -> Result<Ended, String> {
    let transport = Transport::new(&config.stripe, CONNECTIONS_MAX)?;
    let stripe = Stripe::new(transport, Clock::system());
    let told = |error: ReadError| error.to_string();
    let (plan, found) = plan_catalog(&stripe, &config.catalog).await.map_err(told)?;
    let Plan { actions, obstacles } = &plan;
    for obstacle in obstacles {
        print(&format!("! {obstacle}"));
    }
    if obstacles.is_empty() && actions.is_empty() {
        print("Stripe agrees with the catalog.");
        return Ok(Ended::Agrees);
    }
    match command {
        CatalogCommand::Plan => {
            for action in actions {
                print(&format!("+ {action}"));
            }
        }
        // Prices on a meter that measures otherwise would bill something else than the catalog says.
        CatalogCommand::Apply if !obstacles.is_empty() => print("Nothing was changed."),
        CatalogCommand::Apply => {
            let mut done = |action: &_| print(&format!("done: {action}"));
            apply_catalog(
                &stripe,
                &config.catalog,
                &plan,
                &found,
                &Ids::random(),
                &mut done,
            )
            .await
            .map_err(told)?;
            print("Stripe agrees with the catalog.");
            return Ok(Ended::Agrees);
        }
    }
    if !obstacles.is_empty() {
        return Ok(Ended::Obstructed);
    }
    if config.catalog.sample && config.stripe.is_live() {
        print("The amounts are samples: with this live key `apply` refuses them.");
    }
    print("Run `stripe-svc catalog apply` to apply this.");
    Ok(Ended::Differs)
}
