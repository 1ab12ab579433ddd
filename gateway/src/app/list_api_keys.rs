//! Lists API keys.

use billing_kit::Fault;
use billing_proto::org::v1::{self as org, ListApiKeysRequest};

use super::{Admin, App, create_api_key::from_message};
use crate::{domain::api_key::ApiKey, upstream::internal_fault};

/// A page of keys, the newest first.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeyPage {
    /// The keys.
    pub api_keys: Vec<ApiKey>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// Lists the keys of all admins.
    ///
    /// # Errors
    /// A page token that is none; org-svc away.
    pub(crate) async fn list_api_keys(
        &self,
        admin: &Admin,
        page_size: i32,
        page_token: String,
    ) -> Result<ApiKeyPage, Fault> {
        let request = admin.request(ListApiKeysRequest {
            page_size,
            page_token,
        });
        let mut api_keys = self.upstream.api_keys.clone();
        let listed = api_keys.list_api_keys(request).await;
        let org::ListApiKeysResponse {
            api_keys,
            next_page_token,
        } = listed.map_err(internal_fault)?.into_inner();
        let api_keys = api_keys.into_iter().map(from_message);
        Ok(ApiKeyPage {
            api_keys: api_keys.collect::<Result<_, _>>()?,
            next_page_token: (!next_page_token.is_empty()).then_some(next_page_token),
        })
    }
}
