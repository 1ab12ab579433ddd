//! Paces reconciliation: a pass every so often, a page at a time.

use std::time::Duration;

use billing_kit::{context::RequestContext, process::Lifecycle};
use chrono::TimeDelta;

use super::failure_pause;
use crate::{Parts, app};

/// How often is looked whether a pass is due, or another replica's lease has ended.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Between two pages of ten organizations: at most five questions a second to Stripe, which allows
/// 25 in test mode and 100 in live mode for everything.
const PAGE_PAUSE: Duration = Duration::from_secs(2);

/// Takes steps until the process stops.
pub(super) async fn run(parts: Parts, pass_interval: TimeDelta, life: Lifecycle) {
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let step = RequestContext::fresh().scope(app::reconcile(&parts, pass_interval));
        let step = tokio::select! {
            () = life.stop.cancelled() => return,
            step = step => step,
        };
        let pause = match step {
            Ok(looked_at) => {
                failures = 0;
                if looked_at == 0 {
                    LOOK_INTERVAL
                } else {
                    PAGE_PAUSE
                }
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
