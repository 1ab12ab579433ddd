//! `billing-stripe-conformance`: one run, for `cargo xtask stripe-conformance`.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

use std::process::ExitCode;

use billing_kit::config::Env;
use billing_stripe_conformance::{ASSERTIONS, Target, run};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// The run could not be made: not a verdict.
const EXIT_NO_VERDICT: u8 = 2;

/// Asserts what we rely on of Stripe: of the simulator, or of Stripe's test mode where
/// STRIPE_SECRET_KEY is a key of it.
#[derive(Parser)]
struct Arguments {
    /// Refuse to run against anything but Stripe's test mode.
    #[arg(long, conflicts_with = "simulator")]
    real: bool,
    /// Run against the simulator, whatever STRIPE_SECRET_KEY is.
    #[arg(long)]
    simulator: bool,
    /// Print the assertions, as docs/TESTING.md has them, and ask nobody.
    #[arg(long)]
    list: bool,
    /// The assertions to run; none is all.
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {
        real,
        simulator,
        list,
        names,
    } = Arguments::parse();
    if list {
        for assertion in ASSERTIONS {
            println!("{}", assertion.row());
        }
        return ExitCode::SUCCESS;
    }
    let target = if simulator {
        Ok(Target::Simulator)
    } else {
        Target::of(&mut Env::from_process(), real)
    };
    let target = match target {
        Ok(target) => target,
        Err(problem) => return no_verdict(&problem),
    };
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return no_verdict(&error.to_string()),
    };
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    match run(&target, &names, stopped, &mut |line| println!("{line}")).await {
        Ok(verdict) if verdict.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => no_verdict(&format!("{error:#}")),
    }
}

fn no_verdict(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(EXIT_NO_VERDICT)
}
