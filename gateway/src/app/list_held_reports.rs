//! Lists the reports that are held, with what org-svc knows of their organizations.

use std::collections::BTreeSet;

use billing_kit::Fault;
use billing_proto::ingest::v1::{ListHeldReportsRequest, ListHeldReportsResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::reporting::HeldReport, upstream::internal_fault};

/// A page of held reports, by organization, the earliest of each first.
#[derive(Debug, Clone)]
pub(crate) struct HeldReportPage {
    /// The reports.
    pub reports: Vec<HeldReport>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

/// Which held reports are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeldFilter {
    /// Of this organization; `None` of all.
    pub organization: Option<Uuid>,
    /// Only those whose invoice is final within a day, or was.
    pub is_urgent: bool,
}

impl App {
    /// Lists held reports.
    ///
    /// # Errors
    /// A page token that is none; ingest-svc or org-svc could not be asked.
    pub(crate) async fn list_held_reports(
        &self,
        admin: &Admin,
        filter: HeldFilter,
        page_size: i32,
        page_token: String,
    ) -> Result<HeldReportPage, Fault> {
        let HeldFilter {
            organization,
            is_urgent,
        } = filter;
        let request = admin.request(ListHeldReportsRequest {
            organization_id: organization.map_or_else(String::new, |id| id.to_string()),
            page_size,
            page_token,
            urgent: is_urgent,
        });
        let mut held = self.upstream.held_reports.clone();
        let answer = held.list_held_reports(request).await;
        let ListHeldReportsResponse {
            reports,
            next_page_token,
        } = answer.map_err(internal_fault)?.into_inner();
        let mut reports = reports
            .into_iter()
            .map(translate::held_report)
            .collect::<Result<Vec<_>, _>>()?;
        let ids: BTreeSet<_> = reports.iter().map(|it| it.organization_id).collect();
        let ids = ids.iter().map(Uuid::to_string).collect();
        let organizations = self.batch_get_organizations(admin, ids).await?;
        for report in &mut reports {
            if let Some(organization) = organizations.get(&report.organization_id) {
                report.belong_to(organization);
            }
        }
        Ok(HeldReportPage {
            reports,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
