//! `/api/admin/api-keys`.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi::{self, words},
    organizations::terms_fault,
    query::page_asked,
};
use crate::{
    app::{ApiKeyPage, CreatedApiKey},
    domain::{
        api_key::{ACCESSES, ApiKey, access_word, parse_access},
        fields::{self, Fields},
        time_text,
    },
    upstream::rename_field,
    web::{Web, read_body},
};

const NAME: &str = "name";
const ACCESS: &str = "access";
const LIFETIME_DAYS: &str = "lifetime_days";

/// An API key, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct ApiKeyJson {
    id: Uuid,
    name: String,
    /// The first characters of its secret, by which a person recognizes it.
    secret_prefix: String,
    #[schema(schema_with = words::api_key_accesses)]
    access: &'static str,
    admin_user_id: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// To ten minutes.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl From<ApiKey> for ApiKeyJson {
    fn from(key: ApiKey) -> Self {
        let ApiKey {
            id,
            name,
            secret_prefix,
            access,
            admin_user_id,
            created_at,
            expires_at,
            last_used_at,
            revoked_at,
        } = key;
        Self {
            id,
            name,
            secret_prefix,
            access: access_word(access).unwrap_or("unknown"),
            admin_user_id,
            created_at: time_text::short(created_at),
            expires_at: time_text::short(expires_at),
            last_used_at: last_used_at.map(time_text::short),
            revoked_at: revoked_at.map(time_text::short),
        }
    }
}

/// A page of keys, those that have ended too.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub(super) struct ListAnswer {
    api_keys: Vec<ApiKeyJson>,
    next_cursor: Option<String>,
}

/// Lists the API keys of all admins, the newest first.
#[utoipa::path(
    get,
    path = "/api/admin/api-keys",
    operation_id = "listApiKeys",
    tag = openapi::ADMINS,
    params(
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of keys.", body = ListAnswer)),
)]
pub(super) async fn list(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let (page_size, cursor) = page_asked(query.as_deref())?;
    let ApiKeyPage {
        api_keys,
        next_page_token,
    } = web
        .app()
        .list_api_keys(&admin, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    let answer = ListAnswer {
        api_keys: api_keys.into_iter().map(Into::into).collect(),
        next_cursor: next_page_token,
    };
    Ok(json(StatusCode::OK, &answer))
}

/// What an API key is to be.
#[derive(ToSchema)]
#[schema(as = NewApiKey)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct CreateBody {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    #[schema(schema_with = words::api_key_accesses)]
    access: String,
    /// 90 where it is not given.
    #[schema(minimum = 1, maximum = 365)]
    lifetime_days: Option<i32>,
}

/// A key, and its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(super) struct CreateAnswer<'a> {
    success: bool,
    api_key: ApiKeyJson,
    /// To be sent as `Authorization: Bearer …`. It is told here and never again.
    secret: &'a str,
}

/// Makes an API key for scripts. Its secret is told once.
#[utoipa::path(
    post,
    path = "/api/admin/api-keys",
    operation_id = "createApiKey",
    tag = openapi::ADMINS,
    request_body(content = CreateBody, example = json!({"name": "nightly export", "access": "read_only", "lifetime_days": 90})),
    responses(
        (status = 200, description = "It is made.", body = CreateAnswer<'static>),
        (status = 403, description = "The caller is no admin, a change came from another origin, or an API key asked.", body = openapi::ErrorAnswer),
        (status = 422, description = "What is wrong, each named.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn create(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let body = fields::object(&read_body(body).await?)?;
    let mut fields = Fields::of(&body);
    let name = fields.text(NAME).unwrap_or_default().to_owned();
    let access = fields.word(ACCESS, parse_access, ACCESSES);
    let days = fields.if_present(LIFETIME_DAYS, |fields| fields.integer(LIFETIME_DAYS));
    // Out of range in either, where it does not fit.
    let days = days.map(|days| i32::try_from(days).unwrap_or(-1));
    if days == Some(0) {
        fields.violation(LIFETIME_DAYS, "It must be 1 to 365 days.");
    }
    let violations = fields.finish();
    let (Some(access), true) = (access, violations.is_empty()) else {
        return Err(terms_fault(Fault::invalid(violations)));
    };
    let CreatedApiKey { api_key, secret } = web
        .app()
        .create_api_key(&admin, name, access, days.unwrap_or_default())
        .await
        .map_err(terms_fault)?;
    let answer = CreateAnswer {
        success: true,
        api_key: api_key.into(),
        secret: secret.expose_secret(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// A key that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedApiKey)]
pub(super) struct RevokeAnswer {
    success: bool,
    api_key: ApiKeyJson,
}

/// Ends an API key; one that has ended stays as it is.
#[utoipa::path(
    post,
    path = "/api/admin/api-keys/{id}/revoke",
    operation_id = "revokeApiKey",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The key.")),
    responses(
        (status = 200, description = "It has ended.", body = RevokeAnswer),
        (status = 404, description = "There is no such key.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn revoke(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let api_key = web.app().revoke_api_key(&admin, id).await?;
    let answer = RevokeAnswer {
        success: true,
        api_key: api_key.into(),
    };
    Ok(json(StatusCode::OK, &answer))
}
