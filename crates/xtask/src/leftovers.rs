//! Processes of a run that was killed before it could end them. They are written down as they are
//! started, and the next run ends those that are still there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use billing_devkit::files;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::processes::say;

const END_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The list of a directory's running processes.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            path: dir.join("processes"),
        }
    }

    /// Writes down all that run: number and program.
    pub(crate) fn write<'a>(
        &self,
        running: impl Iterator<Item = (u32, &'a Path)>,
    ) -> anyhow::Result<()> {
        let lines = running.map(|(pid, program)| format!("{pid} {}\n", program.display()));
        let lines: String = lines.collect();
        files::write_atomically(&self.path, lines.as_bytes(), files::PUBLIC)
    }

    /// Ends what an earlier run has left. Whoever calls this holds the directory's lock, so there is
    /// no run that these belong to.
    pub(crate) fn end_leftovers(&self) -> anyhow::Result<()> {
        let Ok(lines) = fs::read_to_string(&self.path) else {
            return Ok(());
        };
        for line in lines.lines() {
            let Some((pid, program)) = line.split_once(' ') else {
                continue;
            };
            let pid = Pid::from_raw(pid.parse().context("the list of processes is damaged")?);
            if runs(pid, Path::new(program)) {
                say(&format!(
                    "ending {program}, which an earlier run left behind"
                ));
                end(pid, Path::new(program));
            }
        }
        Ok(())
    }
}

fn end(pid: Pid, program: &Path) {
    // Each was started as the leader of a group. That it is gone by now is as good.
    let _ = killpg(pid, Signal::SIGTERM);
    let deadline = Instant::now() + END_TIMEOUT;
    while runs(pid, program) && Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY);
    }
    if runs(pid, program) {
        let _ = killpg(pid, Signal::SIGKILL);
    }
}

/// Whether the process is there and is still this program: numbers are given out again.
fn runs(pid: Pid, program: &Path) -> bool {
    let found = if Path::new("/proc/self/exe").exists() {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        exe.to_string_lossy().into_owned()
    } else {
        let output = Command::new("ps")
            .args(["-o", "comm=", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    // What was built anew since shows as "… (deleted)".
    !found.is_empty() && found.trim_end_matches(" (deleted)") == program.to_string_lossy()
}
