//! `/organizations/{id}`: one organization, how it reports, and its reports.
//!
//! Architecture invariant: the page asks nothing of Stripe, so that it is there when Stripe is not;
//! what Stripe has of an organization is on pages of its own.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use billing_proto::{
    admin::v1::Organization,
    common::v1::{
        CollectionPauseBehavior, DeliveryState, ErrorReason, GetIntakeRequest, LinkOperationKind,
        LinkOperationState, ListUsageReportsRequest, ListUsageReportsResponse, RecordedReport,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    audit,
    chart::{CHART_DAYS, Chart},
    held, ignore, intake, labels, list,
    page::{PageError, page},
    refused,
    ui::{Frame, Moment, Section, Ui},
    webhooks::said,
};
use crate::{
    app::Admin,
    domain::{
        organization::{can_be_unlinked, is_linked, is_running},
        organization_filter::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX},
        reporting::parse_hold_reason,
        time_text,
        words::filled,
    },
    grpc::answered,
    rest::query::{Query, next_page, organization_id},
    web::Web,
};

/// Stripe's own dashboard, which finds an object of either mode by its id.
const STRIPE_DASHBOARD: &str = "https://dashboard.stripe.com";

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
    /// Where it is ignored or brought back, and the word for that; none where it is linked.
    ignoring: Option<(&'static str, &'static str)>,
    can_change: bool,
    can_unlink: bool,
    is_linked: bool,
    notice: Option<&'static str>,
    /// What goes on in the background, and since when.
    running: Option<(&'static str, Moment)>,
    /// That some of its reports are held.
    held: Option<String>,
    problems: Vec<Problem>,
    /// What Stripe does with the invoices of a pause of collection, and since when that was seen.
    collection_paused: Option<(&'static str, Moment)>,
    facts: Vec<Fact>,
    chart: Option<Chart>,
    chart_is_partial: bool,
    /// `None` when ingest-svc cannot be asked now.
    reports: Option<Vec<Row>>,
    next: Option<String>,
    /// Where they come from, and what was refused; `None` when that cannot be told now.
    intake: Option<intake::Shown>,
    /// What was changed last; `None` when that cannot be told now.
    changes: Option<Vec<audit::Row>>,
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
    /// An object in Stripe, with its page there.
    Stripe {
        id: String,
        href: String,
    },
    Time(Moment),
}

struct Row {
    reported_at: Moment,
    users: String,
    deployment: &'static str,
    delivery: &'static str,
    delivery_class: &'static str,
    error: Option<String>,
    /// That its count is low, or that it is held for its count; and what that was compared with.
    mark: Option<(&'static str, String)>,
    /// The report's id, where it may be sent again.
    retry: Option<String>,
    meter_event: String,
}

fn row(ui: &Ui, report: RecordedReport) -> Row {
    let (deployment_type, delivery) = (report.deployment_type(), report.delivery_state());
    let RecordedReport {
        id,
        user_count,
        deployment_type: _,
        report_time,
        receive_time: _,
        delivery_state: _,
        stripe_meter_event_id,
        error_code,
        error_message,
        counts: _,
        count_low,
        baseline_user_count,
    } = report;
    let held = parse_hold_reason(&error_code);
    let word = match held {
        Some(reason) => Some(held::reason_word(ui, reason)),
        None => count_low.then_some(ui.t.count_low),
    };
    let compared = baseline_user_count.map(|it| ui.about(ui.t.baseline_of, &ui.number(&it)));
    // What a page says in its own language it does not say in English besides.
    let is_said = held.is_some() && compared.is_some();
    Row {
        mark: word.map(|word| (word, compared.unwrap_or_default())),
        reported_at: ui.promised_minute(report_time),
        users: ui.number(&user_count),
        deployment: ui.t.deployment_word(deployment_type),
        delivery: ui.t.delivery_word(delivery),
        delivery_class: labels::delivery_class(delivery),
        error: said(&error_code, &error_message).filter(|_| !is_said),
        retry: (delivery == DeliveryState::Refused).then_some(id),
        meter_event: filled(stripe_meter_event_id).unwrap_or_else(|| ui.t.nothing.to_owned()),
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
    let of_organization = GetIntakeRequest {
        organization_id: id.to_string(),
    };
    let mut client = web.admin_client();
    let (organization, reports, drawn, changes, intake) = tokio::join!(
        web.app().get_organization(&admin, id),
        listed(&web, &admin, id, PAGE_SIZE_DEFAULT, cursor),
        drawn_reports(&web, &admin, id),
        audit::latest_of(&web, &admin, &ui, id),
        client.get_intake(admin.asks(of_organization)),
    );
    let organization = organization?;
    let (reports, next) = match reports {
        Ok(listed) => (Some(listed.reports), listed.next_page_token),
        Err(fault) if fault.reason == ErrorReason::InvalidArgument => return Err(fault.into()),
        Err(fault) => {
            Fault::log(&fault);
            (None, String::new())
        }
    };
    let now = web.app().clock().now();
    let (section, list) = list_of(&ui, &organization);
    let shown = OrganizationPage {
        ui: ui.frame(&admin.email, section),
        list,
        id,
        name: &organization.name,
        status: ui.t.status_word(organization.subscription_status()),
        status_class: labels::status_class(organization.subscription_status()),
        can_link: can_link(&organization),
        ignoring: ignoring(&ui, &organization),
        can_change: can_change(&organization),
        can_unlink: can_be_unlinked(&organization),
        is_linked: is_linked(&organization),
        notice: query.get("notice").and_then(|word| notice(&ui, word)),
        running: running(&ui, &organization),
        held: held_count(&ui, &organization),
        problems: problems(&ui, &organization),
        collection_paused: collection_paused(&ui, &organization),
        facts: facts(&ui, &organization),
        chart: Chart::of(&ui, &drawn.reports, now),
        chart_is_partial: !drawn.next_page_token.is_empty() && is_within(&drawn.reports, now),
        reports: reports.map(|reports| reports.into_iter().map(|r| row(&ui, r)).collect()),
        next: next_page(&format!("/organizations/{id}"), &next),
        intake: answered(intake)
            .map_err(|fault| Fault::log(&fault))
            .map(|it| intake::shown(&ui, it))
            .ok(),
        changes: changes.map_err(|fault| Fault::log(&fault)).ok(),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// Whether even the earliest of these reports is in the chart: what is left out would be, too.
fn is_within(reports: &[RecordedReport], now: DateTime<Utc>) -> bool {
    let first = now - TimeDelta::days(CHART_DAYS);
    let earliest = reports.last().map(|report| report.report_time);
    let earliest = earliest.and_then(time_text::known);
    earliest.is_some_and(|earliest| earliest > first)
}

async fn listed(
    web: &Web,
    admin: &Admin,
    id: Uuid,
    page_size: i32,
    page_token: String,
) -> Result<ListUsageReportsResponse, Fault> {
    let request = ListUsageReportsRequest {
        organization_id: id.to_string(),
        page_size,
        page_token,
    };
    answered(
        web.admin_client()
            .list_usage_reports(admin.asks(request))
            .await,
    )
}

/// The latest reports, as many as a chart may need where an instance reports some five times a day;
/// none where they cannot be told now, which the list below says.
async fn drawn_reports(web: &Web, admin: &Admin, id: Uuid) -> ListUsageReportsResponse {
    let drawn = listed(web, admin, id, PAGE_SIZE_MAX, String::new()).await;
    drawn
        .map_err(|fault| Fault::log(&fault))
        .unwrap_or_default()
}

/// What was just done. The address picks one of our own sentences: it cannot bring its own.
fn notice(ui: &Ui, word: &str) -> Option<&'static str> {
    let t = ui.t;
    match word {
        "changed" => Some(t.notice_changed),
        "changing" => Some(t.notice_changing),
        "unchanged" => Some(t.notice_unchanged),
        "canceled" => Some(t.notice_canceled),
        "canceling" => Some(t.notice_canceling),
        "released" => Some(t.notice_released),
        "discarded" => Some(t.notice_discarded),
        intake::REPLACED => Some(t.notice_replaced),
        _ => refused::notice(ui, word).or_else(|| list::notice(ui, word)),
    }
}

fn running(ui: &Ui, organization: &Organization) -> Option<(&'static str, Moment)> {
    let operation = organization.link_operation.as_ref();
    let operation = operation.filter(|operation| is_running(Some(operation)))?;
    let text = match operation.kind() {
        LinkOperationKind::Link | LinkOperationKind::Unspecified => ui.t.running_link,
        LinkOperationKind::Update => ui.t.running_update,
        LinkOperationKind::Cancel => ui.t.running_cancel,
    };
    Some((text, ui.promised_minute(operation.create_time)))
}

fn held_count(ui: &Ui, organization: &Organization) -> Option<String> {
    let count = organization.held_report_count;
    (count > 0).then(|| ui.number(&count))
}

fn list_of(ui: &Ui, organization: &Organization) -> (Section, ListLink) {
    let (section, href, text) = if is_linked(organization) {
        (Section::Billed, list::BILLED, ui.t.billed_title)
    } else {
        (Section::Pending, list::PENDING, ui.t.pending_title)
    };
    (section, ListLink { href, text })
}

/// Whether a link may be started: it is not linked, and none is on its way.
pub(super) fn can_link(organization: &Organization) -> bool {
    !is_linked(organization) && !is_running(organization.link_operation.as_ref())
}

/// What may be done about a pending one in the lists.
fn ignoring(ui: &Ui, organization: &Organization) -> Option<(&'static str, &'static str)> {
    match organization.ignore_time {
        _ if !can_link(organization) => None,
        None => Some((ignore::IGNORE, ui.t.ignore)),
        Some(_) => Some((ignore::RESTORE, ui.t.restore)),
    }
}

/// Whether its subscription may be changed or canceled: it goes on, and nothing is under way.
pub(super) fn can_change(organization: &Organization) -> bool {
    let is_busy = is_running(organization.link_operation.as_ref());
    is_linked(organization) && !is_busy && !can_be_unlinked(organization)
}

fn collection_paused(ui: &Ui, organization: &Organization) -> Option<(&'static str, Moment)> {
    let pause = organization.collection_pause?;
    let text = match pause.behavior() {
        CollectionPauseBehavior::Unspecified => ui.t.collection_paused_otherwise,
        CollectionPauseBehavior::Void => ui.t.collection_paused_void,
        CollectionPauseBehavior::KeepAsDraft => ui.t.collection_paused_draft,
        CollectionPauseBehavior::MarkUncollectible => ui.t.collection_paused_uncollectible,
    };
    Some((text, ui.promised_minute(pause.first_seen_time)))
}

fn problems(ui: &Ui, organization: &Organization) -> Vec<Problem> {
    let operation = organization.link_operation.as_ref();
    let operation = operation
        .filter(|operation| operation.state() != LinkOperationState::Succeeded)
        .and_then(|operation| {
            let text = said(&operation.error_code, &operation.error_message)?;
            let label = match (operation.state(), operation.kind()) {
                (LinkOperationState::Refused, LinkOperationKind::Link) => ui.t.refused_link,
                (LinkOperationState::Refused, LinkOperationKind::Update) => ui.t.refused_update,
                (LinkOperationState::Refused, LinkOperationKind::Cancel) => ui.t.refused_cancel,
                _ => ui.t.problem_of_link,
            };
            Some(Problem { label, text })
        });
    let billing = filled(organization.billing_problem.clone()).map(|text| Problem {
        label: ui.t.billing_problem,
        text,
    });
    billing.into_iter().chain(operation).collect()
}

fn facts(ui: &Ui, organization: &Organization) -> Vec<Fact> {
    let t = ui.t;
    let time = |time| ui.minute_of(time).map(Value::Time);
    let text = |text: &String| filled(text.clone()).map(Value::Text);
    let stripe = |kind: &str, id: &String| {
        filled(id.clone()).map(|id| Value::Stripe {
            href: format!("{STRIPE_DASHBOARD}/{kind}/{id}"),
            id,
        })
    };
    let word = |word: &str| Some(Value::Text(word.to_owned()));
    let users = organization.user_count.map(|count| ui.number(&count));
    let operation = organization.link_operation.as_ref().map(|operation| {
        let state = t.operation_word(operation.state());
        format!(
            "{state}, {}",
            ui.promised_minute(operation.create_time).text
        )
    });
    let pause = organization.collection_pause;
    let facts = [
        (t.id, Some(Value::Id(organization.id.clone()))),
        (t.instance, text(&organization.instance_url)),
        (t.source_network, text(&organization.source_network)),
        (t.ignored_since, time(organization.ignore_time)),
        (t.users, users.map(Value::Text)),
        (t.last_report, time(organization.last_report_time)),
        (t.first_report, time(organization.create_time)),
        (t.invoice_email, text(&organization.admin_email)),
        (
            t.deployment,
            word(t.deployment_word(organization.deployment_type())),
        ),
        (t.plan, word(t.plan_word(organization.plan_type()))),
        (t.trial_end, time(organization.trial_end_time)),
        (t.period_start, time(organization.current_period_start_time)),
        (t.period_end, time(organization.current_period_end_time)),
        (t.subscription_end, time(organization.cancel_time)),
        (
            t.collection_resumes,
            time(pause.and_then(|it| it.resume_time)),
        ),
        (
            t.stripe_customer,
            stripe("customers", &organization.stripe_customer_id),
        ),
        (
            t.stripe_subscription,
            stripe("subscriptions", &organization.stripe_subscription_id),
        ),
        (t.reported_name, text(&organization.reported_name)),
        (
            t.reported_instance,
            text(&organization.reported_instance_url),
        ),
        (t.latest_operation, operation.map(Value::Text)),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| Fact { name, value }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at, organization},
        ui::tests::readers,
    };
    use billing_proto::common::v1::DeploymentType;

    const REPORTED: i64 = 1_730_419_200;

    fn reported() -> DateTime<Utc> {
        DateTime::from_timestamp(REPORTED, 0).unwrap()
    }

    fn report() -> RecordedReport {
        RecordedReport {
            id: Uuid::from_u128(1).to_string(),
            user_count: 5_200,
            deployment_type: DeploymentType::OnPremise.into(),
            report_time: at(REPORTED),
            delivery_state: DeliveryState::Refused.into(),
            error_code: "no_meter".to_owned(),
            error_message: "<b>refused</b>".to_owned(),
            counts: true,
            count_low: true,
            baseline_user_count: Some(12_000),
            ..RecordedReport::default()
        }
    }

    #[test]
    fn a_low_count_is_marked_with_what_it_was_compared_with() {
        for ui in readers() {
            let compared = ui.about(ui.t.baseline_of, &ui.number(&12_000));
            assert_eq!(row(&ui, report()).mark, Some((ui.t.count_low, compared)));
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
                id: Uuid::from_u128(7),
                name: ATTACK,
                status: ui.t.words.canceled,
                status_class: "idle",
                can_link: true,
                ignoring: Some((ignore::RESTORE, ui.t.restore)),
                can_change: true,
                can_unlink: true,
                is_linked: true,
                notice: notice(&ui, "canceling"),
                running: Some((ui.t.running_cancel, ui.minute(reported()))),
                held: Some("3".to_owned()),
                problems: problems(&ui, &organization),
                collection_paused: collection_paused(&ui, &organization),
                facts: facts(&ui, &organization),
                chart: Chart::of(&ui, &[report()], reported()),
                chart_is_partial: true,
                reports: Some(vec![row(&ui, report())]),
                next: None,
                intake: Some(intake::shown(&ui, intake::tests::intake(ATTACK))),
                changes: Some(vec![audit::tests::change(&ui)]),
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img") && !html.contains("<b>"), "{html}");
            for part in [
                &format!(">{}<", ui.number(&5_200)),
                ui.t.words.refused,
                ui.t.billing_problem,
                "no_meter",
                "https://dashboard.stripe.com/customers/cus_1",
                "https://dashboard.stripe.com/subscriptions/sub_1",
                ui.t.notice_canceling,
                ui.t.timeline_all,
                "<del>pending</del>",
                ui.t.running_cancel,
                ui.t.chart_partial,
                "class=\"refused\"",
                "/subscription\"",
                "/cancel\"",
                "/portal\"",
                "/invoices\"",
                &ui.minute(reported()).text,
                "title=\"2024-11-01 00:00:00 UTC\"",
                "/link\"",
                "/unlink\"",
                "203.0.113.0/24",
                "198.51.100.9",
                ui.t.network_known,
                ui.t.last_refusal,
                "/conflicts/00000000-0000-0000-0000-000000000009/replace\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let without = OrganizationPage {
                reports: None,
                changes: None,
                intake: None,
                can_link: false,
                ..shown
            };
            let html = without.render().unwrap();
            assert!(html.contains(ui.t.reports_not_known) && !html.contains("/link\""));
        }
    }
}
