//! Comparing the reports of linked organizations with what came before, as they are recorded.

use std::collections::{HashMap, HashSet};

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::{
    domain::{
        baseline::{Baseline, is_timely},
        delivery::DeliveryState,
        hold::{Hold, HoldRules, Verdict},
        notice::NewNotice,
        report::Report,
        standing::Standing,
    },
    store::{
        baselines::{self, Known, Unjudged},
        notices,
        reports::NewReport,
    },
};

/// What the reports of a batch are compared with, under the locks of their organizations.
#[derive(Debug)]
pub(super) struct Baselines {
    rules: HoldRules,
    stored: HashMap<Uuid, Baseline>,
    /// As the batch's reports move them.
    moving: HashMap<Uuid, Baseline>,
    /// The reports that count, if they are new; and whether their day counts by them.
    counting: HashMap<Uuid, bool>,
}

impl Baselines {
    /// The baselines of those of these organizations that are linked. Without a link every report
    /// counts, which the lock has taken note of already.
    pub(super) async fn load(
        txn: &DatabaseTransaction,
        rules: HoldRules,
        standings: impl Iterator<Item = &Standing>,
    ) -> Result<Self, StoreError> {
        let linked: Vec<_> = standings
            .filter(|standing| standing.stripe_customer_id.is_some())
            .map(|standing| standing.organization_id)
            .collect();
        let stored = known(txn, rules, linked).await?;
        Ok(Self {
            rules,
            moving: stored.clone(),
            stored,
            counting: HashMap::new(),
        })
    }

    /// When the latest report was that counts, of a linked organization.
    pub(super) fn last_counted(&self, organization_id: Uuid) -> Option<DateTime<Utc>> {
        let baseline = self.stored.get(&organization_id);
        baseline.map(|baseline| baseline.reported_at)
    }

    /// Compares a report. It is held for its signature, where it would be billed though nobody would have
    /// expected it, or for what else was found with it; and marked where its count is low. The reports of an
    /// organization come
    /// here in the order of their times.
    pub(super) fn compare(
        &mut self,
        new: &mut NewReport,
        standing: &Standing,
        of_signature: Option<Hold>,
        other: Option<Hold>,
    ) {
        if standing.stripe_customer_id.is_none() {
            // The key may be pinned before the link: then this is held once it could be sent.
            new.hold = of_signature;
            return;
        }
        let known = self.moving.get(&new.report.organization_id);
        let judged = known.map_or(Verdict::Expected, |known| {
            self.rules.judge(known, &new.report)
        });
        let verdict = match (of_signature, judged, other) {
            (Some(hold), _, _) | (None, Verdict::Low(_) | Verdict::Expected, Some(hold)) => {
                Verdict::Held(hold)
            }
            (None, judged, _) => judged,
        };
        match verdict {
            // One that waits is held once it could be sent. One that is not billed keeps the reason, so
            // that nothing is compared with it.
            Verdict::Held(hold) => {
                if matches!(
                    new.state,
                    DeliveryState::Queued | DeliveryState::MissedInvoice
                ) {
                    new.state = DeliveryState::Held;
                }
                new.hold = Some(hold);
                return;
            }
            Verdict::Low(low) => new.low = Some(low),
            Verdict::Expected => {}
        }
        let makes_day = makes_day(standing, &new.report, new.received_at);
        self.counting.insert(new.id, makes_day);
        follow(&mut self.moving, new, makes_day);
    }

    /// Keeps what the reports that were inserted moved, and tells of those whose counts begin to be low.
    pub(super) async fn keep<'a>(
        mut self,
        txn: &DatabaseTransaction,
        inserted: impl Iterator<Item = &'a NewReport>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut moved = HashSet::new();
        let mut told = Vec::new();
        for new in inserted {
            let Some(makes_day) = self.counting.get(&new.id) else {
                continue;
            };
            let begins_low = follow(&mut self.stored, new, *makes_day);
            moved.insert(new.report.organization_id);
            if let Some(low) = new.low.filter(|_| begins_low) {
                told.push(NewNotice::low(new.id, &new.report, low));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let mut moved: Vec<_> = self
            .stored
            .into_iter()
            .filter(|(id, _)| moved.contains(id))
            .collect();
        moved.sort_by_key(|(id, _)| *id);
        baselines::set_many(txn, &moved).await?;
        notices::tell(txn, &told, now).await
    }
}

/// Whether a report that counts makes its UTC day count: it came in time, and is of this subscription.
fn makes_day(standing: &Standing, report: &Report, received_at: DateTime<Utc>) -> bool {
    let is_of_link = standing
        .billing_start_at
        .is_some_and(|start| report.reported_at >= start);
    is_of_link && is_timely(report.reported_at, received_at)
}

/// Moves the organization's baseline by a report that counts. Says whether its counts begin to be low.
fn follow(baselines: &mut HashMap<Uuid, Baseline>, new: &NewReport, makes_day: bool) -> bool {
    let known = baselines
        .entry(new.report.organization_id)
        .or_insert_with(|| Baseline::first(&new.report));
    // An older report says nothing of how it is now.
    let is_latest = new.report.reported_at >= known.reported_at;
    known.note(&new.report, makes_day);
    if !is_latest {
        return false;
    }
    let begins_low = new.low.is_some() && known.low_since.is_none();
    known.low_since = match (new.low, known.low_since) {
        (Some(_), None) => Some(new.report.reported_at),
        (Some(_), since) => since,
        (None, _) => None,
    };
    begins_low
}

/// The baselines of these linked organizations, under their locks. Those of a link that is new here are
/// computed first.
async fn known(
    txn: &DatabaseTransaction,
    rules: HoldRules,
    linked: Vec<Uuid>,
) -> Result<HashMap<Uuid, Baseline>, StoreError> {
    if linked.is_empty() {
        return Ok(HashMap::new());
    }
    let (known, unknown) = split(baselines::get_many(txn, linked).await?);
    if unknown.is_empty() {
        return Ok(known);
    }
    let learned = learn(txn, rules, unknown).await?;
    Ok(known.into_iter().chain(learned).collect())
}

fn split(rows: Vec<(Uuid, Known)>) -> (HashMap<Uuid, Baseline>, Vec<Uuid>) {
    let (mut known, mut unknown) = (HashMap::new(), Vec::new());
    for (id, row) in rows {
        match row {
            Known::Yes(baseline) => drop(known.insert(id, baseline)),
            Known::No => unknown.push(id),
        }
    }
    (known, unknown)
}

/// Computes the baselines of these organizations where that is still to be done, under their locks.
pub(super) async fn learn_unknown(
    txn: &DatabaseTransaction,
    rules: HoldRules,
    organizations: Vec<Uuid>,
) -> Result<(), StoreError> {
    known(txn, rules, organizations).await.map(drop)
}

/// Computes baselines, under the organizations' locks, after a link was learned of. Reports that came
/// between the link and that moment were not compared with anything: that is made up for, before they
/// are queued.
async fn learn(
    txn: &DatabaseTransaction,
    rules: HoldRules,
    organizations: Vec<Uuid>,
) -> Result<HashMap<Uuid, Baseline>, StoreError> {
    baselines::compute(txn, organizations.clone()).await?;
    let (mut known, _) = split(baselines::get_many(txn, organizations.clone()).await?);
    let unjudged = baselines::unjudged(txn, organizations).await?;
    if unjudged.is_empty() {
        return Ok(known);
    }
    let held = judge_waiting(rules, &mut known, unjudged);
    baselines::mark_held(txn, &held).await?;
    let mut judged: Vec<_> = known.iter().map(|(id, it)| (*id, it.clone())).collect();
    judged.sort_by_key(|(id, _)| *id);
    baselines::set_many(txn, &judged).await?;
    Ok(known)
}

/// Compares reports, by organization and in the order of their times, as if they came one by one after
/// the link; and moves the baselines as they do.
fn judge_waiting(
    rules: HoldRules,
    known: &mut HashMap<Uuid, Baseline>,
    reports: Vec<Unjudged>,
) -> Vec<(Uuid, Hold)> {
    let mut held = Vec::new();
    let mut begun = HashSet::new();
    for Unjudged {
        id,
        report,
        received_at,
        before,
    } in reports
    {
        let Some(baseline) = known.get_mut(&report.organization_id) else {
            continue;
        };
        if begun.insert(report.organization_id) {
            *baseline = before_link(baseline, before, &report);
        }
        match rules.judge(baseline, &report) {
            Verdict::Held(hold) => held.push((id, hold)),
            Verdict::Low(_) | Verdict::Expected => {
                baseline.note(&report, is_timely(report.reported_at, received_at));
            }
        }
    }
    held
}

/// The baseline without the reports that are yet to be compared.
fn before_link(
    computed: &Baseline,
    before: Option<(i32, DateTime<Utc>, Option<String>)>,
    first: &Report,
) -> Baseline {
    let base = Baseline {
        anchor: computed.anchor,
        ..Baseline::first(first)
    };
    match before {
        Some((user_count, reported_at, instance_url)) => Baseline {
            user_count,
            reported_at,
            instance_url,
            ..base
        },
        None => base,
    }
}
