//! Says which key an organization's reports must be signed with.

use billing_kit::Fault;
use billing_proto::ingest::v1::{PinSigningKeyRequest, PinSigningKeyResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::signing_key::SigningKeys, upstream::internal_fault};

impl App {
    /// Pins the key with this fingerprint, or awaits it where it signed nothing yet.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND where it never reported; INVALID_ARGUMENT for what is not a fingerprint;
    /// ingest-svc could not be asked.
    pub(crate) async fn pin_signing_key(
        &self,
        admin: &Admin,
        id: Uuid,
        fingerprint: String,
    ) -> Result<SigningKeys, Fault> {
        let request = admin.request(PinSigningKeyRequest {
            organization_id: id.to_string(),
            fingerprint,
        });
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.pin_signing_key(request).await;
        let PinSigningKeyResponse { signing_keys } = answer.map_err(internal_fault)?.into_inner();
        translate::signing_keys(signing_keys.unwrap_or_default())
    }
}
