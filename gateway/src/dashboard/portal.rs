//! `/organizations/{id}/portal`: makes a link to Stripe's customer portal, and shows it once.
//!
//! The link is a secret of the customer's: it is never in an address of ours, and no page shows it
//! again. A reload makes another link, which does no harm.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    form,
    page::{PageError, page},
    ui::{Frame, Section, Ui},
};
use crate::{rest::query::organization_id, web::Web};

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage<'a> {
    ui: Frame<'a>,
    id: Uuid,
    title: String,
    url: String,
}

/// Makes the link.
pub(super) async fn portal(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    form::read(&web, &headers, body).await?;
    let organization = web.app().get_organization(&admin, id).await?;
    let shown = PortalPage {
        ui: ui.frame(&admin.email, Section::Billed),
        id,
        title: ui.about(ui.t.portal_title, &organization.name),
        url: web.app().create_portal_session(&admin, id).await?,
    };
    Ok(page(StatusCode::OK, &shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{row::tests::ATTACK, ui::tests::readers};

    #[test]
    fn the_link_is_shown_to_be_copied() {
        for ui in readers() {
            let html = PortalPage {
                ui: ui.frame("a@b.de", Section::Billed),
                id: Uuid::from_u128(7),
                title: ui.about(ui.t.portal_title, ATTACK),
                url: "https://billing.stripe.com/p/session/\"x".to_owned(),
            }
            .render()
            .unwrap();
            assert!(
                !html.contains("<img") && html.contains(ui.t.portal_intro),
                "{html}"
            );
            assert!(html.contains("session/&#34;x"), "{html}");
        }
    }
}
