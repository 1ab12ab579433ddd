//! `cargo xtask test`: every test, on a database server that nobody else uses.

use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use billing_devkit::postgres::{Cluster, Durability, InUse, TEST_DATABASE_URL};

use crate::failures::{self, Failures};
use crate::layout;
use crate::processes::say;
use crate::run;
use crate::settings::given;
use crate::stop::StopSignals;

/// What a change usually breaks, without what takes long, as arguments of `cargo test`: all unit tests
/// and the gateway, then what org-svc and stripe-svc have at their doors. docs/TESTING.md says what is
/// left out.
const QUICK: [&[&str]; 2] = [
    &["--lib", "--bins", "--test", "gateway"],
    &[
        "--test", "it", "--test", "service", "--", "doors::", "access::", "feed::", "links::",
    ],
];

/// How many runs of the tests there can be at once in one checkout.
const MAX_CLUSTERS: usize = 8;

/// Runs `cargo test` and gives its exit code. What failed is said again at the end.
pub(crate) async fn test(arguments: &[String], stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    run_all(&[&arguments], stop).await
}

/// The same of what a change usually breaks.
pub(crate) async fn quick(stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    run_all(&QUICK, stop).await
}

/// Runs `cargo test` with each of these arguments, whatever became of those before.
async fn run_all(runs: &[&[&str]], stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let (cluster, url) = match given(TEST_DATABASE_URL) {
        Some(url) => (None, url),
        None => {
            let cluster = tokio::task::spawn_blocking(start).await??;
            let url = cluster.maintenance_url();
            (Some(cluster), url)
        }
    };
    failures::forget().context("What the last run left cannot be removed")?;
    let mut failures = Failures::default();
    let mut code = ExitCode::SUCCESS;
    let mut outcome = Ok(());
    for arguments in runs {
        match cargo_test(arguments, &url, &mut failures, stop).await {
            Ok(status) if status.success() => {}
            Ok(status) => code = code_of(status),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if let Some(cluster) = cluster {
        tokio::task::spawn_blocking(|| Cluster::stop(cluster)).await??;
    }
    if let Some(text) = failures.into_text() {
        say("what failed");
        println!("{text}");
        failures::leave(&text).context("What failed cannot be kept")?;
    }
    outcome.map(|()| code)
}

async fn cargo_test(
    arguments: &[&str],
    database_url: &str,
    failures: &mut Failures,
    stop: &mut StopSignals,
) -> anyhow::Result<ExitStatus> {
    let mut command = layout::cargo();
    command
        .arg("test")
        .current_dir(layout::root())
        .env(TEST_DATABASE_URL, database_url);
    if !names_packages(arguments) {
        command.arg("--workspace");
    }
    command.args(arguments);
    run::to_end_reading(&mut command, |line| failures.read(line), stop).await
}

fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The first cluster that no other run of the tests is using.
fn start() -> anyhow::Result<Cluster> {
    say("starting PostgreSQL for the tests");
    let mut number = 1;
    loop {
        let name = if number == 1 {
            "postgres".to_owned()
        } else {
            format!("postgres-{number}")
        };
        let dir = layout::target().join("test").join(name);
        match Cluster::start(&dir, Durability::Scratch, &say) {
            Err(error) if error.is::<InUse>() && number < MAX_CLUSTERS => number += 1,
            outcome => return outcome,
        }
    }
}

fn names_packages(arguments: &[&str]) -> bool {
    let mut for_cargo = arguments.iter().take_while(|word| **word != "--");
    for_cargo.any(|word| word.starts_with("-p") || word.starts_with("--package"))
}
