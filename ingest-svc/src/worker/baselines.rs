//! Paces the computing of baselines after a migration.

use std::time::Duration;

use billing_kit::{context::RequestContext, process::Lifecycle};
use tokio::time::Instant;
use uuid::Uuid;

use super::{STEP_MAX, failure_pause, within};
use crate::{Parts, app};

/// So many times as long as a step took is paused: reports come in meanwhile.
const PAUSE_FACTOR: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Goes once over all linked organizations. One that is linked later is computed when its link is
/// learned of.
pub(super) async fn run(parts: Parts, life: Lifecycle) {
    let (mut after, mut failures) = (Uuid::nil(), 0);
    while !life.stop.is_cancelled() {
        let begun = Instant::now();
        let step = within(STEP_MAX, app::compute_baselines(&parts, after));
        let pause = match RequestContext::fresh().scope(step).await {
            // A worker that ends is taken for a failure.
            Ok(None) => return life.stop.cancelled().await,
            Ok(Some(last)) => {
                (after, failures) = (last, 0);
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
