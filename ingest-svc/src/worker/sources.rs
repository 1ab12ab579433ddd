//! Paces the forgetting of addresses and networks.

use std::time::Duration;

use billing_kit::{context::RequestContext, process::Lifecycle};
use tokio::time::Instant;

use super::{STEP_MAX, failure_pause, within};
use crate::{Parts, app};

/// How often is looked when there was nothing to forget; what is kept is kept for days.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);
/// Of a million reports a day as many addresses are forgotten a day: so many times as long as a step took
/// is paused, so that it is a tenth of what the database does.
const PAUSE_FACTOR: u32 = 9;

/// Forgets until the process stops.
pub(super) async fn run(parts: Parts, life: Lifecycle) {
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let begun = Instant::now();
        let step = RequestContext::fresh().scope(within(STEP_MAX, app::forget_sources(&parts)));
        let step = tokio::select! {
            () = life.stop.cancelled() => return,
            step = step => step,
        };
        let pause = match step {
            Ok(0) => {
                failures = 0;
                LOOK_INTERVAL
            }
            Ok(_) => {
                failures = 0;
                begun.elapsed() * PAUSE_FACTOR
            }
            Err(fault) => {
                fault.log();
                failures += 1;
                failure_pause(failures)
            }
        };
        tokio::select! {
            () = life.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
