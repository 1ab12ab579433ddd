//! Works off the spool once org-svc answers: the reports move to `usage_reports` under the ids that
//! they were acknowledged with.

use std::collections::{BTreeMap, HashMap};

use billing_kit::Fault;
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::{DbErr, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    app::{
        observe::observe,
        recording::{self, Judges},
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

/// Moves the reports that wait longest. Answers how many it moved or put aside; 0 when the spool is
/// empty.
///
/// # Errors
/// org-svc or the database is away; what was not moved waits.
pub(crate) async fn work_off_spool(parts: &Parts) -> Result<usize, Fault> {
    let waiting = spool::oldest(&parts.db, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let mut batches = Halves::of(waiting);
    while let Some(batch) = batches.next() {
        match move_all(parts, &batch).await {
            Ok(()) => batches.succeeded(&batch),
            Err(fault) if is_passing(&fault) => return Err(fault),
            Err(fault) => batches.failed(batch, fault),
        }
    }
    let (moved, at_fault) = batches.end()?;
    for (spooled, fault) in &at_fault {
        park(parts, spooled, fault).await?;
    }
    tracing::info!(moved, "spooled reports were recorded");
    parts.queued.notify_one();
    Ok(moved + at_fault.len())
}

async fn move_all(parts: &Parts, batch: &[Spooled]) -> Result<(), Fault> {
    let reports = batch.iter().map(|spooled| &spooled.report);
    let standings = observe(parts, reports).await?;
    relocate(parts, batch, |id| {
        standings
            .get(&id)
            .cloned()
            .unwrap_or_else(|| Standing::unknown(id))
    })
    .await
    .map_err(db_fault)
}

async fn park(parts: &Parts, spooled: &Spooled, fault: &Fault) -> Result<(), Fault> {
    tracing::error!(report_id = %spooled.id, "a spooled report cannot be recorded and is put aside");
    fault.log();
    spool::park(
        &parts.db,
        spooled.id,
        &fault.message,
        parts.deps.clock.now(),
    )
    .await
    .map_err(db_fault)
}

/// A batch that is worked on in halves where it fails, down to the one that is at fault.
#[derive(Debug)]
struct Halves<T> {
    /// What is still to be tried, the oldest last.
    open: Vec<Vec<T>>,
    done: usize,
    at_fault: Vec<(T, Fault)>,
}

impl<T: Clone> Halves<T> {
    fn of(batch: Vec<T>) -> Self {
        Self {
            open: vec![batch],
            done: 0,
            at_fault: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<Vec<T>> {
        self.open.pop()
    }

    fn succeeded(&mut self, batch: &[T]) {
        self.done += batch.len();
    }

    fn failed(&mut self, batch: Vec<T>, fault: Fault) {
        if let [alone] = batch.as_slice() {
            self.at_fault.push((alone.clone(), fault));
        } else {
            let (older, newer) = batch.split_at(batch.len() / 2);
            self.open.push(newer.to_vec());
            self.open.push(older.to_vec());
        }
    }

    /// How many succeeded, and those that are at fault.
    ///
    /// # Errors
    /// Nothing succeeded: then it is not theirs, and none of them stands in another's way.
    fn end(mut self) -> Result<(usize, Vec<(T, Fault)>), Fault> {
        match self.at_fault.pop() {
            Some((_, fault)) if self.done == 0 => Err(fault),
            Some(last) => {
                self.at_fault.push(last);
                Ok((self.done, self.at_fault))
            }
            None => Ok((self.done, self.at_fault)),
        }
    }
}

/// Whether the same may succeed later, whatever it is about.
fn is_passing(fault: &Fault) -> bool {
    [
        ErrorReason::Unavailable,
        ErrorReason::DeadlineExceeded,
        ErrorReason::RateLimited,
        ErrorReason::Unauthenticated,
        ErrorReason::PermissionDenied,
    ]
    .contains(&fault.reason)
}

async fn relocate(
    parts: &Parts,
    waiting: &[Spooled],
    standing_of: impl Fn(Uuid) -> Standing,
) -> Result<(), DbErr> {
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
                signing_key: report.signature.map(|signature| signature.key),
                // They were taken note of when they came.
                has_several: false,
            });
        if report.reported_at > entry.reported_at {
            entry.user_count = report.content.user_count;
            entry.instance_url.clone_from(&report.content.instance_url);
            entry.signing_key = report.signature.map(|signature| signature.key);
            entry.reported_at = report.reported_at;
        }
    }
    let latest: Vec<_> = latest.into_values().collect();

    let txn = parts.db.begin().await?;
    let locked: HashMap<_, _> = reporting::lock_with_reports(&txn, &latest)
        .await?
        .into_iter()
        .map(|locked| (locked.standing.organization_id, locked))
        .collect();
    // Deleted before it is inserted: the insert leaves out what stands in the spool.
    let mut taken = spool::take(&txn, waiting.iter().map(|spooled| spooled.id).collect()).await?;
    taken.sort_by_key(|spooled| (spooled.report.organization_id, spooled.report.reported_at));
    let reports = taken.iter().map(|spooled| &spooled.report);
    let mut judges = Judges::load(&txn, parts.hold_rules, &locked, reports).await?;
    let new: Vec<_> = taken
        .into_iter()
        .filter_map(
            |Spooled {
                 id,
                 report,
                 received_at,
             }| {
                let standing = &locked.get(&report.organization_id)?.standing;
                let mut new = recording::new_report(id, report, received_at, standing, now);
                judges.judge(&mut new, standing);
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
    recording::follow_up(&txn, new.iter(), now).await?;
    judges.baselines.keep(&txn, new.iter(), now).await?;
    judges.keys.keep(parts, &txn, new.iter(), now).await?;
    txn.commit().await?;
    parts
        .touched_days
        .note(new.iter().map(|new| new.report.reported_at), now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works on ten; answers those that were done, and those at fault.
    fn work(at_fault: &[i32]) -> Result<(Vec<i32>, Vec<i32>), Fault> {
        let mut done = Vec::new();
        let mut halves = Halves::of((0..10).collect());
        while let Some(batch) = halves.next() {
            if batch.iter().any(|it| at_fault.contains(it)) {
                halves.failed(batch, Fault::internal("it is not to be recorded"));
            } else {
                halves.succeeded(&batch);
                done.extend(batch);
            }
        }
        let (count, at_fault) = halves.end()?;
        assert_eq!(count, done.len());
        Ok((done, at_fault.into_iter().map(|(it, _)| it).collect()))
    }

    /// One report that nothing can be done with stopped all that came after it.
    #[test]
    fn what_is_at_fault_is_found_and_the_others_go_on_in_their_order() {
        for at_fault in [vec![], vec![0], vec![9], vec![3, 4], (0..9).collect()] {
            let rest: Vec<_> = (0..10).filter(|it| !at_fault.contains(it)).collect();
            assert_eq!(work(&at_fault).unwrap(), (rest, at_fault));
        }
    }

    #[test]
    fn where_nothing_succeeds_none_is_at_fault() {
        let all: Vec<_> = (0..10).collect();
        assert!(work(&all).is_err());
        assert!(is_passing(&Fault::unavailable("org-svc is away")));
        assert!(!is_passing(&Fault::internal("a constraint")));
    }
}
