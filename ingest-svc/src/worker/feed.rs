//! Follows org-svc's feed of how organizations stand, from the stored cursor on.

use billing_kit::{Fault, context::RequestContext, process::Lifecycle};
use billing_kit_db::db_fault;
use billing_proto::org::v1::{WatchOrganizationsRequest, WatchOrganizationsResponse};
use futures::TryFutureExt;

use super::{STEP_MAX, failure_pause, within};
use crate::{Parts, app, store::feed_cursors, wire::standing_from_proto};

/// Reads the feed until the process stops, opening it again whenever it breaks.
pub(super) async fn follow(parts: Parts, life: Lifecycle) {
    let mut failures = 0;
    while !life.stop.is_cancelled() {
        let read = RequestContext::fresh().scope(read(&parts, &mut failures));
        tokio::select! {
            () = life.stop.cancelled() => return,
            result = read => if let Err(fault) = result {
                fault.log();
            },
        }
        failures += 1;
        tokio::select! {
            () = life.stop.cancelled() => {}
            () = tokio::time::sleep(failure_pause(failures)) => {}
        }
    }
}

async fn read(parts: &Parts, failures: &mut u32) -> Result<(), Fault> {
    let stored = feed_cursors::get(&parts.db, feed_cursors::ORGANIZATIONS);
    let cursor = within(STEP_MAX, stored.map_err(db_fault)).await?;
    let request = WatchOrganizationsRequest { cursor };
    let mut feed = parts
        .org_feed
        .clone()
        .watch_organizations(request)
        .await
        .map_err(Fault::from_status)?
        .into_inner();
    tracing::debug!(cursor, "the feed of organizations is open");
    while let Some(message) = feed.message().await.map_err(Fault::from_status)? {
        let WatchOrganizationsResponse { standings, cursor } = message;
        let standings = standings
            .iter()
            .map(standing_from_proto)
            .collect::<Result<_, _>>()?;
        within(STEP_MAX, app::keep_standings(parts, standings, cursor)).await?;
        *failures = 0;
    }
    Ok(())
}
