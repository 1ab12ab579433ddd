//! Asking org-svc how organizations stand, by telling it what they reported.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use billing_kit::{Fault, proto_time};
use billing_kit_db::db_fault;
use billing_proto::org::v1::{
    NotAdmittedOrganization, ObserveOrganizationsRequest, ObserveOrganizationsResponse,
    OrganizationObservation,
};
use uuid::Uuid;

use crate::{
    Parts,
    domain::{report::Report, source::network_of, standing::Standing},
    store::reporting,
    wire::standing_from_proto,
};

/// How long org-svc is not asked about reports after it did not answer.
const ABSENCE: Duration = Duration::from_secs(1);

/// Whether org-svc is worth waiting for. One that hangs would make every batch wait for its deadline;
/// so after a failure reports go to the spool unasked for a moment, and the spool's worker asks.
#[derive(Debug, Default)]
pub(crate) struct OrgPresence(Mutex<Option<Instant>>);

impl OrgPresence {
    /// Whether org-svc failed to answer just now.
    pub(super) fn is_absent(&self) -> bool {
        self.failed_at()
            .is_some_and(|failed_at| failed_at.elapsed() < ABSENCE)
    }

    fn note(&self, answered: bool) {
        *self.failed_at() = (!answered).then(Instant::now);
    }

    fn failed_at(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing panics while it is held; and a time is right whoever wrote it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the organizations of reports stand that are not recorded yet.
#[derive(Debug)]
pub(super) struct Tentative {
    pub(super) standings: HashMap<Uuid, Standing>,
    /// The organizations whose name or URL org-svc knows otherwise: it is to be told again once the
    /// report is recorded.
    pub(super) differing: HashSet<Uuid>,
    /// The unknown organizations that were not admitted, and after how long they may be.
    pub(super) not_admitted: HashMap<Uuid, Duration>,
}

/// Asks how the organizations of reports stand before these are recorded. Unknown ones become pending;
/// nothing else changes, because a report may yet turn out to be refused.
pub(super) async fn observe_tentatively<'a>(
    parts: &Parts,
    reports: impl Iterator<Item = &'a Report>,
) -> Result<Tentative, Fault> {
    let observations = latest_by_organization(reports)
        .into_values()
        .map(|report| observation(report, false));
    let answer = ask(parts, observations.collect(), true).await?;
    let differing = answer.differing_organization_ids.iter();
    let differing = differing.map(|id| Uuid::try_parse(id).map_err(Fault::internal));
    let differing = differing.collect::<Result<_, _>>()?;
    let standings = standings(&answer)?;
    let not_admitted = answer.not_admitted.into_iter().map(not_admitted);
    Ok(Tentative {
        standings,
        differing,
        not_admitted: not_admitted.collect::<Result<_, _>>()?,
    })
}

/// Tells org-svc of organizations, each by the latest of these reports, which are acknowledged; answers
/// how they stand.
pub(super) async fn observe<'a>(
    parts: &Parts,
    reports: impl Iterator<Item = &'a Report>,
) -> Result<HashMap<Uuid, Standing>, Fault> {
    let latest = latest_by_organization(reports);
    let ids = latest.keys().copied().collect();
    let last_reported = reporting::last_reported(&parts.db, ids)
        .await
        .map_err(db_fault)?;
    let observations = latest.into_values().map(|report| {
        let last = last_reported.get(&report.organization_id);
        observation(report, last.is_some_and(|last| report.reported_at < *last))
    });
    standings(&ask(parts, observations.collect(), false).await?)
}

fn latest_by_organization<'a>(
    reports: impl Iterator<Item = &'a Report>,
) -> BTreeMap<Uuid, &'a Report> {
    let mut latest: BTreeMap<Uuid, &Report> = BTreeMap::new();
    for report in reports {
        let known = latest.entry(report.organization_id).or_insert(report);
        if report.reported_at > known.reported_at {
            *known = report;
        }
    }
    latest
}

fn observation(report: &Report, outdated: bool) -> OrganizationObservation {
    OrganizationObservation {
        organization_id: report.organization_id.to_string(),
        name: report.content.organization_name.clone(),
        instance_url: report.content.instance_url.clone(),
        observe_time: Some(proto_time::to_proto(report.reported_at)),
        outdated,
        source_network: report
            .source
            .map(|address| network_of(address).to_string())
            .unwrap_or_default(),
    }
}

async fn ask(
    parts: &Parts,
    observations: Vec<OrganizationObservation>,
    tentative: bool,
) -> Result<ObserveOrganizationsResponse, Fault> {
    let request = ObserveOrganizationsRequest {
        observations,
        tentative,
    };
    let answer = parts.org.clone().observe_organizations(request).await;
    parts.org_presence.note(answer.is_ok());
    let answer = answer.map_err(Fault::from_status)?.into_inner();
    parts.org_answered.notify_one();
    Ok(answer)
}

fn standings(answer: &ObserveOrganizationsResponse) -> Result<HashMap<Uuid, Standing>, Fault> {
    let standings = answer.standings.iter().map(|standing| {
        let standing = standing_from_proto(standing)?;
        Ok((standing.organization_id, standing))
    });
    standings.collect()
}

fn not_admitted(organization: NotAdmittedOrganization) -> Result<(Uuid, Duration), Fault> {
    let NotAdmittedOrganization {
        organization_id,
        retry_delay,
    } = organization;
    let id = Uuid::try_parse(&organization_id).map_err(Fault::internal)?;
    let delay = retry_delay.and_then(|delay| Duration::try_from(delay).ok());
    Ok((id, delay.unwrap_or_default()))
}
