//! Gets the keys that signed an organization's reports.

use billing_kit::Fault;
use billing_proto::common::v1::{
    ErrorReason, GetSigningKeysRequest, GetSigningKeysResponse, SigningKeys,
};

use super::{Admin, App};
use crate::upstream::internal_fault;

impl App {
    /// The keys of an organization; none where it never reported.
    ///
    /// # Errors
    /// ingest-svc could not be asked.
    pub(crate) async fn get_signing_keys(
        &self,
        admin: &Admin,
        request: GetSigningKeysRequest,
    ) -> Result<GetSigningKeysResponse, Fault> {
        let mut reporting = self.upstream.reporting.clone();
        let answer = reporting.get_signing_keys(admin.request(request)).await;
        match answer.map_err(internal_fault) {
            Ok(answer) => Ok(answer.into_inner()),
            Err(fault) if fault.reason == ErrorReason::OrganizationNotFound => {
                Ok(GetSigningKeysResponse {
                    signing_keys: Some(SigningKeys::default()),
                })
            }
            Err(fault) => Err(fault),
        }
    }
}
