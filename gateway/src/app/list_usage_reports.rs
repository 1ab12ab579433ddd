//! Lists the usage reports of an organization.

use billing_kit::Fault;
use billing_proto::ingest::v1::{ListUsageReportsRequest, ListUsageReportsResponse};
use billing_proto::org::v1::GetOrganizationRequest;
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::usage_report::UsageReport, upstream::internal_fault};

/// A page of reports, the latest first.
#[derive(Debug, Clone)]
pub(crate) struct UsageReportPage {
    /// The reports.
    pub reports: Vec<UsageReport>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// Lists an organization's reports.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND when there is none; a page token that is none.
    pub(crate) async fn list_usage_reports(
        &self,
        admin: &Admin,
        id: Uuid,
        page_size: i32,
        page_token: String,
    ) -> Result<UsageReportPage, Fault> {
        // ingest-svc knows reports; whether there is such an organization is org-svc's to say.
        let organization = admin.request(GetOrganizationRequest {
            organization_id: id.to_string(),
        });
        let reports = admin.request(ListUsageReportsRequest {
            organization_id: id.to_string(),
            page_size,
            page_token,
        });
        let mut organizations = self.upstream.organizations.clone();
        let mut ingest = self.upstream.reports.clone();
        let (exists, page) = tokio::join!(
            organizations.get_organization(organization),
            ingest.list_usage_reports(reports)
        );
        exists.map_err(internal_fault)?;
        let ListUsageReportsResponse {
            reports,
            next_page_token,
        } = page.map_err(internal_fault)?.into_inner();
        let reports = reports
            .into_iter()
            .map(translate::usage_report)
            .collect::<Result<_, _>>()?;
        Ok(UsageReportPage {
            reports,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
