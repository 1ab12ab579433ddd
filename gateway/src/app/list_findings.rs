//! Lists where Stripe's books differ from ours.

use billing_kit::Fault;
use billing_proto::ingest::v1::{ListFindingsRequest, ListFindingsResponse};

use super::{Admin, App, translate};
use crate::{domain::reconciliation::Finding, upstream::internal_fault};

/// A page of findings, the latest day first.
#[derive(Debug, Clone)]
pub(crate) struct FindingsPage {
    /// The findings.
    pub findings: Vec<Finding>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// Lists findings: the open ones, or all.
    ///
    /// # Errors
    /// A page token that is none; ingest-svc could not be asked.
    pub(crate) async fn list_findings(
        &self,
        admin: &Admin,
        include_resolved: bool,
        page_size: i32,
        page_token: String,
    ) -> Result<FindingsPage, Fault> {
        let request = admin.request(ListFindingsRequest {
            page_size,
            page_token,
            include_resolved,
        });
        let mut reconciliation = self.upstream.reconciliation.clone();
        let answer = reconciliation.list_findings(request).await;
        let ListFindingsResponse {
            findings,
            next_page_token,
        } = answer.map_err(internal_fault)?.into_inner();
        let findings = findings
            .into_iter()
            .map(translate::finding)
            .collect::<Result<_, _>>()?;
        Ok(FindingsPage {
            findings,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
