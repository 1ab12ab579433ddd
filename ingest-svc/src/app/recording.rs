//! What a report goes through when it is recorded, whether it comes from an instance or from the spool.

use std::collections::HashMap;

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::{baselines::Baselines, signing_keys::SigningKeys, sources::Sources};
use crate::{
    domain::{
        delivery::{self, DeliveryState},
        hold::HoldRules,
        notice::NewNotice,
        report::Report,
        standing::Standing,
    },
    store::{
        missed_invoices, notices,
        reporting::{self, Locked},
        reports::NewReport,
    },
};

/// A report as it is first recorded, given how its organization stands.
pub(super) fn new_report(
    id: Uuid,
    report: Report,
    received_at: DateTime<Utc>,
    standing: &Standing,
    now: DateTime<Utc>,
) -> NewReport {
    NewReport {
        id,
        received_at,
        deployment_type: standing.deployment_type,
        state: delivery::state_at_recording(standing, report.reported_at, now),
        first_attempt_at: delivery::first_attempt_at(report.reported_at, now),
        hold: None,
        makes_network_known: false,
        low: None,
        report,
    }
}

/// What decides which reports of a batch are held, under the locks of their organizations.
pub(super) struct Judges {
    pub(super) baselines: Baselines,
    pub(super) keys: SigningKeys,
    sources: Sources,
}

impl Judges {
    pub(super) async fn load<'a>(
        txn: &DatabaseTransaction,
        rules: HoldRules,
        locked: &HashMap<Uuid, Locked>,
        reports: impl Iterator<Item = &'a Report>,
    ) -> Result<Self, StoreError> {
        let standings = locked.values().map(|locked| &locked.standing);
        let baselines = Baselines::load(txn, rules, standings).await?;
        let keys = SigningKeys::of(locked.values());
        let linked = reports.filter(|report| {
            let locked = locked.get(&report.organization_id);
            locked.is_some_and(|locked| locked.standing.is_linked())
        });
        let last_counted = |id| baselines.last_counted(id);
        let sources = Sources::load(txn, rules, linked, last_counted).await?;
        Ok(Self {
            baselines,
            keys,
            sources,
        })
    }

    /// Holds a report where it is to be. The reports of an organization come here in the order of their
    /// times.
    pub(super) fn judge(&mut self, new: &mut NewReport, standing: &Standing) {
        let of_signature = self.keys.judge(&new.report);
        // What the pinned key signed is the organization's, wherever it comes from.
        let is_proved = self.keys.is_pinned(&new.report);
        let of_source = self.sources.judge(&new.report, new.received_at);
        let of_source = of_source.filter(|_| !is_proved);
        self.baselines
            .compare(new, standing, of_signature, of_source);
        self.sources.follow(new, standing.is_linked());
    }
}

/// What follows once reports are inserted: their queues are due, and people are told.
pub(super) async fn follow_up<'a>(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &'a NewReport> + Clone,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    schedule_queued(txn, new.clone()).await?;
    settle_missed(txn, new.clone(), now).await?;
    tell_held(txn, new, now).await
}

/// Notes when the queues that these reports joined are next to be looked at.
async fn schedule_queued<'a>(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &'a NewReport>,
) -> Result<(), StoreError> {
    let queued: Vec<_> = new
        .filter(|new| new.state == DeliveryState::Queued)
        .map(|new| (new.report.organization_id, new.first_attempt_at))
        .collect();
    if queued.is_empty() {
        return Ok(());
    }
    reporting::schedule(txn, &queued).await
}

/// Shows a person the reports whose invoice was final before they came.
async fn settle_missed<'a>(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &'a NewReport>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let missed = new.filter(|new| new.state == DeliveryState::MissedInvoice);
    let missed = missed.map(|new| new.report.organization_id).collect();
    missed_invoices::settle(txn, missed, now).await
}

/// Tells of the reports that are held from the beginning.
async fn tell_held<'a>(
    txn: &DatabaseTransaction,
    new: impl Iterator<Item = &'a NewReport>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let held = new
        .filter(|new| new.state == DeliveryState::Held)
        .filter_map(|new| {
            let hold = new.hold.as_ref()?;
            Some(NewNotice::held(new.id, &new.report, hold, now))
        });
    let held: Vec<_> = held.collect();
    notices::tell(txn, &held, now).await
}
