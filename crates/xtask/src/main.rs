//! The project's tasks: `cargo xtask up`, `clock`, `test`, `ci`, `chaos`, `attack`, `bench-pages` and
//! `stripe-conformance`.
//!
//! Architecture invariant: xtask links none of the services. It builds their binaries and runs them
//! as anybody would, so that what it shows is what is shipped.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

mod attack;
mod bench_pages;
mod chaos;
mod ci;
mod client;
mod clock;
mod end_to_end;
mod environment;
mod failures;
mod layout;
mod leftovers;
mod ports;
mod processes;
mod ready;
mod run;
mod settings;
mod stop;
mod stripe_conformance;
mod test;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::stop::StopSignals;

/// The project's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the whole product on this machine, until Ctrl-C.
    Up {
        /// Write addresses and sign-in to this file (JSON) once all is ready; removed at the end.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
        /// Fill it with a fleet of instances and weeks of reports.
        #[arg(long)]
        demo: bool,
        /// Where its data is kept.
        #[arg(long, value_name = "DIRECTORY")]
        data_dir: Option<PathBuf>,
    },
    /// Move the clock of the simulated Stripe that `up` runs, and show what it invoices.
    Clock(clock::Options),
    /// Run every test, on a database server of its own.
    Test {
        /// Only what a change usually breaks, in less than two minutes once it is built.
        #[arg(long, conflicts_with = "arguments")]
        quick: bool,
        /// Handed to `cargo test`: a filter, `-p PACKAGE`, and so on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Let faults strike the real services, and compare what was told, stored and billed.
    Chaos(chaos::Options),
    /// Attack a product that runs on this machine for it alone, and see that it holds.
    Attack(attack::Options),
    /// Measure how long the pages take of the product that `up` runs.
    BenchPages(bench_pages::Options),
    /// Assert what we rely on of Stripe: of the simulator, or of Stripe's test mode where
    /// STRIPE_SECRET_KEY is a key of it.
    StripeConformance {
        /// `--real`, `--simulator`, `--list`, and the names of assertions; none is all.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the checks fmt, clippy, doc, buf, k8s, deps, deny, conformance, test, e2e and the others,
    /// or those that are named.
    Ci {
        /// The checks to run.
        only: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().task).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> anyhow::Result<ExitCode> {
    layout::find_own()?;
    let mut stop = StopSignals::listen()?;
    match task {
        Task::Up {
            ready_file,
            demo,
            data_dir,
        } => {
            let options = up::Options {
                ready_file,
                demo,
                data_dir: data_dir.unwrap_or_else(|| layout::target().join("dev")),
            };
            up::up(&options, &mut stop).await
        }
        Task::Clock(options) => clock::clock(&options).await,
        Task::Test { quick: true, .. } => test::quick(&mut stop).await,
        Task::Test {
            quick: false,
            arguments,
        } => test::test(&arguments, &mut stop).await,
        Task::Chaos(options) => chaos::chaos(&options, &mut stop).await,
        Task::Attack(options) => attack::attack(&options, &mut stop).await,
        Task::BenchPages(options) => bench_pages::bench_pages(&options).await,
        Task::StripeConformance { arguments } => {
            stripe_conformance::stripe_conformance(&arguments, &mut stop).await
        }
        Task::Ci { only } => ci::ci(&only, &mut stop).await,
    }
}
