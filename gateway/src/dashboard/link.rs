//! `/organizations/{id}/link`: the form that links an organization. Sent once it shows what would be
//! made; sent from there, it links.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, Violation, proto_time};
use billing_proto::{
    admin::v1::Organization,
    common::v1::{PriceUnit, SimilarCustomer, SubscriptionPreview},
};
use http::{HeaderMap, StatusCode};
use prost_types::Timestamp;
use serde_json::{Map, Value};

use super::{
    form, money,
    organization::can_link,
    page::{PageError, Refusal, page},
    ui::{Choice, Frame, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{
        link_terms::{
            ADMIN_EMAIL, ADOPT_CUSTOMER_ID, DEPLOYMENT_TYPE, LinkTerms, PLAN_TYPE, TRIAL_DAYS,
        },
        organization::is_running,
        words,
    },
    rest::query::{Query, organization_id},
    web::Web,
};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    ui: Frame<'a>,
    id: String,
    title: String,
    instance_url: &'a str,
    error: Option<Refusal>,
    form: Form,
    deployment_types: Vec<Choice>,
    plan_types: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage<'a> {
    ui: Frame<'a>,
    id: String,
    title: String,
    facts: Vec<(&'static str, String)>,
    /// The customer of an earlier attempt, which is used where none is adopted.
    reused: String,
    similar: Vec<SimilarCustomer>,
    form: Form,
}

/// The field by which the preview's form links.
const CONFIRM: &str = "confirm";

/// What was filled in, and what is wrong with it.
#[derive(Debug, Default)]
struct Form {
    admin_email: String,
    deployment_type: String,
    plan_type: String,
    trial_days: String,
    /// The customer in Stripe to use; empty for a new one.
    adopt_customer_id: String,
    violations: Vec<Violation>,
}

impl Form {
    fn read(form: &Query) -> Self {
        let text = |name| form.get(name).unwrap_or_default().trim().to_owned();
        Self {
            admin_email: text(ADMIN_EMAIL),
            deployment_type: text(DEPLOYMENT_TYPE),
            plan_type: text(PLAN_TYPE),
            trial_days: text(TRIAL_DAYS),
            adopt_customer_id: text(ADOPT_CUSTOMER_ID),
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
        let mut object = Map::from_iter([
            (ADMIN_EMAIL.to_owned(), text(&self.admin_email)),
            (DEPLOYMENT_TYPE.to_owned(), text(&self.deployment_type)),
            (PLAN_TYPE.to_owned(), text(&self.plan_type)),
            (
                TRIAL_DAYS.to_owned(),
                trial_days.unwrap_or_else(|| text(&self.trial_days)),
            ),
        ]);
        if !self.adopt_customer_id.is_empty() {
            let customer = text(&self.adopt_customer_id);
            object.insert(ADOPT_CUSTOMER_ID.to_owned(), customer);
        }
        LinkTerms::read(&object)
    }

    fn is_wrong(&self, field: &str) -> bool {
        self.violations.iter().any(|v| v.field == field)
    }
}

/// The deployment types to choose from.
pub(super) fn deployment_types(ui: &Ui, chosen: &str) -> Vec<Choice> {
    let choice = |value| Choice {
        value,
        label: words::parse_deployment_type(value)
            .map_or(value, |deployment| ui.t.deployment_word(deployment)),
        selected: value == chosen,
    };
    words::DEPLOYMENT_TYPES.split(", ").map(choice).collect()
}

/// The plans to choose from.
pub(super) fn plan_types(ui: &Ui, chosen: &str) -> Vec<Choice> {
    let choice = |value| Choice {
        value,
        label: words::parse_plan_type(value).map_or(value, |plan| ui.t.plan_word(plan)),
        selected: value == chosen,
    };
    words::PLAN_TYPES.split(", ").map(choice).collect()
}

/// The empty form.
pub(super) async fn form(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let organization = web.app().get_organization(&admin, id).await?;
    if !can_link(&organization) {
        return Ok(Redirect::to(&format!("/organizations/{id}")).into_response());
    }
    let empty = shown(&ui, &admin, &organization, Form::default(), None);
    Ok(page(StatusCode::OK, &empty))
}

/// What a form came to.
enum Done {
    Previewed(Box<SubscriptionPreview>),
    Linked { is_running: bool },
}

/// Shows what would be made, or links and goes back to the overview; or shows the form again, with what is wrong.
pub(super) async fn link(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let sent = form::read(&web, &headers, body).await?;
    let mut form = Form::read(&sent);
    let app = web.app();
    let done = match form.terms() {
        Ok(terms) if sent.get(CONFIRM).is_none() => {
            let previewed = app.preview_link(&admin, id, &terms).await;
            previewed.map(|preview| Done::Previewed(Box::new(preview)))
        }
        Ok(terms) => {
            let linked = app.link_organization(&admin, id, &terms).await;
            linked.map(|link| Done::Linked {
                is_running: is_running(link.operation.as_ref()),
            })
        }
        Err(violations) => Err(Fault::invalid(violations)),
    };
    let fault = match done {
        Ok(Done::Previewed(preview)) => {
            let organization = app.get_organization(&admin, id).await?;
            let asked = preview_page(&ui, &admin, &organization, *preview, form);
            return Ok(page(StatusCode::OK, &asked));
        }
        Ok(Done::Linked { is_running }) => {
            let notice = if is_running { "linking" } else { "linked" };
            let to = format!("/?notice={notice}&organization={id}");
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

fn preview_page<'a>(
    ui: &'a Ui,
    admin: &'a Admin,
    organization: &Organization,
    preview: SubscriptionPreview,
    form: Form,
) -> PreviewPage<'a> {
    PreviewPage {
        ui: ui.frame(&admin.email, Section::Pending),
        id: organization.id.clone(),
        title: ui.about(ui.t.preview_title, &organization.name),
        facts: preview_facts(ui, &preview, &form),
        reused: preview.reused_customer_id,
        similar: preview.similar_customers,
        form,
    }
}

fn preview_facts(
    ui: &Ui,
    preview: &SubscriptionPreview,
    form: &Form,
) -> Vec<(&'static str, String)> {
    let t = ui.t;
    let day = |time: &Option<Timestamp>| {
        let time = time.as_ref().and_then(proto_time::from_proto);
        time.map(|time| ui.day(time).text)
    };
    let terms = preview.price.clone().unwrap_or_default();
    let price = money::decimal(ui.language, &terms.unit_amount, &terms.currency);
    let unit = match terms.unit() {
        PriceUnit::Unspecified => "",
        PriceUnit::SeatDay => t.preview_seat_day,
        PriceUnit::SeatPeriod => t.preview_seat_period,
    };
    let period = day(&preview.first_period_start_time).zip(day(&preview.first_period_end_time));
    let estimate = preview
        .estimated_amount
        .map(|amount| money::amount(ui.language, amount, &terms.currency));
    let customer = if preview.reused_customer_id.is_empty() {
        t.preview_new.to_owned()
    } else {
        preview.reused_customer_id.clone()
    };
    let nothing = || t.nothing.to_owned();
    vec![
        (t.invoice_email, form.admin_email.clone()),
        (t.stripe_customer, customer),
        (t.preview_price, format!("{price} {unit}")),
        (
            t.trial_end,
            day(&preview.trial_end_time).unwrap_or_else(|| t.preview_no_trial.to_owned()),
        ),
        (
            t.preview_first_period,
            period.map_or_else(nothing, |(from, to)| format!("{from} – {to}")),
        ),
        (t.preview_estimate, estimate.unwrap_or_else(nothing)),
        (
            t.preview_days_due,
            ui.number(&i64::from(preview.days_until_due)),
        ),
    ]
}

fn shown<'a>(
    ui: &'a Ui,
    admin: &'a Admin,
    organization: &'a Organization,
    form: Form,
    error: Option<Refusal>,
) -> LinkPage<'a> {
    LinkPage {
        ui: ui.frame(&admin.email, Section::Pending),
        id: organization.id.clone(),
        title: ui.about(ui.t.link_title, &organization.name),
        instance_url: &organization.instance_url,
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
    use crate::dashboard::{row::tests::ATTACK, ui::tests::readers};

    #[test]
    fn what_was_filled_in_is_kept_and_each_problem_stands_at_its_field() {
        let body =
            b"admin_email=nope%3Cimg%3E&deployment_type=on-premise&plan_type=gold&trial_days=4.5";
        for ui in readers() {
            let mut form = Form::read(&Query::read_form(body));
            form.violations = form.terms().unwrap_err();
            let named: Vec<_> = form.violations.iter().map(|v| v.field.as_str()).collect();
            assert_eq!(named, ["plan_type", "trial_days", "admin_email"]);
            let html = LinkPage {
                ui: ui.frame("a@b.de", Section::Pending),
                id: Uuid::from_u128(7).to_string(),
                title: ui.about(ui.t.link_title, ATTACK),
                instance_url: "x.y",
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
                "value=\"nope&#60;img&#62;\"",
                "<option value=\"on-premise\" selected>On-premise</option>",
                ui.t.email_wrong,
                ui.t.choice_wrong,
                ui.t.trial_days_wrong,
                ui.t.form_again,
                "value=\"4.5\"",
                "name=\"form_token\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
        }
    }

    #[test]
    fn a_form_makes_the_same_terms_as_json() {
        let form = Query::read_form(
            b"admin_email=+a%40b.de+&deployment_type=on-premise&plan_type=managed-cloud&trial_days=4",
        );
        let terms = Form::read(&form).terms().unwrap();
        assert_eq!((terms.admin_email(), terms.trial_days()), ("a@b.de", 4));
    }
}
