//! `/api/admin/organizations/{id}/signing-keys`.

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use billing_kit::Fault;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{ApiError, json},
    openapi,
    query::organization_id,
};
use crate::{
    domain::{
        fields::{self, Fields},
        signing_key::{SigningKey, SigningKeys},
        time_text,
    },
    web::{Web, read_body},
};

const FINGERPRINT: &str = "fingerprint";

/// The keys that signed an organization's reports.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKeys)]
pub(super) struct KeysAnswer {
    /// At most five, the pinned one first, then those seen on most days. Who has the shared token can add
    /// one: compare the fingerprint with what the customer reads out.
    keys: Vec<KeyJson>,
    /// The fingerprint of a key that was confirmed before it signed a report.
    awaited_fingerprint: Option<String>,
    /// When a key was pinned.
    #[schema(format = DateTime)]
    pinned_at: Option<String>,
}

/// A key that signed reports.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey)]
struct KeyJson {
    /// Eight groups of four hexadecimal digits.
    fingerprint: String,
    #[schema(format = DateTime)]
    first_seen_at: String,
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// On how many UTC days it signed a report; of a pinned key until it was pinned.
    day_count: i32,
    /// Whether reports that it did not sign are held.
    pinned: bool,
}

impl From<SigningKeys> for KeysAnswer {
    fn from(keys: SigningKeys) -> Self {
        let SigningKeys {
            keys,
            awaited_fingerprint,
            pinned_at,
        } = keys;
        Self {
            keys: keys.into_iter().map(Into::into).collect(),
            awaited_fingerprint,
            pinned_at: pinned_at.map(time_text::short),
        }
    }
}

impl From<SigningKey> for KeyJson {
    fn from(key: SigningKey) -> Self {
        let SigningKey {
            fingerprint,
            first_seen_at,
            last_seen_at,
            day_count,
            is_pinned,
        } = key;
        Self {
            fingerprint,
            first_seen_at: time_text::short(first_seen_at),
            last_seen_at: time_text::short(last_seen_at),
            day_count,
            pinned: is_pinned,
        }
    }
}

/// Tells which keys signed an organization's reports, and which of them is pinned.
#[utoipa::path(
    get,
    path = "/api/admin/organizations/{id}/signing-keys",
    operation_id = "getSigningKeys",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    responses((status = 200, description = "The keys; none where it never reported.", body = KeysAnswer)),
)]
pub(super) async fn get(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let keys = web.app().get_signing_keys(&admin, id).await?;
    Ok(json(StatusCode::OK, &KeysAnswer::from(keys)))
}

/// Which key is confirmed.
#[derive(ToSchema)]
#[schema(as = SigningKeyPin)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct PinBody {
    /// As the customer read it out: spaces, dashes, colons and case do not matter.
    fingerprint: String,
}

/// Pins the key with a fingerprint: from then on reports that it did not sign are held.
///
/// A key that signed no report yet is awaited, and is pinned by the first report that it signs. Idempotent.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/signing-keys/pin",
    operation_id = "pinSigningKey",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    request_body(content = PinBody, example = json!({"fingerprint": "4bb0-6f8e-4e3a-7715-d201-d573-d0aa-4237"})),
    responses(
        (status = 200, description = "The keys as they are now.", body = KeysAnswer),
        (status = 404, description = "The organization never reported.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn pin(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let body = fields::object(&read_body(body).await?)?;
    let mut fields = Fields::of(&body);
    let fingerprint = fields.text(FINGERPRINT).unwrap_or_default().to_owned();
    let violations = fields.finish();
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let keys = web.app().pin_signing_key(&admin, id, fingerprint).await?;
    Ok(json(StatusCode::OK, &KeysAnswer::from(keys)))
}

/// Unpins the key of an organization: its reports count again, whoever signed them. Idempotent.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/signing-keys/reset",
    operation_id = "resetSigningKey",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    responses(
        (status = 200, description = "The keys as they are now.", body = KeysAnswer),
        (status = 404, description = "The organization never reported.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn reset(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let keys = web.app().reset_signing_key(&admin, id).await?;
    Ok(json(StatusCode::OK, &KeysAnswer::from(keys)))
}
