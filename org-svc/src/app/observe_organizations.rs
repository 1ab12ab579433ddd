//! ObserveOrganizations: takes note of organizations that reported.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};

use super::{Organizations, tell};
use crate::{
    domain::{
        admission,
        observation::{self, Observation},
        organization::{Organization, OrganizationId, Standing},
    },
    store::{admissions, organization_changes, organizations},
};

/// How observed organizations stand.
#[derive(Debug)]
pub(crate) struct Observed {
    /// One per observation whose organization was admitted, in the order of the observations.
    pub(crate) standings: Vec<Standing>,
    /// The known organizations that a tentative observation would have changed.
    pub(crate) differing: Vec<OrganizationId>,
    /// The unknown organizations that were not admitted.
    pub(crate) not_admitted: Vec<OrganizationId>,
    /// After how long they may be.
    pub(crate) retry_delay: Duration,
}

/// Answers how each observed organization stands; the unknown ones become pending, as far as the cap of
/// their source network admits them. A tentative observation changes nothing of a known one; what is not
/// tentative was acknowledged already, and no cap applies to it.
///
/// One statement where nothing differs, which is almost every day. Only what differs is locked, looked
/// at again and written.
pub(crate) async fn observe_organizations(
    app: &Organizations,
    observations: &[Observation],
    is_tentative: bool,
) -> Result<Observed, Fault> {
    let now = app.clock.now();
    let latest = observation::latest_by_organization(observations);
    let ids: Vec<_> = latest.keys().copied().collect();
    let mut known: HashMap<OrganizationId, Organization> = organizations::get_many(&app.db, &ids)
        .await?
        .into_iter()
        .map(|organization| (organization.id, organization))
        .collect();
    let differing: Vec<&Observation> = latest
        .into_values()
        .filter(|observed| {
            known
                .get(&observed.organization_id)
                .is_none_or(|organization| observation::after(organization, observed).is_some())
        })
        .collect();
    let writable: Vec<_> = differing
        .iter()
        .copied()
        .filter(|observed| !(is_tentative && known.contains_key(&observed.organization_id)))
        .collect();
    let mut not_admitted = HashSet::new();
    if !writable.is_empty() {
        let written = write(app, writable, &known, is_tentative, now).await?;
        for organization in written.present {
            known.insert(organization.id, organization);
        }
        not_admitted = written.not_admitted;
    }
    let standings = observations
        .iter()
        .filter(|observed| !not_admitted.contains(&observed.organization_id))
        .map(|observed| {
            known
                .get(&observed.organization_id)
                .map(Organization::standing)
                .ok_or_else(|| Fault::internal("an organization that was just written is missing"))
        })
        .collect::<Result<_, _>>()?;
    // One that was created here says what was observed; one that another call created meanwhile may not.
    let still_differs = |observed: &&&Observation| {
        known
            .get(&observed.organization_id)
            .is_some_and(|organization| observation::after(organization, observed).is_some())
    };
    let differing = differing.iter().filter(still_differs);
    Ok(Observed {
        standings,
        differing: differing.map(|o| o.organization_id).collect(),
        not_admitted: not_admitted.into_iter().collect(),
        retry_delay: admission::until_next_day(now),
    })
}

/// What was written.
struct Written {
    /// The organizations that differed, as they are now.
    present: Vec<Organization>,
    not_admitted: HashSet<OrganizationId>,
}

/// Writes what differs, in the order of the ids. A tentative observation only creates.
async fn write(
    app: &Organizations,
    mut differing: Vec<&Observation>,
    known: &HashMap<OrganizationId, Organization>,
    is_tentative: bool,
    now: DateTime<Utc>,
) -> Result<Written, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let unknown = differing
        .iter()
        .copied()
        .filter(|observed| !known.contains_key(&observed.organization_id));
    let unknown = unknown.collect();
    let admission = Admission::decide(app, &transaction, unknown, is_tentative, now).await?;
    differing.retain(|observed| !admission.refused.contains(&observed.organization_id));
    let differing = differing.as_slice();
    let created = organizations::insert_pending(&transaction, differing, now).await?;
    admission.count(app, &transaction, &created, now).await?;
    // What was there already may have changed since it was read: under the lock it is decided again.
    let ids: Vec<_> = differing.iter().map(|o| o.organization_id).collect();
    let mut present = organizations::lock_many(&transaction, &ids).await?;
    let mut changed = Vec::new();
    for organization in &mut present {
        let observed = differing
            .binary_search_by_key(&organization.id, |o| o.organization_id)
            .ok()
            .and_then(|at| differing.get(at))
            .filter(|_| !is_tentative);
        if let Some(after) = observed.and_then(|o| observation::after(organization, o)) {
            *organization = Organization {
                updated_at: now,
                ..after
            };
            changed.push(organization.clone());
        }
    }
    if !changed.is_empty() {
        organizations::update_observed(&transaction, &changed, now).await?;
    }
    if !created.is_empty() {
        let is_new = |organization: &&Organization| created.contains(&organization.id);
        tell::pending(app, &transaction, present.iter().filter(is_new), now).await?;
        let versions: HashMap<_, _> = organization_changes::append(&transaction, &created, now)
            .await?
            .into_iter()
            .collect();
        for organization in &mut present {
            if let Some(version) = versions.get(&organization.id) {
                organization.standing_version = *version;
            }
        }
    }
    transaction.commit().await.map_err(db_fault)?;
    if !created.is_empty() {
        app.changed.notify_waiters();
    }
    Ok(Written {
        present,
        not_admitted: admission.refused,
    })
}

/// Which of the unknown organizations of a batch are admitted. Their networks' counts are locked from
/// the decision to the end of the transaction, so that the cap holds across replicas.
struct Admission<'a> {
    unknown: Vec<&'a Observation>,
    refused: HashSet<OrganizationId>,
}

impl<'a> Admission<'a> {
    async fn decide(
        app: &Organizations,
        transaction: &DatabaseTransaction,
        unknown: Vec<&'a Observation>,
        is_tentative: bool,
        now: DateTime<Utc>,
    ) -> Result<Self, Fault> {
        let mut refused = HashSet::new();
        if app.admission_caps.is_unlimited() {
            // Nothing is counted either, so that no batch waits for another.
            return Ok(Self {
                unknown: Vec::new(),
                refused,
            });
        }
        if !unknown.is_empty() {
            let mut networks: Vec<_> = unknown.iter().map(|o| admission::source_of(o)).collect();
            networks.sort_unstable();
            networks.dedup();
            let networks = networks.into_iter().map(str::to_owned).collect();
            let today = admissions::lock(transaction, now.date_naive(), networks).await?;
            if is_tentative {
                let over = admission::decide(app.admission_caps, &unknown, &today);
                refused = over.into_iter().map(|o| o.organization_id).collect();
            }
        }
        if !refused.is_empty() {
            // Another replica may have admitted some since they were looked up.
            let ids: Vec<_> = refused.iter().copied().collect();
            for present in organizations::get_many(transaction, &ids).await? {
                refused.remove(&present.id);
            }
        }
        Ok(Self { unknown, refused })
    }

    /// Adds to the networks' counts, and tells the operator of the first refusal of each day.
    async fn count(
        &self,
        app: &Organizations,
        transaction: &DatabaseTransaction,
        created: &[OrganizationId],
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let created: HashSet<_> = created.iter().copied().collect();
        let mut more: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for observed in &self.unknown {
            let (admitted, refused) = more.entry(admission::source_of(observed)).or_default();
            *admitted += i64::from(created.contains(&observed.organization_id));
            *refused += i64::from(self.refused.contains(&observed.organization_id));
        }
        more.retain(|_, counts| *counts != (0, 0));
        if more.is_empty() {
            return Ok(());
        }
        let refused_today = admissions::add(transaction, now.date_naive(), &more).await?;
        for (network, (_, refused)) in &more {
            if *refused > 0 && refused_today.get(*network) == Some(refused) {
                tell::not_admitted(app, transaction, network, now).await?;
            }
        }
        Ok(())
    }
}
