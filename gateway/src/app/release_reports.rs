//! Sends held reports of an organization.

use billing_kit::Fault;
use billing_proto::ingest::v1::{ReleaseReportsRequest, ReleaseReportsResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{
    domain::reporting::{DecidedReports, HeldSelection},
    upstream::internal_fault,
};

impl App {
    /// Releases held reports, or finds them released.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; INVALID_ARGUMENT naming `report_ids` for one that was never held, or was
    /// discarded.
    pub(crate) async fn release_reports(
        &self,
        admin: &Admin,
        id: Uuid,
        selection: HeldSelection,
    ) -> Result<DecidedReports, Fault> {
        let (report_ids, all) = match selection {
            HeldSelection::Reports(ids) => (ids, false),
            HeldSelection::All => (Vec::new(), true),
        };
        let request = admin.request(ReleaseReportsRequest {
            organization_id: id.to_string(),
            report_ids,
            all,
        });
        let mut held = self.upstream.held_reports.clone();
        let answer = held.release_reports(request).await;
        let ReleaseReportsResponse {
            reports,
            held_report_count,
        } = answer.map_err(internal_fault)?.into_inner();
        let reports = reports
            .into_iter()
            .map(translate::usage_report)
            .collect::<Result<_, _>>()?;
        Ok(DecidedReports {
            reports,
            held_report_count,
        })
    }
}
