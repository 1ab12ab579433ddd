//! Carries on the link operations that nobody else does: those whose process died, those whose last
//! attempt told nothing, and those that drained.

use std::{sync::Arc, time::Duration};

use billing_kit::{Fault, context::RequestContext};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use crate::{
    app::{
        Organizations,
        run_link_operation::{Claimed, lease, run_link_operation},
    },
    store::link_operations,
};

/// How often due operations are looked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many operations one process carries on at once; one that hangs does not hold up the others.
const CONCURRENT_OPERATIONS_MAX: usize = 16;

/// Runs until the process stops, and ends once what it has begun has ended.
pub(crate) async fn run(app: Arc<Organizations>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.due.notified() => {}
            Some(_) = running.join_next() => continue,
            () = app.life.stop.cancelled() => break,
        }
        if let Err(fault) = run_due(&app, &mut running).await {
            fault.log();
        }
    }
    while running.join_next().await.is_some() {}
}

/// Starts what is due, as far as there is room; says how many it started.
async fn run_due(app: &Arc<Organizations>, running: &mut JoinSet<()>) -> Result<usize, Fault> {
    let room = CONCURRENT_OPERATIONS_MAX.saturating_sub(running.len());
    if room == 0 {
        return Ok(0);
    }
    let now = app.clock.now();
    let lease = lease(app, now);
    let due = link_operations::claim_due(&app.db, now, lease, room).await?;
    let started = due.len();
    for operation in due {
        let app = Arc::clone(app);
        let run = async move {
            let claimed = Claimed {
                operation,
                lease_token: lease.token,
            };
            run_link_operation(&app, claimed).await;
        };
        running.spawn(RequestContext::fresh().scope(run));
    }
    Ok(started)
}
