//! Makes an API key.

use billing_kit::Fault;
use billing_proto::org::v1::{self as org, ApiKeyAccess, CreateApiKeyRequest};
use secrecy::SecretString;

use super::{Admin, App, translate};
use crate::{domain::api_key::ApiKey, upstream::internal_fault};

/// A key that was made, and its secret, which is told once.
#[derive(Debug)]
pub(crate) struct CreatedApiKey {
    /// The key.
    pub api_key: ApiKey,
    /// The secret that stands for it.
    pub secret: SecretString,
}

impl App {
    /// Makes an API key of this admin's. 0 days are the default.
    ///
    /// # Errors
    /// SESSION_REQUIRED for an API key; what is wrong with the name, the access or the days.
    pub(crate) async fn create_api_key(
        &self,
        admin: &Admin,
        name: String,
        access: ApiKeyAccess,
        lifetime_days: i32,
    ) -> Result<CreatedApiKey, Fault> {
        let request = admin.request(CreateApiKeyRequest {
            name,
            access: access.into(),
            lifetime_days,
        });
        let mut api_keys = self.upstream.api_keys.clone();
        let created = api_keys.create_api_key(request).await;
        let org::CreateApiKeyResponse { api_key, secret } =
            created.map_err(internal_fault)?.into_inner();
        Ok(CreatedApiKey {
            api_key: from_message(api_key.unwrap_or_default())?,
            secret: secret.into(),
        })
    }
}

pub(super) fn from_message(message: org::ApiKey) -> Result<ApiKey, Fault> {
    let access = message.access();
    let org::ApiKey {
        id,
        name,
        secret_prefix,
        access: _,
        admin_user_id,
        create_time,
        expire_time,
        last_use_time,
        revoke_time,
    } = message;
    Ok(ApiKey {
        id: translate::id(&id)?,
        name,
        secret_prefix,
        access,
        admin_user_id,
        created_at: translate::time(create_time, "create_time")?,
        expires_at: translate::time(expire_time, "expire_time")?,
        last_used_at: translate::optional_time(last_use_time),
        revoked_at: translate::optional_time(revoke_time),
    })
}
