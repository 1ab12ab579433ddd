//! `cargo xtask stripe-conformance`: what we rely on of Stripe, asserted of the simulator or of
//! Stripe's test mode.

use std::process::ExitCode;

use anyhow::Context;
use tokio::process::Command;

use crate::layout;
use crate::run;
use crate::stop::StopSignals;

const PACKAGE: &str = "billing-stripe-conformance";

/// Runs it with these arguments, and gives its exit code.
pub(crate) async fn stripe_conformance(
    arguments: &[String],
    stop: &mut StopSignals,
) -> anyhow::Result<ExitCode> {
    build(stop).await?;
    let mut command = Command::new(layout::binary(PACKAGE)?);
    let status = run::to_end(command.args(arguments), stop).await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.with_context(|| format!("{PACKAGE} ended by itself ({status})"))?;
    Ok(ExitCode::from(code))
}

/// The check: against the simulator, whatever the environment holds.
pub(crate) async fn check(stop: &mut StopSignals) -> anyhow::Result<()> {
    build(stop).await?;
    let mut command = Command::new(layout::binary(PACKAGE)?);
    run::to_success(command.arg("--simulator"), stop).await
}

async fn build(stop: &mut StopSignals) -> anyhow::Result<()> {
    let mut command = layout::cargo();
    command.args(["build", "--quiet", "--bins", "--package", PACKAGE]);
    run::to_success(&mut command, stop).await
}
