//! Lists the reports that Stripe refused, with what org-svc calls their organizations.

use std::collections::BTreeSet;

use billing_kit::Fault;
use billing_proto::ingest::v1::{ListRefusedReportsRequest, ListRefusedReportsResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::usage_report::RefusedReport, upstream::internal_fault};

/// A page of refused reports, by organization, the earliest of each first.
#[derive(Debug, Clone)]
pub(crate) struct RefusedReportPage {
    /// The reports.
    pub reports: Vec<RefusedReport>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// Lists refused reports of all organizations.
    ///
    /// # Errors
    /// A page token that is none; ingest-svc or org-svc could not be asked.
    pub(crate) async fn list_refused_reports(
        &self,
        admin: &Admin,
        page_size: i32,
        page_token: String,
    ) -> Result<RefusedReportPage, Fault> {
        let request = admin.request(ListRefusedReportsRequest {
            page_size,
            page_token,
        });
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.list_refused_reports(request).await;
        let ListRefusedReportsResponse {
            reports,
            next_page_token,
        } = answer.map_err(internal_fault)?.into_inner();
        let ids: BTreeSet<_> = reports
            .iter()
            .map(|it| it.organization_id.clone())
            .collect();
        let organizations = self
            .batch_get_organizations(admin, ids.into_iter().collect())
            .await?;
        let reports = reports.into_iter().map(|message| {
            let organization_id: Uuid = translate::id(&message.organization_id)?;
            let organization = organizations.get(&organization_id);
            Ok(RefusedReport {
                organization_id,
                organization_name: organization.map(|it| it.name.clone()),
                report: translate::usage_report(message)?,
            })
        });
        Ok(RefusedReportPage {
            reports: reports.collect::<Result<_, Fault>>()?,
            next_page_token: translate::filled(next_page_token),
        })
    }
}
