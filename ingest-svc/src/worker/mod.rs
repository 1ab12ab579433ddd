//! The loops that run beside the requests. Each stands on a use case that does one step and says
//! whether there was anything to do; the loop only decides when to take the next.

use std::{future::Future, sync::Arc, time::Duration};

use billing_kit::{Fault, context::RequestContext, process::Lifecycle};
use chrono::TimeDelta;
use rand::RngExt;
use tokio::sync::Notify;

use crate::{Parts, app};

mod baselines;
mod days;
mod feed;
mod metrics;
mod pruning;
mod reconciliation;
mod silence;
mod sources;

/// How many batches of reports are delivered at once, so that a slow one delays few others.
const RELAY_LANES: usize = 4;
/// How often a loop looks when nobody told it to: what comes due by time alone.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The longest that a step may take: longer than its calls and statements may.
const STEP_MAX: Duration = Duration::from_secs(60);
/// The longest pause after a failure.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Starts the loops.
pub(crate) fn spawn_all(parts: &Parts, reconcile_interval: TimeDelta, life: &Lifecycle) {
    for _ in 0..RELAY_LANES {
        let lane = parts.clone();
        let relay = work(life.clone(), Arc::clone(&parts.queued), move || {
            let parts = lane.clone();
            async move { app::deliver_reports(&parts).await }
        });
        life.spawn_worker("relay", relay);
    }
    let spool = parts.clone();
    let spool = work(life.clone(), Arc::clone(&parts.org_answered), move || {
        let parts = spool.clone();
        async move { app::work_off_spool(&parts).await }
    });
    life.spawn_worker("spool", spool);
    let draining = parts.clone();
    let drain = work(life.clone(), Arc::default(), move || {
        let parts = draining.clone();
        async move { app::drain(&parts).await }
    });
    life.spawn_worker("drain", drain);
    let deciding = parts.clone();
    let decide = work(life.clone(), Arc::default(), move || {
        let parts = deciding.clone();
        async move { app::decide_groups(&parts).await }
    });
    life.spawn_worker("hold groups", decide);
    let telling = parts.clone();
    let tell = work(life.clone(), Arc::default(), move || {
        let parts = telling.clone();
        async move { app::tell_notices(&parts).await }
    });
    life.spawn_worker("notices", tell);
    let trail = parts.clone();
    let tell = work(life.clone(), Arc::clone(&parts.decided), move || {
        let parts = trail.clone();
        async move { app::tell_audit_events(&parts).await }
    });
    life.spawn_worker("audit", tell);
    life.spawn_worker("silence", silence::run(parts.clone(), life.clone()));
    life.spawn_worker("sources", sources::run(parts.clone(), life.clone()));
    life.spawn_worker("feed", feed::follow(parts.clone(), life.clone()));
    life.spawn_worker("metrics", metrics::run(parts.clone(), life.clone()));
    life.spawn_worker("baselines", baselines::run(parts.clone(), life.clone()));
    life.spawn_worker("pruning", pruning::run(parts.clone(), life.clone()));
    life.spawn_worker("days", days::run(parts.clone(), life.clone()));
    let reconciliation = reconciliation::run(parts.clone(), reconcile_interval, life.clone());
    life.spawn_worker("reconciliation", reconciliation);
}

/// Takes steps while there is something to do, then waits until it is told or the interval is over.
async fn work<F>(life: Lifecycle, told: Arc<Notify>, step: impl Fn() -> F)
where
    F: Future<Output = Result<usize, Fault>>,
{
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let pause = match RequestContext::fresh()
            .scope(within(STEP_MAX, step()))
            .await
        {
            Ok(0) => {
                failures = 0;
                LOOK_INTERVAL
            }
            Ok(_) => {
                failures = 0;
                continue;
            }
            Err(fault) => {
                fault.log();
                failures += 1;
                failure_pause(failures)
            }
        };
        tokio::select! {
            () = life.stop.cancelled() => {}
            () = told.notified(), if failures == 0 => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Ends a step that hangs: a database whose machine is lost says nothing, and for the client that may
/// last for ever. Whatever a step holds is given back by its end.
async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    tokio::time::timeout(limit, step)
        .await
        .unwrap_or_else(|elapsed| {
            Err(Fault::unavailable("A step of a worker did not end.").caused_by(elapsed))
        })
}

/// How long to wait after a number of failures in a row: doubling, with jitter, up to a limit.
fn failure_pause(failures: u32) -> Duration {
    let pause = LOOK_INTERVAL
        .saturating_mul(1 << failures.min(8))
        .min(FAILURE_PAUSE_MAX);
    rand::rng().random_range(pause / 2..=pause)
}
