//! Follows org-svc's feed of how organizations stand, from the stored cursor on.

use billing_kit::{Fault, context::RequestContext, process::Lifecycle};
use billing_kit_db::db_fault;
use billing_proto::org::v1::{
    OrganizationStanding, WatchOrganizationsRequest, WatchOrganizationsResponse,
};
use futures::TryFutureExt;
use uuid::Uuid;

use super::{STEP_MAX, failure_pause, within};
use crate::{
    Parts, app, domain::standing::Standing, store::feed_cursors, wire::standing_from_proto,
};

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

/// A standing, where it can be read. One that cannot must not keep all others from being heard: its
/// organization stands as it was known until it changes again.
fn readable(standing: &OrganizationStanding) -> Option<Standing> {
    let read = standing_from_proto(standing);
    read.inspect_err(|fault| {
        tracing::error!(
            organization_id = standing.organization_id,
            "a standing cannot be read"
        );
        fault.log();
    })
    .ok()
}

/// Of which organizations an admin ignores each.
fn ignored(standings: &[OrganizationStanding]) -> Vec<(Uuid, bool)> {
    let ignored = standings.iter().filter_map(|standing| {
        let id = Uuid::try_parse(&standing.organization_id).ok()?;
        Some((id, standing.ignored))
    });
    ignored.collect()
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
        let told = standings.len();
        let ignored = ignored(&standings);
        let standings: Vec<_> = standings.iter().filter_map(readable).collect();
        if standings.len() < told {
            let skipped = told - standings.len();
            tracing::error!(
                skipped,
                cursor,
                "the feed goes on without standings that cannot be read"
            );
        }
        let kept = app::keep_standings(parts, standings, &ignored, cursor);
        within(STEP_MAX, kept).await?;
        *failures = 0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_that_cannot_be_read_is_left_out_alone() {
        let standing = |subscription_status| OrganizationStanding {
            organization_id: Uuid::max().to_string(),
            subscription_status,
            ..OrganizationStanding::default()
        };
        let told = [standing(1), standing(99), standing(2)];
        assert_eq!(told.iter().filter_map(readable).count(), 2);
    }
}
