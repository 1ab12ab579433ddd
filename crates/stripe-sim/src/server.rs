//! The listener and the life of a simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::clock::SimClock;
use crate::config::Config;
use crate::control_webhooks;
use crate::exchange;
use crate::faults::{Fault, InvalidFault};
use crate::ledger::Ledger;
use crate::sim::Sim;
use crate::state_file::{self, StateFileError};
use crate::webhook_worker;
use crate::world::World;

/// How long the listener rests when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    StateFile(#[from] StateFileError),
}

/// Starts simulators; any number of them can run in one process.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Loads the state, listens and serves until the handle is stopped or dropped.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        let (world, clock) = match &config.state_file {
            Some(path) => state_file::load(path, &config)?,
            None => (World::new(&config), SimClock::default()),
        };
        let addr = config.addr;
        let listen = |source| StartError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let state_file = config.state_file.clone();
        let sim = Arc::new(Sim::new(config, world, clock));
        if let Some(path) = state_file {
            sim.tasks
                .spawn(state_file::keep_saved(Arc::clone(&sim), path));
        }
        sim.tasks.spawn(webhook_worker::deliver(Arc::clone(&sim)));
        sim.tasks.spawn(accept(Arc::clone(&sim), listener));
        Ok(Handle { sim, addr })
    }
}

async fn accept(sim: Arc<Sim>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sim.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                sim.tasks.spawn(serve(Arc::clone(&sim), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(sim: Arc<Sim>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let stopping = sim.stopping.clone();
    let service = service_fn(move |request| exchange::answer(Arc::clone(&sim), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = connection => {
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        () = stopping.cancelled() => {}
    }
}

/// A running simulator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Handle {
    sim: Arc<Sim>,
    addr: SocketAddr,
}

impl Handle {
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Everything the account holds and every call it got.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.sim.ledger(|_| true)
    }

    /// The ledger with only the named lists filled: a load test wants its counts, not its events.
    #[must_use]
    pub fn ledger_of(&self, lists: &[&str]) -> Ledger {
        self.sim.ledger(|name| lists.contains(&name))
    }

    /// Queues a fault behind those that wait already.
    pub fn inject(&self, fault: Fault) -> Result<(), InvalidFault> {
        self.sim.lock().faults.queue(fault)
    }

    /// The routes of counted faults that have not struck as often as they should have: a test that
    /// ends with any has not tested what it says.
    #[must_use]
    pub fn unspent_faults(&self) -> Vec<String> {
        self.sim.lock().faults.unspent()
    }

    pub fn clear_faults(&self) {
        self.sim.lock().faults.clear();
    }

    /// Unix seconds of the simulator's clock.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.sim.clock.now()
    }

    /// Moves the clock on, and lets everything happen that was due on the way.
    pub fn advance_clock(&self, by: Duration) {
        self.sim.clock.advance(by);
        self.clock_moved();
    }

    /// Makes it that time now, in Unix seconds; the clock goes on from there.
    pub fn set_clock(&self, unix_s: i64) {
        self.sim.clock.set(unix_s);
        self.clock_moved();
    }

    fn clock_moved(&self) {
        drop(self.sim.settled());
        self.sim.touched();
    }

    /// Waits until every delivery of a webhook that is due was made.
    pub async fn flush_webhooks(&self) {
        control_webhooks::quiet(&self.sim).await;
    }

    /// Forgets everything: the account, the faults, the log and the clock's offset.
    pub fn reset(&self) {
        self.sim.reset();
    }

    /// Closes every connection, saves the state and waits until that is done.
    pub async fn stop(self) {
        self.sim.stopping.cancel();
        self.sim.tasks.close();
        self.sim.tasks.wait().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sim.stopping.cancel();
    }
}
