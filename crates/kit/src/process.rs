//! The life of a process: config → telemetry → bind → ready → serve → not ready → drain → exit.

use std::{fmt::Display, future::Future, process::ExitCode, time::Duration};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{ConfigError, EXIT_CONFIG, ProcessConfig},
    health::{self, Health},
    metrics, telemetry,
};

/// The most files and connections that a process opens, if the system allows so many.
const FILES_MAX: u64 = 65_536;
/// Between "not ready" and "no more connections": load balancers need a moment to look away.
const UNREADY_PAUSE: Duration = Duration::from_secs(1);

/// The tasks of a process and the two signals that end them.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Told first: take nothing new, finish what is begun.
    pub stop: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// A life that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task that the drain waits for. It must end by itself once `stop` is told.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Runs a worker for the whole life of the process: should it end before it is told to, by an
    /// error or a panic, the process stops, because a service without its worker only looks well.
    pub fn spawn_worker<F>(&self, name: &'static str, worker: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let handle = self.tasks.spawn(worker);
        self.tasks.spawn(async move {
            let ended = handle.await;
            if !stop.is_cancelled() {
                tracing::error!(worker = name, error = ?ended.err(), "a worker ended; stopping");
                stop.cancel();
            }
        });
    }

    /// Tells everything to stop and waits until it has, for at most `grace`. Says whether all ended.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }
}

/// Runs a service from `main`: reads its config, then builds and serves it until a signal comes.
///
/// `build` binds, starts what must run, and returns; it is given the process's life, whose end it
/// must heed.
pub fn run<C, F, E>(
    name: &'static str,
    config: Result<C, ConfigError>,
    process: impl FnOnce(&C) -> ProcessConfig,
    build: impl FnOnce(C, Lifecycle) -> F,
) -> ExitCode
where
    F: Future<Output = Result<Health, E>>,
    E: Display,
{
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("{name}: {error}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let process = process(&config);
    telemetry::init(process.log_format, &process.log_filter);
    metrics::begin();
    raise_file_limit();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("{name}: the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let clean = runtime.block_on(async {
        let lifecycle = Lifecycle::new();
        let health_listener = health::bind("HEALTH_ADDR", process.health_addr).await?;
        let health = build(config, lifecycle.clone())
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(
            live(
                name,
                lifecycle,
                health,
                health_listener,
                process.shutdown_grace,
            )
            .await,
        )
    });
    // Whatever did not end in time is left behind, not waited for.
    runtime.shutdown_background();
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{name} cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A connection is a file descriptor, and what a process may open at first is often only 1,024.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(FILES_MAX).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

async fn live(
    name: &'static str,
    lifecycle: Lifecycle,
    health: Health,
    health_listener: TcpListener,
    grace: Duration,
) -> bool {
    let closed = CancellationToken::new();
    let health_task = tokio::spawn(health.clone().serve(health_listener, closed.clone()));
    tracing::info!("{name} is up");
    let asked = tokio::select! {
        () = told_to_stop() => true,
        () = lifecycle.stop.cancelled() => false,
    };
    tracing::info!("{name} stops");
    health.drain();
    tokio::time::sleep(UNREADY_PAUSE).await;
    // A second signal means now.
    let drained = tokio::select! {
        drained = lifecycle.drain(grace) => drained,
        () = told_to_stop() => false,
    };
    closed.cancel();
    health_task.abort();
    if drained {
        tracing::info!("{name} has drained");
    } else {
        tracing::warn!("{name} did not drain within {} s", grace.as_secs());
    }
    asked && drained
}

async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Before there is a log, and for commands: a line for the person at the terminal.
#[expect(
    clippy::print_stderr,
    reason = "the log is not there yet, or nobody reads it"
)]
pub fn complain(line: &str) {
    eprintln!("{line}");
}
