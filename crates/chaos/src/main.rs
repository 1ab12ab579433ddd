//! `billing-chaos`: one run, for `cargo xtask chaos`, which builds what it runs.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use billing_chaos::{Options, run, schedule};
use clap::Parser;

/// The run could not be made: not a verdict.
const EXIT_NO_VERDICT: u8 = 2;

/// Lets faults strike the real binaries, and compares what was told, stored and billed.
#[derive(Parser)]
struct Arguments {
    /// What the schedule of the faults follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long faults strike.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(schedule::SECONDS_MIN..=schedule::SECONDS_MAX))]
    seconds: u64,
    /// Where the services' binaries are.
    #[arg(long)]
    bins: PathBuf,
    /// The catalog.
    #[arg(long)]
    catalog: PathBuf,
    /// Where journal, logs and data go; emptied first.
    #[arg(long)]
    dir: PathBuf,
    /// Print the faults and strike with none.
    #[arg(long)]
    print_schedule: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {
        seed,
        seconds,
        bins,
        catalog,
        dir,
        print_schedule,
    } = Arguments::parse();
    let lasting = Duration::from_secs(seconds);
    if print_schedule {
        for schedule::Planned { at, fault } in schedule::plan(seed, lasting) {
            println!("{:8} ms  {fault}", at.as_millis());
        }
        return ExitCode::SUCCESS;
    }
    let options = Options {
        seed,
        lasting,
        bins,
        catalog,
        dir,
    };
    match run(&options, |line| println!("{line}")).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_NO_VERDICT)
        }
    }
}
