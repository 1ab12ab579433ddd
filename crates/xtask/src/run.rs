//! A command that is run to its end, with its output shown as it is.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, BufReader, Split};
use tokio::process::{Child, ChildStdout, Command};

use crate::processes::signal_group;
use crate::stop::StopSignals;

/// How long a command may take to end when it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the last lines of a command that has ended may take.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(5);

/// We were told to stop. The command has ended.
#[derive(Debug)]
pub(crate) struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

/// Runs a command to its end. When we are told to stop, so is the command and all that it started.
///
/// # Errors
/// [`Stopped`], or that the command cannot be started.
pub(crate) async fn to_end(
    command: &mut Command,
    stop: &mut StopSignals,
) -> anyhow::Result<ExitStatus> {
    let mut child = start(command)?;
    tokio::select! {
        status = child.wait() => Ok(status?),
        () = stop.received() => {
            end(&mut child).await?;
            Err(Stopped.into())
        }
    }
}

/// [`to_end`], and shows each line of the command's standard output to a reader as well.
///
/// # Errors
/// As [`to_end`].
pub(crate) async fn to_end_reading(
    command: &mut Command,
    mut read: impl FnMut(&str),
    stop: &mut StopSignals,
) -> anyhow::Result<ExitStatus> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let output = child.stdout.take().context("It has no standard output")?;
    let mut lines = BufReader::new(output).split(b'\n');
    let mut show = |line: Vec<u8>| {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        read(&line);
    };
    let status = loop {
        tokio::select! {
            biased;
            Some(line) = next(&mut lines) => show(line?),
            status = child.wait() => break status?,
            () = stop.received() => {
                end(&mut child).await?;
                return Err(Stopped.into());
            }
        }
    };
    // What it started may live on and hold the pipe: that is no reason to wait for ever.
    while let Ok(Some(line)) = tokio::time::timeout(LAST_LINES_TIMEOUT, next(&mut lines)).await {
        show(line?);
    }
    Ok(status)
}

async fn next(lines: &mut Split<BufReader<ChildStdout>>) -> Option<std::io::Result<Vec<u8>>> {
    lines.next_segment().await.transpose()
}

/// [`to_end`], where anything but success is an error.
///
/// # Errors
/// As [`to_end`], or that the command failed.
pub(crate) async fn to_success(
    command: &mut Command,
    stop: &mut StopSignals,
) -> anyhow::Result<()> {
    let status = to_end(command, stop).await?;
    let shown = shown(command);
    anyhow::ensure!(status.success(), "`{shown}` failed ({status}).");
    Ok(())
}

/// [`to_success`], of a command that may hang: it is ended when it takes longer than this.
///
/// # Errors
/// As [`to_success`], or that it took longer.
pub(crate) async fn to_success_within(
    limit: Duration,
    command: &mut Command,
    stop: &mut StopSignals,
) -> anyhow::Result<()> {
    let shown = shown(command);
    let mut child = start(command)?;
    let status = tokio::select! {
        status = child.wait() => status?,
        () = stop.received() => {
            end(&mut child).await?;
            return Err(Stopped.into());
        }
        () = tokio::time::sleep(limit) => {
            end(&mut child).await?;
            anyhow::bail!("`{shown}` took longer than {} s.", limit.as_secs());
        }
    };
    anyhow::ensure!(status.success(), "`{shown}` failed ({status}).");
    Ok(())
}

fn start(command: &mut Command) -> anyhow::Result<Child> {
    let name = command.as_std().get_program().display().to_string();
    command
        .process_group(0)
        .spawn()
        .with_context(|| format!("`{name}` cannot be started; is it installed?"))
}

/// Tells a child to end, waits, and makes it.
///
/// # Errors
/// When the child cannot be waited for.
pub(crate) async fn end(child: &mut Child) -> anyhow::Result<ExitStatus> {
    signal_group(child, Signal::SIGTERM);
    if let Ok(status) = tokio::time::timeout(END_TIMEOUT, child.wait()).await {
        return Ok(status?);
    }
    signal_group(child, Signal::SIGKILL);
    Ok(child.wait().await?)
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
