//! Tells how reconciliation stands, with a page of its findings.

use billing_kit::Fault;
use billing_proto::{
    admin::v1::{GetReconciliationRequest, GetReconciliationResponse},
    common::v1::{ListFindingsRequest, ListFindingsResponse},
    ingest::v1 as ingest,
};

use super::{Admin, App};
use crate::upstream::internal_fault;

impl App {
    /// How reconciliation stands.
    ///
    /// # Errors
    /// A page token that is none; ingest-svc could not be asked.
    pub(crate) async fn get_reconciliation(
        &self,
        admin: &Admin,
        request: GetReconciliationRequest,
    ) -> Result<GetReconciliationResponse, Fault> {
        let GetReconciliationRequest {
            include_closed,
            page_size,
            page_token,
        } = request;
        let findings = admin.request(ListFindingsRequest {
            page_size,
            page_token,
            include_closed,
        });
        let stands = admin.request(ingest::GetReconciliationRequest {});
        let mut reconciliation = self.upstream.reconciliation.clone();
        let mut listing = reconciliation.clone();
        let (stands, listed) = tokio::try_join!(
            reconciliation.get_reconciliation(stands),
            listing.list_findings(findings)
        )
        .map_err(internal_fault)?;
        let ingest::GetReconciliationResponse {
            last_full_pass_time,
            skipped_count,
            pass_start_time,
            open_finding_count,
        } = stands.into_inner();
        let ListFindingsResponse {
            findings,
            next_page_token,
        } = listed.into_inner();
        Ok(GetReconciliationResponse {
            last_full_pass_time,
            skipped_count,
            pass_start_time,
            open_finding_count,
            findings,
            next_page_token,
        })
    }
}
