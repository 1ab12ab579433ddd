//! `billing-attack`: one attack on a product that `cargo xtask attack` runs.
//!
//! An attack is a module with one `run` function. It prints what it does, and ends with one line:
//! `attack NAME: …`. The exit code is 1 if the product gave way, and 2 if there is no verdict.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool answers on standard output"
)]

mod flood;
mod guess;
mod target;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::target::Target;

/// The attack could not be made. This is not a verdict.
const EXIT_NO_VERDICT: u8 = 2;

/// Attacks a product that `cargo xtask up` runs on this machine.
#[derive(Parser)]
struct Arguments {
    /// The ready file of `cargo xtask up`.
    #[arg(long, global = true, default_value = "ready.json")]
    ready_file: PathBuf,
    /// The short form, for CI.
    #[arg(long, global = true)]
    short: bool,
    #[command(subcommand)]
    attack: Attack,
}

#[derive(Subcommand)]
enum Attack {
    /// Fill the gateway with requests that never end, beside ordinary traffic.
    Flood,
    /// Guess at the password of one account from many addresses.
    Guess,
    /// Report in the name of others, with the token that all instances share.
    Trust,
}

/// What became of an attack.
#[derive(Debug)]
struct Verdict {
    /// The last line, without its beginning `attack NAME: `.
    line: String,
    /// Whether the product held.
    held: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {
        ready_file,
        short,
        attack,
    } = Arguments::parse();
    let name = match attack {
        Attack::Flood => "flood",
        Attack::Guess => "guess",
        Attack::Trust => "trust",
    };
    let verdict = match Target::read(&ready_file) {
        Ok(target) => match attack {
            Attack::Flood => flood::run(&target, short).await,
            Attack::Guess => guess::run(&target, short).await,
            // It has one form: it takes seconds.
            Attack::Trust => trust::run(&target).await,
        },
        Err(error) => Err(error),
    };
    match verdict {
        Ok(Verdict { line, held }) => {
            println!("attack {name}: {line}");
            if held {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_NO_VERDICT)
        }
    }
}

/// Says how far the attack is.
fn say(line: &str) {
    println!("{line}");
}
