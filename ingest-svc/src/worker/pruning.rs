//! Paces the deletion of organizations that nobody ever linked: a pass when the process starts, and
//! then one a day.

use std::time::Duration;

use billing_kit::{context::RequestContext, process::Lifecycle};

use super::failure_pause;
use crate::{Parts, app};

/// Between two passes.
const PASS_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes passes until the process stops.
pub(super) async fn run(parts: Parts, life: Lifecycle) {
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let pass = RequestContext::fresh().scope(app::prune_organizations(&parts));
        let pass = tokio::select! {
            () = life.stop.cancelled() => return,
            pass = pass => pass,
        };
        let pause = match pass {
            Ok(_) => {
                failures = 0;
                PASS_INTERVAL
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
