//! `cargo xtask test`: every test, on a database server that nobody else uses.

use std::process::ExitCode;

use anyhow::Context;
use billing_devkit::postgres::{Cluster, Durability, InUse, TEST_DATABASE_URL};

use crate::failures::{self, Failures};
use crate::layout;
use crate::processes::say;
use crate::run;
use crate::settings::given;
use crate::stop::StopSignals;

/// How many runs of the tests there can be at once in one checkout.
const MAX_CLUSTERS: usize = 8;

/// Runs `cargo test` and gives its exit code. What failed is said again at the end.
pub(crate) async fn test(arguments: &[String], stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let (cluster, url) = match given(TEST_DATABASE_URL) {
        Some(url) => (None, url),
        None => {
            let cluster = tokio::task::spawn_blocking(start).await??;
            let url = cluster.maintenance_url();
            (Some(cluster), url)
        }
    };
    let mut command = layout::cargo();
    command
        .arg("test")
        .current_dir(layout::root())
        .env(TEST_DATABASE_URL, url);
    if !names_packages(arguments) {
        command.arg("--workspace");
    }
    command.args(arguments);
    failures::forget().context("What the last run left cannot be removed")?;
    let mut failures = Failures::default();
    let outcome = run::to_end_reading(&mut command, |line| failures.read(line), stop).await;
    if let Some(cluster) = cluster {
        tokio::task::spawn_blocking(|| Cluster::stop(cluster)).await??;
    }
    if let Some(text) = failures.into_text() {
        say("what failed");
        println!("{text}");
        failures::leave(&text).context("What failed cannot be kept")?;
    }
    let code = outcome?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
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

fn names_packages(arguments: &[String]) -> bool {
    let mut for_cargo = arguments.iter().take_while(|word| *word != "--");
    for_cargo.any(|word| word.starts_with("-p") || word.starts_with("--package"))
}
