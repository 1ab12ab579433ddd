//! Sends a report that Stripe refused once more.

use billing_kit::Fault;
use billing_proto::ingest::v1::{RetryReportRequest, RetryReportResponse};

use super::{Admin, App, translate};
use crate::{domain::usage_report::UsageReport, upstream::internal_fault};

impl App {
    /// Queues a refused report again, or finds it queued or sent.
    ///
    /// # Errors
    /// REPORT_NOT_FOUND; REPORT_NOT_RETRYABLE with the reason; ingest-svc could not be asked.
    pub(crate) async fn retry_report(
        &self,
        admin: &Admin,
        report_id: String,
    ) -> Result<UsageReport, Fault> {
        let request = admin.request(RetryReportRequest { report_id });
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.retry_report(request).await;
        let RetryReportResponse { report } = answer.map_err(internal_fault)?.into_inner();
        translate::usage_report(report.unwrap_or_default())
    }
}
