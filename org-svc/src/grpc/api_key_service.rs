//! `billing.org.v1.ApiKeyService`.

use std::sync::Arc;

use billing_kit::assertion::Verifier;
use billing_proto::common::v1 as common;
use billing_proto::org::v1::api_key_service_server::ApiKeyService;
use tonic::{Request, Response, Status};

use super::{door::Door, messages};
use crate::{
    app::{
        Admins, create_api_key::create_api_key, list_api_keys::list_api_keys,
        revoke_api_key::revoke_api_key,
    },
    domain::{
        api_key::{Access, ApiKeyId, ApiKeyName, Lifetime},
        keyset::Keyset,
        page::PageSize,
    },
};

/// What tells this list's page tokens from others.
const LIST: &str = "api_keys";

/// The service.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    pub(crate) app: Arc<Admins>,
    pub(crate) verifier: Verifier,
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn create_api_key(
        &self,
        request: Request<common::CreateApiKeyRequest>,
    ) -> Result<Response<common::CreateApiKeyResponse>, Status> {
        let admin = self.verifier.person(request.metadata())?;
        let common::CreateApiKeyRequest {
            name,
            access,
            lifetime_days,
        } = request.into_inner();
        let mut door = Door::new();
        let name = door.check("name", ApiKeyName::parse(&name));
        let access = door.check(
            "access",
            access_from(access).ok_or("It is missing or unknown. Use read_only or full."),
        );
        let lifetime = door.check("lifetime_days", Lifetime::parse(lifetime_days));
        let ((name, access), lifetime) = door.pass(name.zip(access).zip(lifetime))?;
        let (key, secret) = create_api_key(&self.app, &admin, name, access, lifetime).await?;
        Ok(Response::new(common::CreateApiKeyResponse {
            api_key: Some(messages::api_key(key)),
            secret: secret.expose().to_owned(),
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<common::ListApiKeysRequest>,
    ) -> Result<Response<common::ListApiKeysResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let common::ListApiKeysRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let mut door = Door::new();
        let size = door.check("page_size", PageSize::parse(page_size));
        let after = if page_token.is_empty() {
            Some(None)
        } else {
            let after = Keyset::from_token(&page_token, LIST);
            door.check("page_token", after.map(Some))
        };
        let (size, after) = door.pass(size.zip(after))?;
        let (keys, next) = list_api_keys(&self.app, after, size).await?;
        Ok(Response::new(common::ListApiKeysResponse {
            api_keys: keys.into_iter().map(messages::api_key).collect(),
            next_page_token: next.map_or_else(String::new, |next| next.to_token(LIST)),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<common::RevokeApiKeyRequest>,
    ) -> Result<Response<common::RevokeApiKeyResponse>, Status> {
        let admin = self.verifier.admin(request.metadata())?;
        let common::RevokeApiKeyRequest { api_key_id } = request.into_inner();
        let mut door = Door::new();
        let id = door.check("api_key_id", ApiKeyId::parse(&api_key_id));
        let key = revoke_api_key(&self.app, &admin, door.pass(id)?).await?;
        Ok(Response::new(common::RevokeApiKeyResponse {
            api_key: Some(messages::api_key(key)),
        }))
    }
}

fn access_from(value: i32) -> Option<Access> {
    match common::ApiKeyAccess::try_from(value).ok()? {
        common::ApiKeyAccess::Unspecified => None,
        common::ApiKeyAccess::ReadOnly => Some(Access::ReadOnly),
        common::ApiKeyAccess::Full => Some(Access::Full),
    }
}
