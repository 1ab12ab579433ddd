//! Sends what the operator's own channel is to be told.

use std::{sync::Arc, time::Duration};

use billing_kit::{Fault, context::RequestContext};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use crate::{
    app::{Organizations, send_notice::send_notice},
    channel::Channel,
    domain::notice::LEASE,
    store::{link_operations::Lease, notices},
};

/// How often due notices are looked for.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often what was sent long ago is forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(3_600);
/// How many notices one process sends at once.
const CONCURRENT_SENDS_MAX: usize = 8;

/// Runs until the process stops, and ends once what it has begun has ended.
pub(crate) async fn run(app: Arc<Organizations>, channel: Channel) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget_ticks = tokio::time::interval(FORGET_INTERVAL);
    forget_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        let done = tokio::select! {
            _ = ticks.tick() => send_due(&app, &channel, &mut running).await,
            // One that has ended makes room for the next: a full queue does not wait for the clock.
            Some(_) = running.join_next() => send_due(&app, &channel, &mut running).await,
            _ = forget_ticks.tick() => {
                notices::forget_sent(&app.db, app.clock.now()).await.map(drop)
            }
            () = app.life.stop.cancelled() => break,
        };
        if let Err(fault) = done {
            fault.log();
        }
    }
    while running.join_next().await.is_some() {}
}

/// Starts to send what is due, as far as there is room.
async fn send_due(
    app: &Arc<Organizations>,
    channel: &Channel,
    running: &mut JoinSet<()>,
) -> Result<(), Fault> {
    let room = CONCURRENT_SENDS_MAX.saturating_sub(running.len());
    if room == 0 {
        return Ok(());
    }
    let now = app.clock.now();
    let lease = Lease {
        token: app.ids.next(),
        until: now + LEASE,
    };
    for notice in notices::claim_due(&app.db, now, lease, room).await? {
        let (app, channel) = (Arc::clone(app), channel.clone());
        let send = async move {
            if let Err(fault) = send_notice(&app, &channel, &notice, lease.token).await {
                // The lease runs out by itself, and it is sent again.
                fault.log();
            }
        };
        running.spawn(RequestContext::fresh().scope(send));
    }
    Ok(())
}
