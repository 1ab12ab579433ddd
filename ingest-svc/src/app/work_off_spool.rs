//! Works off the spool once org-svc answers: the reports move to `usage_reports` under the ids that
//! they were acknowledged with.

use std::collections::BTreeMap;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{DbErr, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    app::{
        baselines::Baselines,
        observe::observe,
        report_usage::{new_report, schedule_queued},
    },
    domain::standing::Standing,
    store::{
        reporting::{self, Latest},
        reports,
        spool::{self, Spooled},
    },
};

/// How many reports move at once.
const BATCH_MAX: i64 = 500;

/// Moves the reports that wait longest. Answers how many it moved; 0 when the spool is empty.
///
/// # Errors
/// org-svc or the database is away; nothing moved.
pub(crate) async fn work_off_spool(parts: &Parts) -> Result<usize, Fault> {
    let waiting = spool::oldest(&parts.db, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let standings = observe(parts, waiting.iter().map(|spooled| &spooled.report)).await?;
    let moved = relocate(parts, &waiting, |id| {
        standings
            .get(&id)
            .cloned()
            .unwrap_or_else(|| Standing::unknown(id))
    })
    .await
    .map_err(db_fault)?;
    tracing::info!(moved, "spooled reports were recorded");
    parts.queued.notify_one();
    Ok(moved)
}

async fn relocate(
    parts: &Parts,
    waiting: &[Spooled],
    standing_of: impl Fn(Uuid) -> Standing,
) -> Result<usize, DbErr> {
    let now = parts.deps.clock.now();
    let mut latest: BTreeMap<Uuid, Latest> = BTreeMap::new();
    for Spooled {
        id: _,
        report,
        received_at: _,
    } in waiting
    {
        let entry = latest
            .entry(report.organization_id)
            .or_insert_with(|| Latest {
                standing: standing_of(report.organization_id),
                user_count: report.content.user_count,
                reported_at: report.reported_at,
                instance_url: report.content.instance_url.clone(),
            });
        if report.reported_at > entry.reported_at {
            entry.user_count = report.content.user_count;
            entry.instance_url.clone_from(&report.content.instance_url);
            entry.reported_at = report.reported_at;
        }
    }
    let latest: Vec<_> = latest.into_values().collect();

    let txn = parts.db.begin().await?;
    let standings: BTreeMap<_, _> = reporting::lock_with_reports(&txn, &latest)
        .await?
        .into_iter()
        .map(|standing| (standing.organization_id, standing))
        .collect();
    // Deleted before it is inserted: the insert leaves out what stands in the spool.
    let mut taken = spool::take(&txn, waiting.iter().map(|spooled| spooled.id).collect()).await?;
    taken.sort_by_key(|spooled| (spooled.report.organization_id, spooled.report.reported_at));
    let mut baselines = Baselines::load(&txn, parts.hold_rules, standings.values()).await?;
    let new: Vec<_> = taken
        .into_iter()
        .filter_map(
            |Spooled {
                 id,
                 report,
                 received_at,
             }| {
                let standing = standings.get(&report.organization_id)?;
                let mut new = new_report(id, report, received_at, standing, now);
                baselines.compare(&mut new, standing);
                Some(new)
            },
        )
        .collect();
    let inserted = reports::insert_new(&txn, &new).await?.len();
    if inserted != new.len() {
        // Both tables hold one key, which the locks exclude: lose nothing, let a person look.
        return Err(DbErr::Custom(
            "a spooled report is recorded already".to_owned(),
        ));
    }
    schedule_queued(&txn, new.iter()).await?;
    baselines.keep(&txn, new.iter()).await?;
    txn.commit().await?;
    parts
        .touched_days
        .note(new.iter().map(|new| new.report.reported_at), now);
    Ok(inserted)
}
