//! `/organizations/{id}/link`: the form that links an organization.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    labels,
    organization::can_link,
    page::{PageError, page},
};
use crate::{
    app::Admin,
    domain::{
        link_terms::{ADMIN_EMAIL, DEPLOYMENT_TYPE, LinkTerms, PLAN_TYPE, TRIAL_DAYS},
        organization::{LinkState, Organization},
        words,
    },
    rest::{
        answer::status_of,
        query::{Query, organization_id},
    },
    web::{Web, read_body},
};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    admin_email: &'a str,
    id: Uuid,
    name: &'a str,
    instance_url: &'a str,
    error: Option<&'a str>,
    form: Form,
}

/// What was filled in, and what is wrong with it.
#[derive(Default)]
struct Form {
    admin_email: String,
    deployment_type: String,
    plan_type: String,
    trial_days: String,
    violations: Vec<Violation>,
}

struct Choice {
    value: &'static str,
    label: &'static str,
    selected: bool,
}

impl Form {
    fn read(body: &[u8]) -> Self {
        let form = Query::read_form(body);
        let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
        Self {
            admin_email: text(ADMIN_EMAIL),
            deployment_type: text(DEPLOYMENT_TYPE),
            plan_type: text(PLAN_TYPE),
            trial_days: text(TRIAL_DAYS),
            violations: Vec::new(),
        }
    }

    /// The same terms as a REST caller would send them.
    fn terms(&self) -> Result<LinkTerms, Vec<Violation>> {
        let text = |text: &str| Value::String(text.to_owned());
        // As the number that it is: of a fraction is said that it is one.
        let integer = self.trial_days.parse::<i64>().ok().map(Value::from);
        let fraction = || self.trial_days.parse::<f64>().ok().map(Value::from);
        let trial_days = integer.or_else(fraction);
        let object = Map::from_iter([
            (ADMIN_EMAIL.to_owned(), text(&self.admin_email)),
            (DEPLOYMENT_TYPE.to_owned(), text(&self.deployment_type)),
            (PLAN_TYPE.to_owned(), text(&self.plan_type)),
            (
                TRIAL_DAYS.to_owned(),
                trial_days.unwrap_or_else(|| text(&self.trial_days)),
            ),
        ]);
        LinkTerms::read(&object)
    }

    fn problem(&self, field: &str) -> Option<&str> {
        let violation = self.violations.iter().find(|v| v.field == field)?;
        Some(&violation.message)
    }

    fn deployment_types(&self) -> Vec<Choice> {
        choices(words::DEPLOYMENT_TYPES, &self.deployment_type, |word| {
            words::parse_deployment_type(word).map(labels::deployment)
        })
    }

    fn plan_types(&self) -> Vec<Choice> {
        choices(words::PLAN_TYPES, &self.plan_type, |word| {
            words::parse_plan_type(word).map(labels::plan)
        })
    }
}

fn choices(
    words: &'static str,
    chosen: &str,
    label: impl Fn(&str) -> Option<&'static str>,
) -> Vec<Choice> {
    let choice = |value| Choice {
        value,
        label: label(value).unwrap_or(value),
        selected: value == chosen,
    };
    words.split(", ").map(choice).collect()
}

/// The empty form.
pub(super) async fn form(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let organization = web.app().get_organization(&admin, id).await?;
    if !can_link(&organization) {
        return Ok(Redirect::to(&format!("/organizations/{id}")).into_response());
    }
    let form = Form::default();
    Ok(show(StatusCode::OK, &admin, &organization, form, None))
}

/// Links, and goes back to the organizations; or shows the form again, with what is wrong.
pub(super) async fn link(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let mut form = Form::read(&read_body(body).await?);
    let linked = match form.terms() {
        Ok(terms) => web.app().link_organization(&admin, id, &terms).await,
        Err(violations) => Err(Fault::invalid(violations)),
    };
    let fault = match linked {
        Ok(link) => {
            let notice = match link.operation.state {
                LinkState::Running => "linking",
                LinkState::Succeeded | LinkState::Refused => "linked",
            };
            let to = format!("/?notice={notice}&organization={id}");
            return Ok(Redirect::to(&to).into_response());
        }
        Err(fault) => fault,
    };
    fault.log();
    let organization = web.app().get_organization(&admin, id).await?;
    let (status, error) = if fault.violations.is_empty() {
        (status_of(fault.reason), fault.message.as_str())
    } else {
        // What is wrong stands at each field.
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Some of this needs another look.",
        )
    };
    form.violations = fault.violations;
    Ok(show(status, &admin, &organization, form, Some(error)))
}

fn show(
    status: StatusCode,
    admin: &Admin,
    organization: &Organization,
    form: Form,
    error: Option<&str>,
) -> Response {
    let shown = LinkPage {
        admin_email: &admin.email,
        id: organization.id,
        name: &organization.name,
        instance_url: organization.instance_url.as_deref().unwrap_or_default(),
        error,
        form,
    };
    page(status, &shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_kept_and_each_problem_stands_at_its_field() {
        let body =
            b"admin_email=nope%3Cimg%3E&deployment_type=on-premise&plan_type=gold&trial_days=4.5";
        let mut form = Form::read(body);
        form.violations = form.terms().unwrap_err();
        let named: Vec<_> = form.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(named, ["plan_type", "trial_days", "admin_email"]);
        let html = LinkPage {
            admin_email: "a@b.de",
            id: Uuid::from_u128(7),
            name: "<img src=x onerror=alert(1)>",
            instance_url: "x.y",
            error: Some("These fields are at fault."),
            form,
        }
        .render()
        .unwrap();
        assert!(!html.contains("<img"), "{html}");
        for part in [
            "value=\"nope&#60;img&#62;\"",
            "<option value=\"on-premise\" selected>On-premise</option>",
            "It must be one of: managed-cloud, self-hosted.",
            "value=\"4.5\"",
            "It must be an integer",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn a_form_makes_the_same_terms_as_json() {
        let form = Form::read(
            b"admin_email=+a%40b.de+&deployment_type=on-premise&plan_type=managed-cloud&trial_days=4",
        );
        let terms = form.terms().unwrap();
        assert_eq!((terms.admin_email(), terms.trial_days()), ("a@b.de", 4));
    }
}
