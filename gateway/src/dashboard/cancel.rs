//! `/organizations/{id}/cancel`: says what a cancellation does, and asks once more.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation};
use billing_proto::admin::v1::Organization;
use http::{HeaderMap, StatusCode};

use super::{
    form,
    organization::can_change,
    page::{PageError, Refusal, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{organization::is_running, subscription_change::MODE, words},
    rest::query::organization_id,
    web::Web,
};

#[derive(Template)]
#[template(path = "cancel.html")]
struct CancelPage<'a> {
    ui: Frame<'a>,
    id: String,
    title: String,
    /// When the period ends, where that is known.
    period_end: Option<Moment>,
    /// How many reports are held: they keep a cancellation at once from ending.
    held: i64,
    error: Option<Refusal>,
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
    if !can_change(&organization) {
        return Ok(Redirect::to(&format!("/organizations/{id}")).into_response());
    }
    let asked = shown(&ui, &admin, &organization, None, false);
    Ok(page(StatusCode::OK, &asked))
}

/// Cancels, and goes back to the organization; or asks again, with what is wrong.
pub(super) async fn cancel(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let form = form::read(&web, &headers, body).await?;
    let canceled = match form.get(MODE).and_then(words::parse_cancel_mode) {
        Some(mode) => web.app().cancel_subscription(&admin, id, mode).await,
        None => Err(Fault::invalid(vec![Violation::new(MODE, "Choose one.")])),
    };
    let fault = match canceled {
        Ok(change) => {
            let notice = if is_running(change.operation.as_ref()) {
                "canceling"
            } else {
                "canceled"
            };
            let to = format!("/organizations/{id}?notice={notice}");
            return Ok(Redirect::to(&to).into_response());
        }
        Err(fault) => fault,
    };
    fault.log();
    let organization = web.app().get_organization(&admin, id).await?;
    let (status, refusal) = Refusal::of(&ui, &fault);
    let is_wrong = !fault.violations.is_empty();
    let again = shown(&ui, &admin, &organization, Some(refusal), is_wrong);
    Ok(page(status, &again))
}

fn shown<'a>(
    ui: &'a Ui,
    admin: &'a Admin,
    organization: &Organization,
    error: Option<Refusal>,
    is_wrong: bool,
) -> CancelPage<'a> {
    CancelPage {
        ui: ui.frame(&admin.email, Section::Billed),
        id: organization.id.clone(),
        title: ui.about(ui.t.end_title, &organization.name),
        period_end: ui.minute_of(organization.current_period_end_time),
        held: organization.held_report_count,
        error,
        is_wrong,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::dashboard::{row::tests::ATTACK, ui::tests::readers};

    #[test]
    fn the_question_says_what_each_choice_does_in_both_languages() {
        for ui in readers() {
            let end = ui.minute(DateTime::from_timestamp(1_730_419_200, 0).unwrap());
            let html = CancelPage {
                ui: ui.frame("a@b.de", Section::Billed),
                id: Uuid::from_u128(7).to_string(),
                title: ui.about(ui.t.end_title, ATTACK),
                period_end: Some(end.clone()),
                held: 2,
                error: Some(Refusal {
                    text: ui.t.form_again,
                    details: None,
                }),
                is_wrong: true,
            }
            .render()
            .unwrap();
            assert!(!html.contains("<img"), "{html}");
            for part in [
                ui.t.end_period_hint,
                ui.t.end_now_hint,
                ui.t.cannot_undo,
                ui.t.choice_wrong,
                &end.text,
                "value=\"at_period_end\"",
                "value=\"now\"",
                "/held?organization=",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            assert!(!html.contains(" checked"), "nothing is chosen beforehand");
        }
    }
}
