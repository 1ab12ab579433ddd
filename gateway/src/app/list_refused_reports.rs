//! Lists the reports that Stripe refused, with what their organizations are called.

use billing_kit::Fault;
use billing_proto::common::v1::{ListRefusedReportsRequest, ListRefusedReportsResponse};

use super::{Admin, App};
use crate::upstream::internal_fault;

impl App {
    /// Lists refused reports of all organizations.
    ///
    /// # Errors
    /// A page token that is none; ingest-svc or org-svc could not be asked.
    pub(crate) async fn list_refused_reports(
        &self,
        admin: &Admin,
        request: ListRefusedReportsRequest,
    ) -> Result<ListRefusedReportsResponse, Fault> {
        let mut reporting = self.upstream.reporting.clone();
        let listed = reporting.list_refused_reports(admin.request(request)).await;
        let mut listed = listed.map_err(internal_fault)?.into_inner();
        let ids = listed.reports.iter().map(|it| it.organization_id.clone());
        let names = self.organization_names(admin, ids).await?;
        for refused in &mut listed.reports {
            let name = names.get(&refused.organization_id);
            refused.organization_name = name.cloned().unwrap_or_default();
        }
        Ok(listed)
    }
}
