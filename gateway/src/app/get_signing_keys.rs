//! Gets the keys that signed an organization's reports.

use billing_kit::Fault;
use billing_proto::{
    common::v1::ErrorReason,
    ingest::v1::{GetSigningKeysRequest, GetSigningKeysResponse},
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::signing_key::SigningKeys, upstream::internal_fault};

impl App {
    /// The keys of an organization; none where it never reported.
    ///
    /// # Errors
    /// ingest-svc could not be asked.
    pub(crate) async fn get_signing_keys(
        &self,
        admin: &Admin,
        id: Uuid,
    ) -> Result<SigningKeys, Fault> {
        let request = admin.request(GetSigningKeysRequest {
            organization_id: id.to_string(),
        });
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.get_signing_keys(request).await;
        let GetSigningKeysResponse { signing_keys } = match answer.map_err(internal_fault) {
            Ok(answer) => answer.into_inner(),
            Err(fault) if fault.reason == ErrorReason::OrganizationNotFound => {
                return Ok(SigningKeys::default());
            }
            Err(fault) => return Err(fault),
        };
        translate::signing_keys(signing_keys.unwrap_or_default())
    }
}
