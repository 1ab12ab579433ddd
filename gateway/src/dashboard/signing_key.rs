//! `/organizations/{id}/signing-key`: the keys that signed an organization's reports; an admin types the
//! fingerprint of the one that counts.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::Fault;
use billing_proto::common::v1::{
    GetSigningKeysRequest, PinSigningKeyRequest, ResetSigningKeyRequest, SigningKey, SigningKeys,
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    form,
    page::{PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::Admin, domain::words::filled, grpc::answered, rest::query::organization_id, web::Web,
};

/// The form's field, as ingest-svc names it too.
const FINGERPRINT: &str = "fingerprint";

#[derive(Template)]
#[template(path = "signing_key.html")]
struct SigningKeyPage<'a> {
    ui: Frame<'a>,
    id: Uuid,
    title: String,
    rows: Vec<Row>,
    awaited: Option<String>,
    pinned_at: Option<Moment>,
    typed: &'a str,
    is_wrong: bool,
}

struct Row {
    fingerprint: String,
    first_seen: Moment,
    last_seen: Moment,
    days: String,
    is_pinned: bool,
}

fn row(ui: &Ui, key: SigningKey) -> Row {
    let SigningKey {
        fingerprint,
        first_see_time,
        last_see_time,
        day_count,
        pinned,
    } = key;
    Row {
        fingerprint,
        first_seen: ui.promised_minute(first_see_time),
        last_seen: ui.promised_minute(last_see_time),
        days: ui.number(&i64::from(day_count)),
        is_pinned: pinned,
    }
}

/// The keys, and the form.
pub(super) async fn keys(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let name = web.app().get_organization(&admin, id).await?.name;
    let keys = signing_keys(&web, &admin, id).await?;
    let shown = shown(&ui, &admin, (id, &name), keys, "", false);
    Ok(page(StatusCode::OK, &shown))
}

/// Pins the key whose fingerprint was typed, or asks for it again.
pub(super) async fn pin(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let form = form::read(&web, &headers, body).await?;
    let typed = form.get(FINGERPRINT).unwrap_or_default().trim();
    let request = PinSigningKeyRequest {
        organization_id: id.to_string(),
        fingerprint: typed.to_owned(),
    };
    let pinned = web
        .admin_client()
        .pin_signing_key(admin.asks(request))
        .await;
    let fault = match answered(pinned) {
        Ok(_) => return Ok(Redirect::to(&path(id)).into_response()),
        Err(fault) => fault,
    };
    if !fault.violations.iter().any(|v| v.field == FINGERPRINT) {
        return Err(fault.into());
    }
    fault.log();
    let name = web.app().get_organization(&admin, id).await?.name;
    let keys = signing_keys(&web, &admin, id).await?;
    let again = shown(&ui, &admin, (id, &name), keys, typed, true);
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &again))
}

/// Unpins the key.
pub(super) async fn reset(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    form::read(&web, &headers, body).await?;
    let request = ResetSigningKeyRequest {
        organization_id: id.to_string(),
    };
    answered(
        web.admin_client()
            .reset_signing_key(admin.asks(request))
            .await,
    )?;
    Ok(Redirect::to(&path(id)).into_response())
}

async fn signing_keys(web: &Web, admin: &Admin, id: Uuid) -> Result<SigningKeys, Fault> {
    let request = GetSigningKeysRequest {
        organization_id: id.to_string(),
    };
    let got = answered(
        web.admin_client()
            .get_signing_keys(admin.asks(request))
            .await,
    )?;
    Ok(got.signing_keys.unwrap_or_default())
}

fn path(id: Uuid) -> String {
    format!("/organizations/{id}/signing-key")
}

fn shown<'a>(
    ui: &'a Ui,
    admin: &'a Admin,
    (id, name): (Uuid, &str),
    keys: SigningKeys,
    typed: &'a str,
    is_wrong: bool,
) -> SigningKeyPage<'a> {
    let SigningKeys {
        keys,
        awaited_fingerprint,
        pin_time,
    } = keys;
    SigningKeyPage {
        ui: ui.frame(&admin.email, Section::Billed),
        id,
        title: ui.about(ui.t.signing_key_title, name),
        rows: keys.into_iter().map(|key| row(ui, key)).collect(),
        awaited: filled(awaited_fingerprint),
        pinned_at: ui.minute_of(pin_time),
        typed,
        is_wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    #[test]
    fn the_keys_render_in_both_languages_and_what_was_typed_is_escaped() {
        for ui in readers() {
            let at = at(1_730_419_200);
            let key = |pinned| SigningKey {
                fingerprint: "21fe-31df".to_owned(),
                first_see_time: at,
                last_see_time: at,
                day_count: 3,
                pinned,
            };
            let html = SigningKeyPage {
                ui: ui.frame("a@b.de", Section::Billed),
                id: Uuid::from_u128(7),
                title: ui.about(ui.t.signing_key_title, ATTACK),
                rows: vec![row(&ui, key(true)), row(&ui, key(false))],
                awaited: Some("4bb0-6f8e".to_owned()),
                pinned_at: ui.minute_of(at),
                typed: ATTACK,
                is_wrong: true,
            }
            .render()
            .unwrap();
            assert!(!html.contains("<img"), "{html}");
            for shown in [
                "21fe-31df",
                "4bb0-6f8e",
                ui.t.signing_key_pinned,
                ui.t.signing_key_awaited,
                ui.t.fingerprint_wrong,
                ui.t.signing_key_reset,
                "/signing-key/reset\"",
                "name=\"form_token\"",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
        }
    }
}
