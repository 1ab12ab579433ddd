//! `/organizations/{id}/subscription`: the form that changes a subscription's terms.

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
use serde_json::{Map, Value};

use super::{
    form,
    link::{deployment_types, plan_types},
    organization::can_change,
    page::{PageError, Refusal, page},
    ui::{Choice, Frame, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{
        link_terms::{ADMIN_EMAIL, DEPLOYMENT_TYPE, PLAN_TYPE},
        organization::is_running,
        subscription_change::SubscriptionUpdate,
        words,
    },
    rest::query::{Query, organization_id},
    web::Web,
};

#[derive(Template)]
#[template(path = "subscription.html")]
struct SubscriptionPage<'a> {
    ui: Frame<'a>,
    id: String,
    title: String,
    error: Option<Refusal>,
    form: Form,
    deployment_types: Vec<Choice>,
    plan_types: Vec<Choice>,
}

/// What was filled in, and what is wrong with it.
#[derive(Debug, Default)]
struct Form {
    admin_email: String,
    deployment_type: String,
    plan_type: String,
    violations: Vec<Violation>,
}

impl Form {
    /// The terms as they are now.
    fn of(organization: &Organization) -> Self {
        let word = |word: Option<&str>| word.unwrap_or_default().to_owned();
        Self {
            admin_email: organization.admin_email.clone(),
            deployment_type: word(words::deployment_type(organization.deployment_type())),
            plan_type: word(words::plan_type(organization.plan_type())),
            violations: Vec::new(),
        }
    }

    fn read(form: &Query) -> Self {
        let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
        Self {
            admin_email: text(ADMIN_EMAIL),
            deployment_type: text(DEPLOYMENT_TYPE),
            plan_type: text(PLAN_TYPE),
            violations: Vec::new(),
        }
    }

    /// The same update as a REST caller would send it. All three are sent: what is as it was changes
    /// nothing.
    fn update(&self) -> Result<SubscriptionUpdate, Vec<Violation>> {
        let text = |text: &str| Value::String(text.to_owned());
        SubscriptionUpdate::read(&Map::from_iter([
            (ADMIN_EMAIL.to_owned(), text(&self.admin_email)),
            (DEPLOYMENT_TYPE.to_owned(), text(&self.deployment_type)),
            (PLAN_TYPE.to_owned(), text(&self.plan_type)),
        ]))
    }

    fn is_wrong(&self, field: &str) -> bool {
        self.violations.iter().any(|v| v.field == field)
    }
}

/// The form, with the terms as they are.
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
    let form = Form::of(&organization);
    let shown = shown(&ui, &admin, &organization, form, None);
    Ok(page(StatusCode::OK, &shown))
}

/// Changes the terms, and goes back to the organization; or shows the form again, with what is wrong.
pub(super) async fn change(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let mut form = Form::read(&form::read(&web, &headers, body).await?);
    let changed = match form.update() {
        Ok(update) => web.app().update_subscription(&admin, id, &update).await,
        Err(violations) => Err(Fault::invalid(violations)),
    };
    let fault = match changed {
        Ok(change) => {
            let notice = match &change.operation {
                None => "unchanged",
                operation if is_running(operation.as_ref()) => "changing",
                Some(_) => "changed",
            };
            let to = format!("/organizations/{id}?notice={notice}");
            return Ok(Redirect::to(&to).into_response());
        }
        Err(fault) => fault,
    };
    fault.log();
    let organization = web.app().get_organization(&admin, id).await?;
    let (status, refusal) = Refusal::of(&ui, &fault);
    form.violations = fault.violations;
    let again = shown(&ui, &admin, &organization, form, Some(refusal));
    Ok(page(status, &again))
}

fn shown<'a>(
    ui: &'a Ui,
    admin: &'a Admin,
    organization: &Organization,
    form: Form,
    error: Option<Refusal>,
) -> SubscriptionPage<'a> {
    SubscriptionPage {
        ui: ui.frame(&admin.email, Section::Billed),
        id: organization.id.clone(),
        title: ui.about(ui.t.change_title, &organization.name),
        error,
        deployment_types: deployment_types(ui, &form.deployment_type),
        plan_types: plan_types(ui, &form.plan_type),
        form,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, organization},
        ui::tests::readers,
    };

    #[test]
    fn the_form_has_the_terms_as_they_are_and_each_problem_stands_at_its_field() {
        for ui in readers() {
            let mut form = Form::of(&organization(true));
            form.admin_email = ATTACK.to_owned();
            form.violations = form.update().unwrap_err();
            let named: Vec<_> = form.violations.iter().map(|v| v.field.as_str()).collect();
            assert_eq!(named, [ADMIN_EMAIL]);
            let html = SubscriptionPage {
                ui: ui.frame("a@b.de", Section::Billed),
                id: Uuid::from_u128(7).to_string(),
                title: ui.about(ui.t.change_title, ATTACK),
                error: Some(Refusal {
                    text: ui.t.form_again,
                    details: Some(ATTACK.to_owned()),
                }),
                deployment_types: deployment_types(&ui, &form.deployment_type),
                plan_types: plan_types(&ui, &form.plan_type),
                form,
            }
            .render()
            .unwrap();
            assert!(!html.contains("<img"), "{html}");
            for part in [
                "<option value=\"on-premise\" selected>",
                "<option value=\"self-hosted\" selected>",
                ui.t.email_wrong,
                ui.t.change_intro,
                "name=\"form_token\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            assert!(!html.contains(ui.t.choice_wrong));
        }
    }
}
