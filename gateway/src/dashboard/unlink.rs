//! `/organizations/{id}/unlink`: asks once more before an organization is unlinked for good.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_proto::admin::v1::Organization;
use http::{HeaderMap, StatusCode};

use super::{
    form,
    page::{PageError, page},
    ui::{Frame, Section, Ui},
};
use crate::{
    app::Admin, domain::organization::can_be_unlinked, rest::query::organization_id, web::Web,
};

/// The form's field, as org-svc names it too.
const REASON: &str = "reason";

#[derive(Template)]
#[template(path = "unlink.html")]
struct UnlinkPage<'a> {
    ui: Frame<'a>,
    id: String,
    title: String,
    reason: &'a str,
    is_wrong: bool,
}

/// The question.
pub(super) async fn form(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let organization = web.app().get_organization(&admin, id).await?;
    if !can_be_unlinked(&organization) {
        return Ok(Redirect::to(&format!("/organizations/{id}")).into_response());
    }
    let asked = shown(&ui, &admin, &organization, "", false);
    Ok(page(StatusCode::OK, &asked))
}

/// Unlinks, and goes back to the overview; or asks for a better reason.
pub(super) async fn unlink(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let form = form::read(&web, &headers, body).await?;
    let reason = form.get(REASON).unwrap_or_default().trim();
    let unlinked = web
        .app()
        .unlink_organization(&admin, id, reason.to_owned())
        .await;
    let fault = match unlinked {
        Ok(_) => {
            let to = format!("/?notice=unlinked&organization={id}");
            return Ok(Redirect::to(&to).into_response());
        }
        Err(fault) => fault,
    };
    if !fault.violations.iter().any(|v| v.field == REASON) {
        return Err(fault.into());
    }
    fault.log();
    let organization = web.app().get_organization(&admin, id).await?;
    let again = shown(&ui, &admin, &organization, reason, true);
    Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &again))
}

fn shown<'a>(
    ui: &'a Ui,
    admin: &'a Admin,
    organization: &'a Organization,
    reason: &'a str,
    is_wrong: bool,
) -> UnlinkPage<'a> {
    UnlinkPage {
        ui: ui.frame(&admin.email, Section::Billed),
        id: organization.id.clone(),
        title: ui.about(ui.t.unlink_title, &organization.name),
        reason,
        is_wrong,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::dashboard::{row::tests::ATTACK, ui::tests::readers};

    #[test]
    fn the_question_renders_in_both_languages() {
        for ui in readers() {
            let html = UnlinkPage {
                ui: ui.frame("a@b.de", Section::Billed),
                id: Uuid::from_u128(7).to_string(),
                title: ui.about(ui.t.unlink_title, ATTACK),
                reason: ATTACK,
                is_wrong: true,
            }
            .render()
            .unwrap();
            assert!(!html.contains("<img"), "{html}");
            for shown in [
                ui.t.cannot_undo,
                ui.t.reason_wrong,
                ui.t.cancel,
                "&#60;img",
                "name=\"form_token\"",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
        }
    }
}
