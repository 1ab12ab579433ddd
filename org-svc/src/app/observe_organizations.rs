//! ObserveOrganizations: takes note of organizations that reported.

use std::collections::HashMap;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;

use super::{Organizations, tell};
use crate::{
    domain::{
        observation::{self, Observation},
        organization::{Organization, OrganizationId, Standing},
    },
    store::{organization_changes, organizations},
};

/// How observed organizations stand.
#[derive(Debug)]
pub(crate) struct Observed {
    /// In the order of the observations.
    pub(crate) standings: Vec<Standing>,
    /// The known organizations that a tentative observation would have changed.
    pub(crate) differing: Vec<OrganizationId>,
}

/// Answers how each observed organization stands; the unknown ones become pending. A tentative
/// observation changes nothing of a known one.
///
/// One statement where nothing differs, which is almost every day. Only what differs is locked, looked
/// at again and written.
pub(crate) async fn observe_organizations(
    app: &Organizations,
    observations: &[Observation],
    is_tentative: bool,
) -> Result<Observed, Fault> {
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
    if !writable.is_empty() {
        for organization in write(app, &writable, is_tentative).await? {
            known.insert(organization.id, organization);
        }
    }
    let standings = observations
        .iter()
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
    })
}

/// Writes what differs, in the order of the ids; answers with these organizations as they are then.
/// A tentative observation only creates.
async fn write(
    app: &Organizations,
    differing: &[&Observation],
    is_tentative: bool,
) -> Result<Vec<Organization>, Fault> {
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let created = organizations::insert_pending(&transaction, differing, now).await?;
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
    Ok(present)
}
