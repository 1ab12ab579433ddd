//! Paces the look for what the clock alone brings about.

use std::time::Duration;

use billing_kit::{Fault, context::RequestContext, process::Lifecycle};
use tokio::time::Instant;

use super::{STEP_MAX, failure_pause, within};
use crate::{Parts, app};

/// How often is looked; what is found has lasted for days, or will for hours.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Where very many are silent a look takes longer: so many times as long is paused, so that it is a
/// twentieth of what the database does.
const PAUSE_FACTOR: u32 = 19;

/// Looks until the process stops.
pub(super) async fn run(parts: Parts, life: Lifecycle) {
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let begun = Instant::now();
        let step = RequestContext::fresh().scope(within(STEP_MAX, look(&parts)));
        let step = tokio::select! {
            () = life.stop.cancelled() => return,
            step = step => step,
        };
        let pause = match step {
            Ok(()) => {
                failures = 0;
                (begun.elapsed() * PAUSE_FACTOR).max(LOOK_INTERVAL)
            }
            Err(fault) => {
                fault.log();
                failures += 1;
                failure_pause(failures).max(LOOK_INTERVAL)
            }
        };
        tokio::select! {
            () = life.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn look(parts: &Parts) -> Result<(), Fault> {
    app::watch_silence(parts).await?;
    app::watch_holds(parts).await
}
