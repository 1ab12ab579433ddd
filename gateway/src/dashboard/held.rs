//! `/held`: the reports that wait for a decision, and the two decisions, each asked once more.
//!
//! A decision is on the reports that were shown, by their ids: one that joined the hold since then
//! waits for a decision of its own.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_kit::Fault;
use billing_proto::common::v1::{
    DiscardReportsRequest, HeldReport, HoldReason, ListHeldReportsRequest, ListHeldReportsResponse,
    ReleaseReportsRequest,
};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::{
    form,
    held_groups::{Group, groups},
    page::{PageError, page},
    ui::{Frame, Moment, Section, Ui},
};
use crate::{
    app::Admin,
    domain::{organization_filter::PAGE_SIZE_DEFAULT, reporting, time_text, words::filled},
    grpc::answered,
    rest::query::{Query, organization_id, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/held";
/// Where it lists those alone whose invoice is soon final.
pub(super) const URGENT: &str = "/held?urgent=yes";
/// One decision is on at most so many reports: a form has 16 KiB.
const DECIDED_MAX: i32 = 300;
/// The field, and the part of the address, that names reports.
const REPORTS: &str = "reports";

#[derive(Template)]
#[template(path = "held.html")]
struct HeldPage<'a> {
    ui: Frame<'a>,
    title: String,
    rows: Vec<Row>,
    /// What several organizations have in common; on the list of all alone.
    groups: Vec<Group>,
    /// The organization, where the list is of one.
    organization: Option<Uuid>,
    /// Whether it is of the urgent ones alone.
    is_urgent: bool,
    next: Option<String>,
}

struct Row {
    id: String,
    organization_id: String,
    name: String,
    reported_at: Moment,
    users: String,
    before: String,
    reason: &'static str,
    message: String,
    /// Whether the message is a service's own sentence.
    is_english: bool,
    deadline: Option<Moment>,
    is_urgent: bool,
}

/// The list, of all organizations or of one.
pub(super) async fn held(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let asked = query.get("organization").filter(|id| !id.is_empty());
    let organization = asked.map(organization_id).transpose()?;
    let is_urgent = query.get("urgent") == Some("yes");
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let is_first = cursor.is_empty();
    let app = web.app();
    let title = match organization {
        None if is_urgent => ui.t.urgent_held_reports.to_owned(),
        None => ui.t.held_reports.to_owned(),
        Some(id) => {
            let organization = app.get_organization(&admin, id).await?;
            ui.about(ui.t.held_of, &organization.name)
        }
    };
    let of = organization.map_or_else(String::new, |id| id.to_string());
    let request = ListHeldReportsRequest {
        organization_id: of.clone(),
        page_size: PAGE_SIZE_DEFAULT,
        page_token: cursor,
        urgent: is_urgent,
    };
    let ListHeldReportsResponse {
        reports,
        next_page_token,
    } = listed(&web, &admin, request).await?;
    let is_all = organization.is_none() && !is_urgent && is_first;
    let groups = if is_all && !reports.is_empty() {
        groups(&web, &admin, &ui).await
    } else {
        Vec::new()
    };
    let now = app.clock().now();
    let urgent = if is_urgent { "yes" } else { "" };
    let shown = HeldPage {
        ui: ui.frame(&admin.email, Section::Held),
        title,
        rows: reports
            .into_iter()
            .map(|report| {
                let deadline = time_text::known(report.hold_deadline_time);
                let is_urgent = deadline.is_some_and(|it| reporting::is_urgent(it, now));
                row(&ui, report, is_urgent)
            })
            .collect(),
        groups,
        organization,
        is_urgent,
        next: filled(next_page_token).map(|next| {
            with_query(
                PATH,
                &[("organization", &of), ("urgent", urgent), ("cursor", &next)],
            )
        }),
    };
    Ok(page(StatusCode::OK, &shown))
}

fn row(ui: &Ui, report: HeldReport, is_urgent: bool) -> Row {
    let (reason, said) = (report.reason(), said(ui, &report));
    let HeldReport {
        id,
        organization_id,
        organization_name,
        user_count,
        instance_url: _,
        report_time,
        receive_time: _,
        reason: _,
        message,
        baseline_user_count,
        baseline_instance_url: _,
        limit_user_count: _,
        hold_deadline_time,
    } = report;
    Row {
        id,
        name: filled(organization_name).unwrap_or_else(|| organization_id.clone()),
        organization_id,
        reported_at: ui.promised_minute(report_time),
        users: ui.number(&user_count),
        before: ui.number(&baseline_user_count),
        reason: reason_word(ui, reason),
        is_english: said.is_none(),
        message: said.unwrap_or(message),
        deadline: ui.minute_of(hold_deadline_time),
        is_urgent,
    }
}

/// A reason in the language of the page.
pub(super) fn reason_word(ui: &Ui, reason: HoldReason) -> &'static str {
    match reason {
        HoldReason::CountJump => ui.t.hold_jump,
        HoldReason::OtherUrl => ui.t.hold_url,
        HoldReason::CountDrop => ui.t.hold_drop,
        HoldReason::NewNetwork => ui.t.hold_network,
        HoldReason::Unsigned => ui.t.hold_unsigned,
        HoldReason::OtherKey => ui.t.hold_key,
        HoldReason::Unspecified => ui.t.nothing,
    }
}

/// What a reason comes from, in the language of the page; `None` where the values are not known.
fn said(ui: &Ui, report: &HeldReport) -> Option<String> {
    match report.reason() {
        HoldReason::CountJump | HoldReason::CountDrop => {
            let limit = Some(report.limit_user_count).filter(|limit| *limit > 0);
            limit.map(|limit| ui.about(ui.t.hold_limit, &ui.number(&limit)))
        }
        HoldReason::OtherUrl => {
            let known_url = filled(report.baseline_instance_url.clone());
            let url = &report.instance_url;
            known_url.map(|known| format!("{url} {}", ui.about(ui.t.instead_of, &known)))
        }
        HoldReason::NewNetwork
        | HoldReason::Unsigned
        | HoldReason::OtherKey
        | HoldReason::Unspecified => None,
    }
}

async fn listed(
    web: &Web,
    admin: &Admin,
    request: ListHeldReportsRequest,
) -> Result<ListHeldReportsResponse, Fault> {
    answered(
        web.admin_client()
            .list_held_reports(admin.asks(request))
            .await,
    )
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Release,
    Discard,
}

#[derive(Template)]
#[template(path = "decide.html")]
struct DecidePage<'a> {
    ui: Frame<'a>,
    title: String,
    intro: &'static str,
    button: &'static str,
    class: &'static str,
    /// Where the form goes.
    action: String,
    back: String,
    count: String,
    rows: Vec<Row>,
    /// The ids that the form sends.
    reports: String,
}

/// Asks whether held reports are to be sent.
pub(super) async fn release_form(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    id: Path<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    ask(Decision::Release, web, ui, id, query, headers).await
}

/// Asks whether held reports are to be dropped.
pub(super) async fn discard_form(
    web: State<Web>,
    ui: Extension<Arc<Ui>>,
    id: Path<String>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    ask(Decision::Discard, web, ui, id, query, headers).await
}

async fn ask(
    decision: Decision,
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let id = organization_id(&id)?;
    let query = Query::read(query.as_deref());
    let one = query.get(REPORTS).filter(|id| !id.is_empty());
    let of_one = ListHeldReportsRequest {
        organization_id: id.to_string(),
        page_size: DECIDED_MAX,
        ..ListHeldReportsRequest::default()
    };
    let (organization, listed) = tokio::try_join!(
        web.app().get_organization(&admin, id),
        listed(&web, &admin, of_one)
    )?;
    let mut reports = listed.reports;
    reports.retain(|report| one.is_none_or(|one| report.id == one));
    if reports.is_empty() {
        return Ok(Redirect::to(&format!("/organizations/{id}")).into_response());
    }
    let name = &organization.name;
    let asked = decision_page(&ui, &admin.email, name, decision, id, reports);
    Ok(page(StatusCode::OK, &asked))
}

fn decision_page<'a>(
    ui: &'a Ui,
    admin_email: &'a str,
    name: &str,
    decision: Decision,
    id: Uuid,
    reports: Vec<HeldReport>,
) -> DecidePage<'a> {
    let t = ui.t;
    let (title, intro, button, class, verb) = match decision {
        Decision::Release => (
            t.release_title,
            t.release_intro,
            t.release_button,
            "",
            "release",
        ),
        Decision::Discard => (
            t.discard_title,
            t.discard_intro,
            t.discard_button,
            "danger",
            "discard",
        ),
    };
    let ids: Vec<_> = reports.iter().map(|report| report.id.clone()).collect();
    let count = i64::try_from(reports.len()).unwrap_or(i64::MAX);
    DecidePage {
        ui: ui.frame(admin_email, Section::Held),
        title: ui.about(title, name),
        intro,
        button,
        class,
        action: format!("/organizations/{id}/held/{verb}"),
        back: format!("/organizations/{id}"),
        count: ui.count(&t.decide_count, &count),
        rows: reports
            .into_iter()
            .map(|report| row(ui, report, false))
            .collect(),
        reports: ids.join(","),
    }
}

/// Sends the reports that were shown.
pub(super) async fn release(
    web: State<Web>,
    id: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    decide(Decision::Release, web, id, headers, body).await
}

/// Drops the reports that were shown.
pub(super) async fn discard(
    web: State<Web>,
    id: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    decide(Decision::Discard, web, id, headers, body).await
}

async fn decide(
    decision: Decision,
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let form = form::read(&web, &headers, body).await?;
    let ids = form.get(REPORTS).unwrap_or_default().split(',');
    let report_ids = ids.map(str::to_owned).collect();
    let organization_id = id.to_string();
    let mut client = web.admin_client();
    let notice = match decision {
        Decision::Release => {
            let request = ReleaseReportsRequest {
                organization_id,
                report_ids,
                all: false,
            };
            answered(client.release_reports(admin.asks(request)).await)?;
            "released"
        }
        Decision::Discard => {
            let request = DiscardReportsRequest {
                organization_id,
                report_ids,
                all: false,
            };
            answered(client.discard_reports(admin.asks(request)).await)?;
            "discarded"
        }
    };
    Ok(Redirect::to(&format!("/organizations/{id}?notice={notice}")).into_response())
}

#[cfg(test)]
mod tests {
    use billing_proto::common::v1::HeldGroup;

    use super::*;
    use crate::dashboard::{
        held_groups,
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    fn report(id: u128) -> HeldReport {
        let at = at(1_730_419_200);
        HeldReport {
            id: Uuid::from_u128(id).to_string(),
            organization_id: Uuid::from_u128(7).to_string(),
            organization_name: ATTACK.to_owned(),
            user_count: 4_500,
            instance_url: ATTACK.to_owned(),
            report_time: at,
            receive_time: at,
            reason: HoldReason::CountJump.into(),
            message: ATTACK.to_owned(),
            baseline_user_count: 45,
            hold_deadline_time: at,
            ..HeldReport::default()
        }
    }

    fn group() -> HeldGroup {
        HeldGroup {
            reason: HoldReason::OtherUrl.into(),
            cause: "* to app.*".to_owned(),
            report_count: 12,
            organization_count: 9,
            last_receive_time: at(1_730_419_200),
            example_organization_id: Uuid::from_u128(7).to_string(),
            example_organization_name: ATTACK.to_owned(),
        }
    }

    #[test]
    fn the_list_renders_in_both_languages_and_escapes_all() {
        for ui in readers() {
            let list = HeldPage {
                ui: ui.frame(ATTACK, Section::Held),
                title: ui.about(ui.t.held_of, ATTACK),
                rows: vec![row(&ui, report(1), true)],
                groups: vec![held_groups::group(&ui, group())],
                organization: Some(Uuid::from_u128(7)),
                is_urgent: false,
                next: Some("/held?cursor=a".to_owned()),
            };
            let html = list.render().unwrap();
            for shown in [
                &format!(">{}<", ui.number(&4_500)),
                ">45<",
                ui.t.hold_jump,
                ui.t.release_all,
                ui.t.groups_title,
                "name=\"cause\" value=\"* to app.*\"",
                "name=\"until\" value=\"2024-11-01T00:00:00.000000Z\"",
                "/held/discard?reports=00000000-0000-0000-0000-000000000001",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
            assert!(!html.contains("<img"), "{html}");
            let none = HeldPage {
                rows: Vec::new(),
                next: None,
                ..list
            };
            assert!(none.render().unwrap().contains(ui.t.none_held));
        }
    }

    #[test]
    fn both_questions_name_the_reports_that_they_show() {
        let id = Uuid::from_u128(7);
        for ui in readers() {
            for (decision, intro) in [
                (Decision::Release, ui.t.release_intro),
                (Decision::Discard, ui.t.discard_intro),
            ] {
                let reports = vec![report(1), report(2)];
                let asked = decision_page(&ui, ATTACK, ATTACK, decision, id, reports);
                let html = asked.render().unwrap();
                assert!(!html.contains("<img"), "{html}");
                for shown in [
                    intro,
                    ui.t.cannot_undo,
                    &ui.count(&ui.t.decide_count, &2),
                    "value=\"00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002\"",
                ] {
                    assert!(html.contains(shown), "{shown} in {html}");
                }
            }
        }
    }
}
