//! `cargo xtask chaos`: builds the services for the run, beside everything else, and lets
//! `billing-chaos` strike at them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;
use tokio::process::Command;

use crate::layout;
use crate::processes::say;
use crate::run;
use crate::stop::StopSignals;
use crate::up;

/// The services, each with its feature that lets its clock be wrong.
const SERVICES: [&str; 4] = ["org-svc", "ingest-svc", "stripe-svc", "gateway"];
/// The run that must find a planted defect.
const PLANT_SEED: u64 = 1;
const PLANT_SECONDS: u64 = 30;
/// The run that is one of the checks: long enough for two blackouts.
const CHECK: Options = Options {
    seed: 1,
    seconds: 25,
    plant: None,
    plants: false,
    print_schedule: false,
};

/// A defect that a service can be built with: its name, the service and what it must be found as.
struct Plant {
    name: &'static str,
    service: &'static str,
    counters: &'static [Counter],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counter {
    Lost,
    Doubled,
    Wrong,
}

const PLANTS: [Plant; 4] = [
    Plant {
        name: "ack-before-commit",
        service: "ingest-svc",
        counters: &[Counter::Lost],
    },
    Plant {
        name: "fresh-identifier",
        service: "stripe-svc",
        counters: &[Counter::Doubled],
    },
    Plant {
        name: "duplicate-is-error",
        service: "stripe-svc",
        counters: &[Counter::Wrong],
    },
    Plant {
        name: "link-restarts",
        service: "org-svc",
        counters: &[Counter::Doubled, Counter::Wrong],
    },
];

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// What the schedule of the faults follows from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How long faults strike.
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// Build a service with a known defect: ack-before-commit, fresh-identifier, duplicate-is-error
    /// or link-restarts. The run must find it.
    #[arg(long, value_name = "NAME")]
    pub(crate) plant: Option<String>,
    /// Plant one defect after the other, and see that each is found.
    #[arg(long, conflicts_with_all = ["plant", "print_schedule"])]
    pub(crate) plants: bool,
    /// Print the faults and strike with none.
    #[arg(long)]
    pub(crate) print_schedule: bool,
}

/// What `billing-chaos` leaves of a run.
#[derive(Debug, Deserialize)]
struct Verdict {
    lost: usize,
    doubled: usize,
    wrong: usize,
}

impl Verdict {
    fn of(&self, counter: Counter) -> usize {
        match counter {
            Counter::Lost => self.lost,
            Counter::Doubled => self.doubled,
            Counter::Wrong => self.wrong,
        }
    }
}

/// Makes one run and gives its exit code, or one for each planted defect.
pub(crate) async fn chaos(options: &Options, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    if options.plants {
        return find_plants(stop).await;
    }
    let plant = options.plant.as_deref().map(plant_of).transpose()?;
    let code = once(options, plant, stop).await?;
    Ok(ExitCode::from(code))
}

async fn find_plants(stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    let mut missed = Vec::new();
    for plant in &PLANTS {
        say(&format!("== planting {}", plant.name));
        let options = Options {
            seed: PLANT_SEED,
            seconds: PLANT_SECONDS,
            plant: Some(plant.name.to_owned()),
            plants: false,
            print_schedule: false,
        };
        let code = once(&options, Some(plant), stop).await?;
        let path = dir_of(&options).join("verdict.json");
        let verdict = std::fs::read(&path);
        let verdict = verdict.with_context(|| format!("{} has no verdict", plant.name))?;
        let verdict: Verdict = serde_json::from_slice(&verdict)?;
        let is_found = plant.counters.iter().any(|it| verdict.of(*it) > 0);
        if code != 1 || !is_found {
            missed.push(plant.name);
        }
    }
    anyhow::ensure!(missed.is_empty(), "not found: {}", missed.join(", "));
    say("every planted defect was found");
    Ok(ExitCode::SUCCESS)
}

fn plant_of(name: &str) -> anyhow::Result<&'static Plant> {
    let names = PLANTS.map(|plant| plant.name).join(", ");
    let plant = PLANTS.iter().find(|plant| plant.name == name);
    plant.with_context(|| format!("There is no plant {name}. There are: {names}."))
}

async fn once(
    options: &Options,
    plant: Option<&Plant>,
    stop: &mut StopSignals,
) -> anyhow::Result<u8> {
    let bins = build(plant, stop).await?;
    let mut command = Command::new(bins.join("billing-chaos"));
    command
        .args(["--seed", &options.seed.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .arg("--bins")
        .arg(&bins)
        .arg("--catalog")
        .arg(layout::sample_catalog())
        .arg("--dir")
        .arg(dir_of(options));
    if options.print_schedule {
        command.arg("--print-schedule");
    }
    let status = run::to_end(&mut command, stop).await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.with_context(|| format!("billing-chaos ended by itself ({status})"))
}

/// Where a run keeps what it leaves: by its seed, and apart where a defect was planted.
fn dir_of(options: &Options) -> PathBuf {
    let seed = options.seed.to_string();
    let name = match &options.plant {
        Some(plant) => format!("{seed}-{plant}"),
        None => seed,
    };
    home().join(name)
}

fn home() -> PathBuf {
    layout::target().join("chaos")
}

/// Builds what runs, in two calls of cargo, into a directory of its own: what has a wrong clock or a
/// planted defect never lies where anybody else would run it. What cargo makes on the way it shares
/// with every other build, so that only our own crates are built again.
async fn build(plant: Option<&Plant>, stop: &mut StopSignals) -> anyhow::Result<PathBuf> {
    say("building");
    let home = home().join("build");
    let mut features: Vec<_> = SERVICES
        .iter()
        .map(|service| format!("{service}/chaos"))
        .collect();
    features.extend(plant.map(|Plant { name, service, .. }| format!("{service}/plant-{name}")));
    let mut product = cargo_build(&home);
    // The packages of `up`, so that what they stand on has the same features, and is there.
    for package in up::PACKAGES {
        product.args(["--package", package]);
    }
    product.args(["--features", &features.join(",")]);
    run::to_success(&mut product, stop).await?;
    let mut own = cargo_build(&home);
    own.args(["--package", "billing-chaos"]);
    run::to_success(&mut own, stop).await?;
    Ok(home.join("debug"))
}

fn cargo_build(home: &Path) -> Command {
    let mut command = layout::cargo();
    command
        .args(["build", "--quiet", "--bins"])
        .env("CARGO_TARGET_DIR", home)
        .env("CARGO_BUILD_BUILD_DIR", layout::target());
    command
}

/// The short run that is one of the checks.
pub(crate) async fn check(stop: &mut StopSignals) -> anyhow::Result<()> {
    let code = once(&CHECK, None, stop).await?;
    anyhow::ensure!(code == 0, "something was lost, doubled or wrong; see above");
    Ok(())
}
