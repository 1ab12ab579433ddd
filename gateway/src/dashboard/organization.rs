//! `/organizations/{id}`: one organization and its reports.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::common::v1::{ErrorReason, SubscriptionStatus};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    labels, list,
    page::{PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::UsageReportPage,
    domain::{
        organization::{LinkState, Organization},
        organization_filter::PAGE_SIZE_DEFAULT,
        usage_report::UsageReport,
    },
    rest::query::{Query, organization_id, with_query},
    web::Web,
};

#[derive(Template)]
#[template(path = "organization.html")]
struct OrganizationPage<'a> {
    ui: Frame<'a>,
    /// The list that it is in.
    list: ListLink,
    id: Uuid,
    name: &'a str,
    status: &'static str,
    status_class: &'static str,
    can_link: bool,
    can_unlink: bool,
    problems: Vec<Problem>,
    facts: Vec<Fact>,
    /// `None` when ingest-svc cannot be asked now.
    reports: Option<Vec<Row>>,
    next: Option<String>,
}

struct ListLink {
    href: &'static str,
    text: &'static str,
}

/// Something that is wrong, as a service or Stripe said it.
struct Problem {
    label: &'static str,
    text: String,
}

struct Fact {
    name: &'static str,
    value: Value,
}

enum Value {
    Text(String),
    Id(String),
    Time(Moment),
}

struct Row {
    reported_at: Moment,
    users: String,
    deployment: &'static str,
    delivery: &'static str,
    delivery_class: &'static str,
    error: Option<String>,
    meter_event: String,
}

fn row(ui: &Ui, report: UsageReport) -> Row {
    let UsageReport {
        id: _,
        user_count,
        deployment_type,
        reported_at,
        received_at: _,
        delivery,
        stripe_meter_event_id,
        error,
    } = report;
    Row {
        reported_at: ui.minute(reported_at),
        users: ui.number(&user_count),
        deployment: ui.t.deployment_word(deployment_type),
        delivery: ui.t.delivery_word(delivery),
        delivery_class: labels::delivery_class(delivery),
        error: error.map(|error| format!("{} ({})", error.message, error.code)),
        meter_event: stripe_meter_event_id.unwrap_or_else(|| ui.t.nothing.to_owned()),
    }
}

/// The page of one organization.
pub(super) async fn organization(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let query = Query::read(query.as_deref());
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let (organization, reports) = tokio::join!(
        web.app().get_organization(&admin, id),
        web.app()
            .list_usage_reports(&admin, id, PAGE_SIZE_DEFAULT, cursor),
    );
    let organization = organization?;
    let (reports, next) = match reports {
        Ok(UsageReportPage {
            reports,
            next_page_token,
        }) => (Some(reports), next_page_token),
        Err(fault) if fault.reason == ErrorReason::InvalidArgument => return Err(fault.into()),
        Err(fault) => {
            Fault::log(&fault);
            (None, None)
        }
    };
    let (section, list) = list_of(&ui, &organization);
    let shown = OrganizationPage {
        ui: ui.frame(&admin.email, section),
        list,
        id,
        name: &organization.name,
        status: ui.t.status_word(organization.subscription_status),
        status_class: labels::status_class(organization.subscription_status),
        can_link: can_link(&organization),
        can_unlink: can_unlink(&organization),
        problems: problems(&ui, &organization),
        facts: facts(&ui, &organization),
        reports: reports.map(|reports| reports.into_iter().map(|r| row(&ui, r)).collect()),
        next: next
            .map(|cursor| with_query(&format!("/organizations/{id}"), &[("cursor", &cursor)])),
    };
    Ok(page(StatusCode::OK, &shown))
}

fn list_of(ui: &Ui, organization: &Organization) -> (Section, ListLink) {
    let (section, href, text) = if organization.is_linked() {
        (Section::Billed, list::BILLED, ui.t.billed_title)
    } else {
        (Section::Pending, list::PENDING, ui.t.pending_title)
    };
    (section, ListLink { href, text })
}

/// Whether a link may be started: it is not linked, and none is on its way.
pub(super) fn can_link(organization: &Organization) -> bool {
    let operation = organization.link_operation.as_ref();
    let is_linking = operation.is_some_and(|operation| operation.state == LinkState::Running);
    !organization.is_linked() && !is_linking
}

/// Whether it may be unlinked: its subscription has ended. org-svc decides; this only leaves out a
/// question that would be refused.
pub(super) fn can_unlink(organization: &Organization) -> bool {
    let has_ended = match organization.subscription_status {
        SubscriptionStatus::Canceled | SubscriptionStatus::IncompleteExpired => true,
        SubscriptionStatus::Unspecified
        | SubscriptionStatus::Pending
        | SubscriptionStatus::Trial
        | SubscriptionStatus::Active
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Unpaid
        | SubscriptionStatus::Incomplete
        | SubscriptionStatus::Paused => false,
    };
    organization.is_linked() && has_ended
}

fn problems(ui: &Ui, organization: &Organization) -> Vec<Problem> {
    let operation = organization.link_operation.as_ref();
    let operation = operation
        .filter(|operation| operation.state != LinkState::Succeeded)
        .and_then(|operation| operation.error.as_ref())
        .map(|error| Problem {
            label: ui.t.problem_of_link,
            text: format!("{} ({})", error.message, error.code),
        });
    let billing = organization.billing_problem.clone().map(|text| Problem {
        label: ui.t.billing_problem,
        text,
    });
    billing.into_iter().chain(operation).collect()
}

fn facts(ui: &Ui, organization: &Organization) -> Vec<Fact> {
    let t = ui.t;
    let time = |time: Option<_>| time.map(|time| Value::Time(ui.minute(time)));
    let text = |text: Option<String>| text.map(Value::Text);
    let id = |id: Option<String>| id.map(Value::Id);
    let reporting = organization.reporting;
    let plan = t.plan_word(organization.plan_type);
    let deployment = t.deployment_word(organization.deployment_type);
    let operation = organization.link_operation.as_ref().map(|operation| {
        let state = t.operation_word(operation.state);
        format!("{state}, {}", ui.minute(operation.created_at).text)
    });
    let facts = [
        (t.id, id(Some(organization.id.to_string()))),
        (t.instance, text(organization.instance_url.clone())),
        (
            t.users,
            text(reporting.map(|known| ui.number(&known.user_count))),
        ),
        (
            t.last_report,
            time(reporting.map(|known| known.last_report_at)),
        ),
        (t.first_report, time(Some(organization.created_at))),
        (t.invoice_email, text(organization.admin_email.clone())),
        (t.deployment, text(Some(deployment.to_owned()))),
        (t.plan, text(Some(plan.to_owned()))),
        (t.trial_end, time(organization.trial_end)),
        (t.period_start, time(organization.current_period_start)),
        (t.period_end, time(organization.current_period_end)),
        (t.subscription_end, time(organization.cancel_at)),
        (
            t.stripe_customer,
            id(organization.stripe_customer_id.clone()),
        ),
        (
            t.stripe_subscription,
            id(organization.stripe_subscription_id.clone()),
        ),
        (t.reported_name, text(organization.reported_name.clone())),
        (
            t.reported_instance,
            text(organization.reported_instance_url.clone()),
        ),
        (t.latest_operation, text(operation)),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| Fact { name, value }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dashboard::{
            row::tests::{ATTACK, organization},
            ui::tests::readers,
        },
        domain::{organization::Trouble, usage_report::Delivery},
    };
    use billing_proto::common::v1::DeploymentType;
    use chrono::DateTime;

    fn report() -> UsageReport {
        UsageReport {
            id: Uuid::from_u128(1),
            user_count: 5_200,
            deployment_type: DeploymentType::OnPremise,
            reported_at: DateTime::from_timestamp(1_730_419_200, 0).unwrap(),
            received_at: None,
            delivery: Delivery::Refused,
            stripe_meter_event_id: None,
            error: Some(Trouble {
                code: "no_meter".to_owned(),
                message: "<b>refused</b>".to_owned(),
            }),
        }
    }

    #[test]
    fn the_page_shows_the_delivery_of_each_report_and_escapes_all() {
        for ui in readers() {
            let organization = organization(true);
            let (section, list) = list_of(&ui, &organization);
            let shown = OrganizationPage {
                ui: ui.frame("a@b.de", section),
                list,
                id: organization.id,
                name: ATTACK,
                status: ui.t.words.canceled,
                status_class: "idle",
                can_link: true,
                can_unlink: true,
                problems: problems(&ui, &organization),
                facts: facts(&ui, &organization),
                reports: Some(vec![row(&ui, report())]),
                next: None,
            };
            let html = shown.render().unwrap();
            for raw in ["<img", "<b>"] {
                assert!(!html.contains(raw), "{raw} in {html}");
            }
            let reported = ui.minute(report().reported_at);
            for part in [
                &format!(">{}<", ui.number(&5_200)),
                ui.t.words.refused,
                ui.t.billing_problem,
                "no_meter",
                "cus_1",
                &reported.text,
                "title=\"2024-11-01 00:00:00 UTC\"",
                "/link\"",
                "/unlink\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let without = OrganizationPage {
                reports: None,
                can_link: false,
                ..shown
            };
            let html = without.render().unwrap();
            assert!(html.contains(ui.t.reports_not_known) && !html.contains("/link\""));
        }
    }
}
