//! Lets an organization's reports count again, whoever signed them.

use billing_kit::Fault;
use billing_proto::ingest::v1::{ResetSigningKeyRequest, ResetSigningKeyResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::signing_key::SigningKeys, upstream::internal_fault};

impl App {
    /// Unpins the key of an organization, and awaits none.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND where it never reported; ingest-svc could not be asked.
    pub(crate) async fn reset_signing_key(
        &self,
        admin: &Admin,
        id: Uuid,
    ) -> Result<SigningKeys, Fault> {
        let request = admin.request(ResetSigningKeyRequest {
            organization_id: id.to_string(),
        });
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.reset_signing_key(request).await;
        let ResetSigningKeyResponse { signing_keys } = answer.map_err(internal_fault)?.into_inner();
        translate::signing_keys(signing_keys.unwrap_or_default())
    }
}
