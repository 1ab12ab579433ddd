//! Tells how reconciliation stands.

use billing_kit::Fault;
use billing_proto::ingest::v1::GetReconciliationRequest;

use super::{Admin, App, list_organizations::is_away, translate};
use crate::{domain::reconciliation::Reconciliation, upstream::internal_fault};

impl App {
    /// How reconciliation stands.
    ///
    /// # Errors
    /// ingest-svc could not be asked.
    pub(crate) async fn get_reconciliation(&self, admin: &Admin) -> Result<Reconciliation, Fault> {
        let request = admin.request(GetReconciliationRequest {});
        let mut reconciliation = self.upstream.reconciliation.clone();
        let answer = reconciliation.get_reconciliation(request).await;
        Ok(translate::reconciliation(
            answer.map_err(internal_fault)?.into_inner(),
        ))
    }

    /// How reconciliation stands; `None` while ingest-svc is away, which is no reason to show an
    /// admin nothing at all.
    ///
    /// # Errors
    /// ingest-svc is there, and something is wrong.
    pub(crate) async fn find_reconciliation(
        &self,
        admin: &Admin,
    ) -> Result<Option<Reconciliation>, Fault> {
        match self.get_reconciliation(admin).await {
            Ok(reconciliation) => Ok(Some(reconciliation)),
            Err(fault) if is_away(&fault) => {
                fault.log();
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}
