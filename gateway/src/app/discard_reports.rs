//! Keeps held reports of an organization and never bills them.

use billing_kit::Fault;
use billing_proto::ingest::v1::{DiscardReportsRequest, DiscardReportsResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{
    domain::reporting::{DecidedReports, HeldSelection},
    upstream::internal_fault,
};

impl App {
    /// Discards held reports, or finds them discarded.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; INVALID_ARGUMENT naming `report_ids` for one that was never held, or was
    /// released.
    pub(crate) async fn discard_reports(
        &self,
        admin: &Admin,
        id: Uuid,
        selection: HeldSelection,
    ) -> Result<DecidedReports, Fault> {
        let (report_ids, all) = match selection {
            HeldSelection::Reports(ids) => (ids, false),
            HeldSelection::All => (Vec::new(), true),
        };
        let request = admin.request(DiscardReportsRequest {
            organization_id: id.to_string(),
            report_ids,
            all,
        });
        let mut held = self.upstream.held_reports.clone();
        let answer = held.discard_reports(request).await;
        let DiscardReportsResponse {
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
