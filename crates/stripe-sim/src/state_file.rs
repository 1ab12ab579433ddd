//! The state file: the account between two runs.
//!
//! It is written beside itself and renamed, so that there is always one whole state to read.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::SimClock;
use crate::config::Config;
use crate::sim::Sim;
use crate::world::World;

/// Rises when an older file can no longer be read.
const VERSION: u32 = 1;
/// Changes are gathered for this long; with the writing it stays under a second.
const GATHER: Duration = Duration::from_millis(500);

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    #[error("the state file {path} cannot be read or written: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the state file {path} is not one of this simulator (delete it to start anew): {source}"
    )]
    Format {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error(
        "the state file {path} has version {found} and {VERSION} is needed; delete it to start anew"
    )]
    Version { path: PathBuf, found: u32 },
}

#[derive(Debug, Deserialize)]
struct Header {
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    clock_offset_ms: i64,
    world: World,
}

/// Reads the file, or starts with an empty account where there is none.
pub(crate) fn load(path: &Path, config: &Config) -> Result<(World, SimClock), StateFileError> {
    let clock = SimClock::default();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((World::new(config), clock));
        }
        Err(source) => {
            return Err(StateFileError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let format = |source| StateFileError::Format {
        path: path.to_owned(),
        source,
    };
    let header: Header = serde_json::from_slice(&bytes).map_err(format)?;
    if header.version != VERSION {
        return Err(StateFileError::Version {
            path: path.to_owned(),
            found: header.version,
        });
    }
    let State {
        version: _,
        clock_offset_ms,
        mut world,
    } = serde_json::from_slice(&bytes).map_err(format)?;
    world.loads += 1;
    world.reindex(config);
    clock.set_offset_ms(clock_offset_ms);
    Ok((world, clock))
}

pub(crate) fn save(sim: &Sim, path: &Path) -> Result<(), StateFileError> {
    // The copy is what the lock is held for; the writing is not.
    let world = sim.lock().world.clone();
    let state = State {
        version: VERSION,
        clock_offset_ms: sim.clock.offset_ms(),
        world,
    };
    let bytes = serde_json::to_vec(&state).map_err(|source| StateFileError::Format {
        path: path.to_owned(),
        source,
    })?;
    write(path, &bytes).map_err(|source| StateFileError::Io {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // It holds customers and their e-mail addresses: for its owner alone. One that is left of a run
    // that broke off keeps its mode, so it goes first.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// Saves after changes until the simulator stops, and once more then.
pub(crate) async fn keep_saved(sim: Arc<Sim>, path: PathBuf) {
    loop {
        tokio::select! {
            () = sim.changed.notified() => {}
            () = sim.stopping.cancelled() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = sim.stopping.cancelled() => break,
        }
        save_apart(&sim, &path).await;
    }
    save_apart(&sim, &path).await;
}

async fn save_apart(sim: &Arc<Sim>, path: &Path) {
    let (sim, path) = (Arc::clone(sim), path.to_owned());
    let saved = tokio::task::spawn_blocking(move || save(&sim, &path)).await;
    match saved {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the state was not saved"),
        Err(error) => tracing::error!(%error, "saving the state ended early"),
    }
}
