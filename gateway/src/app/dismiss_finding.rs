//! Marks a finding as seen by a person.

use billing_kit::Fault;
use billing_proto::ingest::v1::{DismissFindingRequest, DismissFindingResponse};

use super::{Admin, App, translate};
use crate::{domain::reconciliation::Finding, upstream::internal_fault};

impl App {
    /// Dismisses a finding, or finds it dismissed. Whether the reason will do is ingest-svc's to say.
    ///
    /// # Errors
    /// There is no such finding; a reason that will not do; ingest-svc could not be asked.
    pub(crate) async fn dismiss_finding(
        &self,
        admin: &Admin,
        finding_id: String,
        reason: String,
    ) -> Result<Finding, Fault> {
        let request = admin.request(DismissFindingRequest { finding_id, reason });
        let mut reconciliation = self.upstream.reconciliation.clone();
        let answer = reconciliation.dismiss_finding(request).await;
        let DismissFindingResponse { finding } = answer.map_err(internal_fault)?.into_inner();
        translate::finding(finding.unwrap_or_default())
    }
}
