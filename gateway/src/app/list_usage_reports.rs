//! Lists the usage reports of an organization.

use billing_kit::Fault;
use billing_proto::{
    common::v1::{ListUsageReportsRequest, ListUsageReportsResponse},
    org::v1::GetOrganizationRequest,
};

use super::{Admin, App};
use crate::upstream::internal_fault;

impl App {
    /// Lists an organization's reports.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND when there is none; a page token that is none.
    pub(crate) async fn list_usage_reports(
        &self,
        admin: &Admin,
        request: ListUsageReportsRequest,
    ) -> Result<ListUsageReportsResponse, Fault> {
        let organization_id = request.organization_id.clone();
        // ingest-svc knows reports; whether there is such an organization is org-svc's to say.
        let organization = admin.request(GetOrganizationRequest {
            organization_id: organization_id.clone(),
        });
        let mut organizations = self.upstream.organizations.clone();
        let mut ingest = self.upstream.reports.clone();
        let (exists, page) = tokio::join!(
            organizations.get_organization(organization),
            ingest.list_usage_reports(admin.request(request))
        );
        exists.map_err(internal_fault)?;
        Ok(ListUsageReportsResponse {
            organization_id,
            ..page.map_err(internal_fault)?.into_inner()
        })
    }
}
