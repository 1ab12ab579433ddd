//! Sums up how the instances report.

use billing_kit::Fault;
use billing_proto::ingest::v1::GetReportingSummaryRequest;

use super::{Admin, App, HeldReportPage, translate};
use crate::{domain::reporting::ReportingSummary, upstream::internal_fault};

/// Held reports of a page, and how many pages of them are looked at for what is urgent.
const HELD_PAGE_SIZE: i32 = 500;
const HELD_PAGES_MAX: usize = 10;

impl App {
    /// How the instances report, as a whole.
    ///
    /// # Errors
    /// ingest-svc or org-svc could not be asked.
    pub(crate) async fn get_reporting_summary(
        &self,
        admin: &Admin,
    ) -> Result<ReportingSummary, Fault> {
        let request = admin.request(GetReportingSummaryRequest {});
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.get_reporting_summary(request).await;
        let summary = answer.map_err(internal_fault)?.into_inner();
        let urgent = if summary.held_report_count == 0 {
            0
        } else {
            self.count_urgent(admin).await?
        };
        translate::reporting_summary(summary, urgent)
    }

    async fn count_urgent(&self, admin: &Admin) -> Result<i64, Fault> {
        let now = self.clock.now();
        let mut count = 0;
        let mut token = String::new();
        for _ in 0..HELD_PAGES_MAX {
            let HeldReportPage {
                reports,
                next_page_token,
            } = self
                .list_held_reports(admin, None, HELD_PAGE_SIZE, token)
                .await?;
            let urgent = reports.iter().filter(|report| report.is_urgent(now));
            count += i64::try_from(urgent.count()).map_err(Fault::internal)?;
            match next_page_token {
                Some(next) => token = next,
                None => break,
            }
        }
        Ok(count)
    }
}
