//! Comparing the reports of linked organizations with what came before, as they are recorded.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, DbErr};
use uuid::Uuid;

use crate::{
    domain::{
        delivery::DeliveryState,
        hold::{Baseline, Hold, HoldRules},
        standing::Standing,
    },
    store::{reporting, reports::NewReport},
};

/// What the reports of a batch are compared with, under the locks of their organizations.
#[derive(Debug)]
pub(super) struct Baselines {
    rules: HoldRules,
    stored: HashMap<Uuid, Baseline>,
    /// As the batch's reports move them.
    moving: HashMap<Uuid, Baseline>,
    /// The reports that count, if they are new.
    counting: HashSet<Uuid>,
}

impl Baselines {
    /// The baselines of those of these organizations that are linked. Without a link every report
    /// counts, which the lock has taken note of already.
    pub(super) async fn load(
        txn: &DatabaseTransaction,
        rules: HoldRules,
        standings: impl Iterator<Item = &Standing>,
    ) -> Result<Self, DbErr> {
        let linked: Vec<_> = standings
            .filter(|standing| standing.stripe_customer_id.is_some())
            .map(|standing| standing.organization_id)
            .collect();
        let stored: HashMap<_, _> = if linked.is_empty() {
            HashMap::new()
        } else {
            reporting::baselines(txn, linked)
                .await?
                .into_iter()
                .collect()
        };
        Ok(Self {
            rules,
            moving: stored.clone(),
            stored,
            counting: HashSet::new(),
        })
    }

    /// When the latest report was that counts, of a linked organization.
    pub(super) fn last_counted(&self, organization_id: Uuid) -> Option<DateTime<Utc>> {
        let baseline = self.stored.get(&organization_id);
        baseline.map(|baseline| baseline.reported_at)
    }

    /// Compares a report, and holds it where it would be billed though nobody would have expected
    /// it; or for its signature, or for what else was found with it. The reports of an organization come
    /// here in the order of their times.
    pub(super) fn compare(
        &mut self,
        new: &mut NewReport,
        standing: &Standing,
        of_signature: Option<Hold>,
        other: Option<Hold>,
    ) {
        if standing.stripe_customer_id.is_none() {
            return;
        }
        let organization_id = new.report.organization_id;
        let baseline = self.moving.get(&organization_id);
        let of_content = || self.rules.judge(baseline?, &new.report.content);
        match of_signature.or_else(of_content).or(other) {
            // One that waits is held once it could be sent.
            Some(hold) => {
                if new.state == DeliveryState::Queued {
                    new.state = DeliveryState::Held;
                }
                new.hold = Some(hold)
                    .filter(|_| matches!(new.state, DeliveryState::Held | DeliveryState::Waiting));
            }
            None => {
                self.counting.insert(new.id);
                follow(&mut self.moving, new);
            }
        }
    }

    /// Keeps what the reports that were inserted moved.
    pub(super) async fn keep<'a>(
        mut self,
        txn: &DatabaseTransaction,
        inserted: impl Iterator<Item = &'a NewReport>,
    ) -> Result<(), DbErr> {
        let mut moved = HashSet::new();
        for new in inserted.filter(|new| self.counting.contains(&new.id)) {
            if follow(&mut self.stored, new) {
                moved.insert(new.report.organization_id);
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
        reporting::set_baselines(txn, &moved).await
    }
}

/// Moves the organization's baseline to a report that is later. Says whether it did.
fn follow(baselines: &mut HashMap<Uuid, Baseline>, new: &NewReport) -> bool {
    let id = new.report.organization_id;
    let is_later = baselines
        .get(&id)
        .is_none_or(|known| new.report.reported_at > known.reported_at);
    if is_later {
        baselines.insert(id, Baseline::of(&new.report));
    }
    is_later
}
