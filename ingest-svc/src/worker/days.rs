//! Paces the counting of users by day.

use std::time::Duration;

use billing_kit::{context::RequestContext, process::Lifecycle};
use tokio::time::Instant;

use super::{STEP_MAX, failure_pause, within};
use crate::{Parts, app};

/// How often is looked whether reports came.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// To count a day of a million organizations takes seconds: so many times as long is paused, so that
/// it is a twentieth of what the database does.
const PAUSE_FACTOR: u32 = 19;
/// The shortest pause between two days.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Counts until the process stops: all days at first, because what was touched before is forgotten.
pub(super) async fn run(parts: Parts, life: Lifecycle) {
    parts.touched_days.note_all(parts.deps.clock.now());
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let begun = Instant::now();
        let step = RequestContext::fresh().scope(within(STEP_MAX, app::count_days(&parts)));
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
                (begun.elapsed() * PAUSE_FACTOR).max(PAUSE_MIN)
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
