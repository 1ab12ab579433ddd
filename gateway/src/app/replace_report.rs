//! Puts a refused report in the place of the one that is recorded for its time.

use billing_kit::Fault;
use billing_proto::ingest::v1::{ReplaceReportRequest, ReplaceReportResponse};

use super::{Admin, App, translate};
use crate::{domain::usage_report::UsageReport, upstream::internal_fault};

impl App {
    /// Replaces it, or finds it replaced; answers the report that has the refused count now.
    ///
    /// # Errors
    /// REPORT_NOT_FOUND; REPORT_NOT_REPLACEABLE with the reason; ingest-svc could not be asked.
    pub(crate) async fn replace_report(
        &self,
        admin: &Admin,
        conflict_id: String,
    ) -> Result<UsageReport, Fault> {
        let request = admin.request(ReplaceReportRequest { conflict_id });
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.replace_report(request).await;
        let ReplaceReportResponse { report } = answer.map_err(internal_fault)?.into_inner();
        translate::usage_report(report.unwrap_or_default())
    }
}
