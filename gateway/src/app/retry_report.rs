//! Sends a report that Stripe refused once more.

use billing_kit::Fault;
use billing_proto::common::v1::{DeliveryState, RetryReportRequest, RetryReportResponse};

use super::{Admin, App};
use crate::upstream::internal_fault;

impl App {
    /// Queues a refused report again, or finds it queued or settled; and says which.
    ///
    /// # Errors
    /// REPORT_NOT_FOUND; REPORT_NOT_RETRYABLE with the reason; ingest-svc could not be asked.
    pub(crate) async fn retry_report(
        &self,
        admin: &Admin,
        request: RetryReportRequest,
    ) -> Result<RetryReportResponse, Fault> {
        let mut reporting = self.upstream.reporting.clone();
        let retried = reporting.retry_report(admin.request(request)).await;
        let mut retried = retried.map_err(internal_fault)?.into_inner();
        let state = retried.report.as_ref().map(|it| it.delivery_state());
        let is_under_way = matches!(state, Some(DeliveryState::Queued | DeliveryState::Sent));
        let message = if is_under_way {
            "Report queued again"
        } else {
            "Report not to be sent any more"
        };
        message.clone_into(&mut retried.message);
        Ok(retried)
    }
}
