//! The processes that `up` runs: started with their output under a name, watched, and ended.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::future::select_all;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::leftovers::Ledger;

/// How long a service may drain. It is told [`GRACE_SECONDS`], which is less.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// What services are told as `SHUTDOWN_GRACE_SECONDS`.
pub(crate) const GRACE_SECONDS: u64 = 5;
/// Lines of a process's output that are kept to be shown when it dies.
const KEPT_LINES: usize = 20;
/// The longest name, `ingest-svc` and the like, plus room.
const NAME_WIDTH: usize = 12;
/// Distinguishable on dark and on light terminals; the one at the end is for xtask itself.
const COLOURS: [&str; 7] = ["36", "32", "35", "34", "33", "96", "95"];
const OWN_COLOUR: &str = "1";

/// A process that ended though nobody told it to.
#[derive(Debug)]
pub(crate) struct Death {
    name: String,
    status: ExitStatus,
    last_lines: Vec<String>,
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, status, .. } = self;
        write!(f, "{name} ended by itself ({status}).")?;
        if !self.last_lines.is_empty() {
            f.write_str(" Its last lines:")?;
        }
        for line in &self.last_lines {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Death {}

struct Process {
    name: String,
    program: PathBuf,
    child: Child,
    output: Output,
}

/// The processes that run, in the order in which they were started.
#[derive(Default)]
pub(crate) struct Processes {
    running: Vec<Process>,
    started_count: usize,
    ledger: Option<Ledger>,
}

impl Processes {
    /// From now on, writes down what runs.
    pub(crate) fn keep(&mut self, ledger: Ledger) {
        self.ledger = Some(ledger);
    }

    /// Starts a process that is to run until it is told to end.
    pub(crate) fn start(&mut self, name: &str, mut command: Command) -> anyhow::Result<()> {
        let program = Path::new(command.as_std().get_program());
        let program = std::fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
        let mut child = spawn(name, command.stdin(Stdio::null()))?;
        let output = Output::follow(name, self.next_colour(), &mut child);
        self.running.push(Process {
            name: name.to_owned(),
            program,
            child,
            output,
        });
        self.write_down()
    }

    /// The id of a process that runs.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn id(&self, name: &str) -> anyhow::Result<u32> {
        let process = self.running.iter().find(|process| process.name == name);
        let id = process.and_then(|process| process.child.id());
        id.with_context(|| format!("{name} does not run"))
    }

    /// Runs a command to its successful end, with something to read on its standard input.
    pub(crate) async fn run(
        &mut self,
        name: &str,
        mut command: Command,
        input: &str,
    ) -> anyhow::Result<()> {
        let mut child = spawn(name, command.stdin(Stdio::piped()).kill_on_drop(true))?;
        let output = Output::follow(name, self.next_colour(), &mut child);
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading says itself what is wrong.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let status = child.wait().await?;
        let last_lines = output.last_lines().await;
        if status.success() {
            return Ok(());
        }
        let name = name.to_owned();
        Err(Death {
            name,
            status,
            last_lines,
        }
        .into())
    }

    /// Waits until one of them ends. Never returns while none does.
    pub(crate) async fn any_death(&mut self) -> anyhow::Error {
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let waits = self.running.iter_mut().map(|p| Box::pin(p.child.wait()));
        let (status, place, _) = select_all(waits).await;
        let status = match status {
            Ok(status) => status,
            Err(error) => return error.into(),
        };
        let dead = self.running.remove(place);
        let last_lines = dead.output.last_lines().await;
        Death {
            name: dead.name,
            status,
            last_lines,
        }
        .into()
    }

    /// Ends them all, the latest first, so that nobody's callee goes before its caller.
    pub(crate) async fn end_all(&mut self) {
        while let Some(mut process) = self.running.pop() {
            signal_group(&process.child, Signal::SIGTERM);
            let ended = tokio::time::timeout(END_TIMEOUT, process.child.wait()).await;
            if ended.is_err() {
                let timeout = END_TIMEOUT.as_secs();
                say(&format!(
                    "{} did not end within {timeout} s and is killed",
                    process.name
                ));
                signal_group(&process.child, Signal::SIGKILL);
                // Nothing more can be done about one that cannot even be waited for.
                let _ = process.child.wait().await;
            }
            process.output.last_lines().await;
        }
        // Nothing depends on it: who is gone is not ended twice.
        let _ = self.write_down();
    }

    /// Kills them all at once: for somebody who asks twice.
    pub(crate) fn kill_all(&mut self) {
        for process in &self.running {
            signal_group(&process.child, Signal::SIGKILL);
        }
    }

    fn write_down(&self) -> anyhow::Result<()> {
        let Some(ledger) = &self.ledger else {
            return Ok(());
        };
        let running = self.running.iter();
        ledger.write(running.filter_map(|p| Some((p.child.id()?, p.program.as_path()))))
    }

    fn next_colour(&mut self) -> &'static str {
        let colour = COLOURS.get(self.started_count % COLOURS.len());
        self.started_count += 1;
        colour.copied().unwrap_or(OWN_COLOUR)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// What a process prints: shown line by line, its last lines kept.
struct Output {
    kept: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Output {
    fn follow(name: &str, colour: &'static str, child: &mut Child) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(follow(stdout, name.to_owned(), colour, Arc::clone(&kept)));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(follow(stderr, name.to_owned(), colour, Arc::clone(&kept)));
        }
        Self { kept, readers }
    }

    /// The last lines of a process that has ended. A grandchild may hold the pipe open, and is not
    /// waited for.
    async fn last_lines(self) -> Vec<String> {
        for reader in self.readers {
            let _ = tokio::time::timeout(Duration::from_secs(1), reader).await;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }
}

fn follow(
    pipe: impl AsyncRead + Unpin + Send + 'static,
    name: String,
    colour: &'static str,
    kept: Arc<Mutex<VecDeque<String>>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(pipe).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            show(&name, colour, &line);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    })
}

/// In a process group of its own, so that a terminal's Ctrl-C reaches xtask alone, which then ends
/// its children in order.
fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Child> {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("{name} cannot be started"))
}

/// Sends a signal to a child and all that it started. That it is gone already is no error.
pub(crate) fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

/// Says how far we are.
pub(crate) fn say(line: &str) {
    show("xtask", OWN_COLOUR, line);
}

fn show(name: &str, colour: &str, line: &str) {
    if is_coloured() {
        println!("\x1b[{colour}m{name:>NAME_WIDTH$}\x1b[0m | {line}");
    } else {
        println!("{name:>NAME_WIDTH$} | {line}");
    }
}

fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
