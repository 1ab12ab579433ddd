//! `cargo xtask attack`: brings the product up for one attack, and lets `billing-attack` strike.
//!
//! An attack is a name here, with the variables that the product is started with, and a module of
//! `billing-attack`.

use std::path::Path;
use std::process::ExitCode;

use tokio::process::Command;

use crate::end_to_end::against_up;
use crate::layout;
use crate::processes::say;
use crate::run;
use crate::stop::StopSignals;

const PACKAGE: &str = "billing-attack";
/// All attacks, in the order in which CI makes them.
const ALL: [Attack; 3] = [Attack::Flood, Attack::Guess, Attack::Trust];

/// What is tried.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Attack {
    /// A few connections that ask for much and send little.
    Flood,
    /// Many guesses at one password.
    Guess,
    /// Reports in the name of others.
    Trust,
}

impl Attack {
    fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Guess => "guess",
            Self::Trust => "trust",
        }
    }

    /// What the product is started with, beside what `up` sets.
    fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // The attacker and the ordinary traffic have one address: this is the hardest case.
            Self::Flood => &[],
            // The attacker names an address with each guess, as a proxy would. The window is short,
            // so that the attack can wait for its end.
            Self::Guess => &[
                ("TRUSTED_PROXIES", "127.0.0.1"),
                ("AUTH_ACCOUNT_LIMIT", "10/30"),
            ],
            // The attack says where each report comes from, and meets the cap of every other run.
            Self::Trust => &[
                ("TRUSTED_PROXIES", "127.0.0.0/8"),
                ("NEW_ORGANIZATIONS_PER_NETWORK", "50"),
            ],
        }
    }
}

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The attack.
    #[arg(value_enum)]
    attack: Attack,
    /// The short form, which CI runs.
    #[arg(long)]
    short: bool,
}

/// Makes one attack. The exit code is 1 if the product gave way.
pub(crate) async fn attack(options: &Options, stop: &mut StopSignals) -> anyhow::Result<ExitCode> {
    once(options.attack, options.short, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The check: the short form of all.
pub(crate) async fn check(stop: &mut StopSignals) -> anyhow::Result<()> {
    for attack in ALL {
        say(&format!("== attack {}", attack.name()));
        once(attack, true, stop).await?;
    }
    Ok(())
}

async fn once(attack: Attack, short: bool, stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut build = layout::cargo();
    build.args(["build", "--quiet", "--bins", "--package", PACKAGE]);
    run::to_success(&mut build, stop).await?;
    let mut command = Command::new(layout::binary(PACKAGE)?);
    command.arg(attack.name());
    if short {
        command.arg("--short");
    }
    let steps = async |_, ready_file: &Path| {
        command.arg("--ready-file").arg(ready_file);
        let status = command.kill_on_drop(true).status().await?;
        anyhow::ensure!(
            status.success(),
            "attack {} failed ({status})",
            attack.name()
        );
        Ok(())
    };
    against_up("attack", attack.variables(), steps, stop).await
}
