//! `/organizations/{id}`: one organization and its reports.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    labels,
    page::{PageError, page},
};
use crate::{
    app::UsageReportPage,
    domain::{
        organization::{LinkState, Organization},
        organization_filter::PAGE_SIZE_DEFAULT,
        time_text,
        usage_report::UsageReport,
    },
    rest::query::{Query, organization_id, with_query},
    web::Web,
};

#[derive(Template)]
#[template(path = "organization.html")]
struct OrganizationPage<'a> {
    admin_email: &'a str,
    id: Uuid,
    name: &'a str,
    status: &'static str,
    status_class: &'static str,
    can_link: bool,
    problems: Vec<String>,
    facts: Vec<Fact>,
    /// `None` when ingest-svc cannot be asked now.
    reports: Option<Vec<Row>>,
    next: Option<String>,
}

struct Fact {
    name: &'static str,
    value: String,
}

struct Row {
    reported_at: String,
    users: i64,
    deployment: &'static str,
    delivery: &'static str,
    delivery_class: &'static str,
    error: Option<String>,
    meter_event: String,
}

impl From<UsageReport> for Row {
    fn from(report: UsageReport) -> Self {
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
        let (delivery, delivery_class) = labels::delivery(delivery);
        Self {
            reported_at: time_text::minute(reported_at),
            users: user_count,
            deployment: labels::deployment(deployment_type),
            delivery,
            delivery_class,
            error: error.map(|error| format!("{} ({})", error.message, error.code)),
            meter_event: stripe_meter_event_id.unwrap_or_else(|| labels::NOTHING.to_owned()),
        }
    }
}

/// The page of one organization.
pub(super) async fn organization(
    State(web): State<Web>,
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
    let shown = OrganizationPage {
        admin_email: &admin.email,
        id,
        name: &organization.name,
        status: labels::status(organization.subscription_status),
        status_class: labels::status_class(organization.subscription_status),
        can_link: can_link(&organization),
        problems: problems(&organization),
        facts: facts(&organization),
        reports: reports.map(|reports| reports.into_iter().map(Row::from).collect()),
        next: next
            .map(|cursor| with_query(&format!("/organizations/{id}"), &[("cursor", &cursor)])),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// Whether a link may be started: it is not linked, and none is on its way.
pub(super) fn can_link(organization: &Organization) -> bool {
    let operation = organization.link_operation.as_ref();
    let is_linking = operation.is_some_and(|operation| operation.state == LinkState::Running);
    !organization.is_linked() && !is_linking
}

fn problems(organization: &Organization) -> Vec<String> {
    let operation = organization.link_operation.as_ref();
    let link = operation
        .filter(|operation| operation.state != LinkState::Succeeded)
        .and_then(|operation| operation.error.as_ref())
        .map(|error| format!("The link: {} ({})", error.message, error.code));
    let billing = organization.billing_problem.clone();
    billing.into_iter().chain(link).collect()
}

fn facts(organization: &Organization) -> Vec<Fact> {
    let time = |time: Option<_>| time.map(time_text::minute);
    let reporting = organization.reporting;
    let operation = organization.link_operation.as_ref();
    let facts = [
        ("Id", Some(organization.id.to_string())),
        ("Instance", organization.instance_url.clone()),
        ("Users", reporting.map(|known| known.user_count.to_string())),
        (
            "Last report",
            time(reporting.map(|known| known.last_report_at)),
        ),
        ("First report", time(Some(organization.created_at))),
        ("E-mail for invoices", organization.admin_email.clone()),
        (
            "Deployment",
            Some(labels::deployment(organization.deployment_type).to_owned()),
        ),
        (
            "Plan",
            Some(labels::plan(organization.plan_type).to_owned()),
        ),
        ("End of the trial", time(organization.trial_end)),
        (
            "Start of the period",
            time(organization.current_period_start),
        ),
        ("End of the period", time(organization.current_period_end)),
        ("End of the subscription", time(organization.cancel_at)),
        ("Stripe customer", organization.stripe_customer_id.clone()),
        (
            "Stripe subscription",
            organization.stripe_subscription_id.clone(),
        ),
        (
            "Name in the latest report",
            organization.reported_name.clone(),
        ),
        (
            "Instance in the latest report",
            organization.reported_instance_url.clone(),
        ),
        (
            "Latest link",
            operation.map(|o| format!("{}, {}", o.state.word(), time_text::minute(o.created_at))),
        ),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| Fact { name, value }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{organization::Trouble, usage_report::Delivery};
    use billing_proto::common::v1::DeploymentType;
    use chrono::DateTime;

    #[test]
    fn the_page_shows_the_delivery_of_each_report_and_escapes_all() {
        let report = UsageReport {
            id: Uuid::from_u128(1),
            user_count: 52,
            deployment_type: DeploymentType::OnPremise,
            reported_at: DateTime::from_timestamp(1_730_419_200, 0).unwrap(),
            received_at: None,
            delivery: Delivery::Refused,
            stripe_meter_event_id: None,
            error: Some(Trouble {
                code: "no_meter".to_owned(),
                message: "<b>refused</b>".to_owned(),
            }),
        };
        let shown = OrganizationPage {
            admin_email: "a@b.de",
            id: Uuid::from_u128(7),
            name: "<img src=x onerror=alert(1)>",
            status: "Pending",
            status_class: "wait",
            can_link: true,
            problems: vec!["<i>problem</i>".to_owned()],
            facts: vec![Fact {
                name: "Id",
                value: "<u>fact</u>".to_owned(),
            }],
            reports: Some(vec![report.into()]),
            next: None,
        };
        let html = shown.render().unwrap();
        for raw in ["<img", "<b>", "<i>", "<u>"] {
            assert!(!html.contains(raw), "{raw} in {html}");
        }
        for part in [
            ">52<",
            "Refused",
            "no_meter",
            "2024-11-01 00:00 UTC",
            "/link\"",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        let without = OrganizationPage {
            reports: None,
            can_link: false,
            ..shown
        };
        let html = without.render().unwrap();
        assert!(html.contains("cannot be shown now") && !html.contains("/link\""));
    }
}
