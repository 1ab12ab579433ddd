//! Asking org-svc how organizations stand, by telling it what they reported.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use billing_kit::{Fault, proto_time};
use billing_kit_db::db_fault;
use billing_proto::org::v1::{ObserveOrganizationsRequest, OrganizationObservation};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{
    Parts,
    domain::{report::Report, standing::Standing},
    store::reporting,
    wire::standing_from_proto,
};

/// A report of so long ago may have been overtaken by a later one. It is looked up for those alone:
/// almost every report is told the moment it is made.
const OVERTAKEN_AFTER: TimeDelta = TimeDelta::minutes(1);
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

/// When the organizations of late reports reported last, by their own time.
async fn last_reported(
    parts: &Parts,
    latest: &BTreeMap<Uuid, &Report>,
) -> Result<HashMap<Uuid, DateTime<Utc>>, DbErr> {
    let late = parts.deps.clock.now() - OVERTAKEN_AFTER;
    let late: Vec<_> = latest
        .values()
        .filter(|report| report.reported_at < late)
        .map(|report| report.organization_id)
        .collect();
    if late.is_empty() {
        return Ok(HashMap::new());
    }
    reporting::last_reported(&parts.db, late).await
}

/// Tells org-svc of organizations, each by its latest report, and answers how they stand.
pub(super) async fn observe<'a>(
    parts: &Parts,
    reports: impl Iterator<Item = &'a Report>,
) -> Result<HashMap<Uuid, Standing>, Fault> {
    let mut latest: BTreeMap<Uuid, &Report> = BTreeMap::new();
    for report in reports {
        let known = latest.entry(report.organization_id).or_insert(report);
        if report.reported_at > known.reported_at {
            *known = report;
        }
    }
    let last_reported = last_reported(parts, &latest).await.map_err(db_fault)?;
    let observations = latest
        .values()
        .map(|report| OrganizationObservation {
            organization_id: report.organization_id.to_string(),
            name: report.content.organization_name.clone(),
            instance_url: report.content.instance_url.clone(),
            observe_time: Some(proto_time::to_proto(report.reported_at)),
            outdated: last_reported
                .get(&report.organization_id)
                .is_some_and(|last| report.reported_at < *last),
        })
        .collect();
    let answer = parts
        .org
        .clone()
        .observe_organizations(ObserveOrganizationsRequest { observations })
        .await;
    parts.org_presence.note(answer.is_ok());
    let answer = answer.map_err(Fault::from_status)?.into_inner();
    parts.org_answered.notify_one();
    answer
        .standings
        .iter()
        .map(|standing| {
            let standing = standing_from_proto(standing)?;
            Ok((standing.organization_id, standing))
        })
        .collect()
}
