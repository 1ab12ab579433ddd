//! Lists the reports that are held, with what org-svc knows of their organizations.

use std::collections::BTreeSet;

use billing_kit::{Fault, proto_time};
use billing_proto::{
    admin::v1::Organization,
    common::v1::{HeldReport, ListHeldReportsRequest, ListHeldReportsResponse},
};

use super::{Admin, App};
use crate::{
    domain::{reporting::hold_deadline, time_text},
    upstream::internal_fault,
};

impl App {
    /// Lists held reports.
    ///
    /// # Errors
    /// A page token that is none; ingest-svc or org-svc could not be asked.
    pub(crate) async fn list_held_reports(
        &self,
        admin: &Admin,
        request: ListHeldReportsRequest,
    ) -> Result<ListHeldReportsResponse, Fault> {
        let mut held = self.upstream.held_reports.clone();
        let listed = held.list_held_reports(admin.request(request)).await;
        let mut listed = listed.map_err(internal_fault)?.into_inner();
        let ids = listed.reports.iter().map(|it| it.organization_id.clone());
        let ids: BTreeSet<_> = ids.collect();
        let organizations = self
            .batch_get_organizations(admin, ids.into_iter().collect())
            .await?;
        for report in &mut listed.reports {
            if let Some(organization) = organizations.get(&report.organization_id) {
                add_organization(report, organization);
            }
        }
        Ok(listed)
    }
}

/// What ingest-svc does not know.
fn add_organization(report: &mut HeldReport, organization: &Organization) {
    report.organization_name.clone_from(&organization.name);
    let deadline = time_text::known(report.report_time)
        .and_then(|reported_at| hold_deadline(reported_at, organization));
    report.hold_deadline_time = deadline.map(proto_time::to_proto);
}
