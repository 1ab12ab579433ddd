//! Sums up how the instances report.

use billing_kit::Fault;
use billing_proto::ingest::v1::GetReportingSummaryRequest;

use super::{Admin, App, translate};
use crate::{domain::reporting::ReportingSummary, upstream::internal_fault};

impl App {
    /// How the instances report, as a whole.
    ///
    /// # Errors
    /// ingest-svc could not be asked.
    pub(crate) async fn get_reporting_summary(
        &self,
        admin: &Admin,
    ) -> Result<ReportingSummary, Fault> {
        let request = admin.request(GetReportingSummaryRequest {});
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.get_reporting_summary(request).await;
        translate::reporting_summary(answer.map_err(internal_fault)?.into_inner())
    }
}
