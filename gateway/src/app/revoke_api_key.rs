//! Ends an API key.

use billing_kit::Fault;
use billing_proto::org::v1::{self as org, RevokeApiKeyRequest};

use super::{Admin, App, create_api_key::from_message};
use crate::{domain::api_key::ApiKey, upstream::internal_fault};

impl App {
    /// Ends a key, whosever it is; one that has ended stays as it is.
    ///
    /// # Errors
    /// API_KEY_NOT_FOUND when there is none; an id that is none.
    pub(crate) async fn revoke_api_key(
        &self,
        admin: &Admin,
        api_key_id: String,
    ) -> Result<ApiKey, Fault> {
        let request = admin.request(RevokeApiKeyRequest { api_key_id });
        let mut api_keys = self.upstream.api_keys.clone();
        let revoked = api_keys.revoke_api_key(request).await;
        let org::RevokeApiKeyResponse { api_key } = revoked.map_err(internal_fault)?.into_inner();
        from_message(api_key.unwrap_or_default())
    }
}
