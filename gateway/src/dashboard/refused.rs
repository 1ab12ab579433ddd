//! `/refused`: the reports that Stripe refused, each with its reason; one is sent again from here or from
//! its organization's page.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    body::Body,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use billing_proto::common::v1::{
    DeliveryState, ListRefusedReportsRequest, ListRefusedReportsResponse, RefusedReport,
    RetryReportRequest,
};
use http::{HeaderMap, StatusCode};

use super::{
    form,
    page::{PageError, local_address, page},
    ui::{Frame, Moment, Section, Ui},
    webhooks::said,
};
use crate::{
    domain::{organization_filter::PAGE_SIZE_DEFAULT, words::filled},
    grpc::answered,
    rest::query::{Query, next_page, with_query},
    web::Web,
};

/// Where the page is.
pub(super) const PATH: &str = "/refused";
/// Where one is sent again.
pub(super) const RETRY: &str = "/refused/{id}/retry";
/// The form's field of the page that it is on.
const BACK: &str = "back";
/// What the address says that became of it.
const RETRIED: &str = "retried";
const SETTLED: &str = "settled";

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    ui: Frame<'a>,
    notice: Option<&'static str>,
    rows: Vec<Row>,
    /// The page's own address, to which a form comes back.
    back: String,
    next: Option<String>,
}

struct Row {
    id: String,
    organization_id: String,
    name: String,
    reported_at: Moment,
    users: String,
    /// What Stripe said, and its code.
    reason: String,
}

fn row(ui: &Ui, refused: RefusedReport) -> Row {
    let RefusedReport {
        report,
        organization_id,
        organization_name,
    } = refused;
    let report = report.unwrap_or_default();
    let reason = said(&report.error_code, &report.error_message);
    Row {
        id: report.id,
        name: filled(organization_name).unwrap_or_else(|| organization_id.clone()),
        organization_id,
        reported_at: ui.promised_minute(report.report_time),
        users: ui.number(&report.user_count),
        reason: reason.unwrap_or_else(|| ui.t.nothing.to_owned()),
    }
}

/// The list, of all organizations.
pub(super) async fn refused(
    State(web): State<Web>,
    Extension(ui): Extension<Arc<Ui>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let request = ListRefusedReportsRequest {
        page_size: PAGE_SIZE_DEFAULT,
        page_token: cursor.clone(),
    };
    let ListRefusedReportsResponse {
        reports,
        next_page_token,
    } = answered(
        web.admin_client()
            .list_refused_reports(admin.asks(request))
            .await,
    )?;
    let shown = RefusedPage {
        ui: ui.frame(&admin.email, Section::Held),
        notice: query.get("notice").and_then(|word| notice(&ui, word)),
        rows: reports.into_iter().map(|it| row(&ui, it)).collect(),
        back: with_query(PATH, &[("cursor", &cursor)]),
        next: next_page(PATH, &next_page_token),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// What became of a report that was to be sent again.
pub(super) fn notice(ui: &Ui, word: &str) -> Option<&'static str> {
    match word {
        RETRIED => Some(ui.t.notice_report_retried),
        SETTLED => Some(ui.t.notice_report_settled),
        _ => None,
    }
}

/// Sends a report once more, and goes back to the page that the form was on.
pub(super) async fn retry(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PageError> {
    let admin = web.admin_for_change(&headers).await?;
    let form = form::read(&web, &headers, body).await?;
    let request = RetryReportRequest { report_id: id };
    let retried = answered(web.admin_client().retry_report(admin.asks(request)).await)?;
    let notice = match retried.report.unwrap_or_default().delivery_state() {
        DeliveryState::Queued | DeliveryState::Sent => RETRIED,
        DeliveryState::Unspecified
        | DeliveryState::Waiting
        | DeliveryState::Superseded
        | DeliveryState::Refused
        | DeliveryState::NotBilled
        | DeliveryState::TooLate
        | DeliveryState::Held
        | DeliveryState::MissedInvoice => SETTLED,
    };
    let back = form.get(BACK).and_then(local_address).unwrap_or(PATH);
    let mark = if back.contains('?') { '&' } else { '?' };
    Ok(Redirect::to(&format!("{back}{mark}notice={notice}")).into_response())
}

#[cfg(test)]
mod tests {
    use billing_proto::common::v1::RecordedReport;
    use uuid::Uuid;

    use super::*;
    use crate::dashboard::{
        row::tests::{ATTACK, at},
        ui::tests::readers,
    };

    #[test]
    fn each_report_has_stripes_reason_in_both_languages() {
        for ui in readers() {
            let refused = RefusedReport {
                organization_id: Uuid::from_u128(7).to_string(),
                organization_name: ATTACK.to_owned(),
                report: Some(RecordedReport {
                    id: Uuid::from_u128(1).to_string(),
                    user_count: 5_200,
                    report_time: at(1_730_419_200),
                    error_code: "no_meter".to_owned(),
                    error_message: ATTACK.to_owned(),
                    ..RecordedReport::default()
                }),
            };
            let shown = RefusedPage {
                ui: ui.frame("a@b.de", Section::Held),
                notice: Some(ui.t.notice_report_retried),
                rows: vec![row(&ui, refused)],
                back: "/refused?cursor=\"b".to_owned(),
                next: Some("/refused?cursor=a".to_owned()),
            };
            let html = shown.render().unwrap();
            assert!(!html.contains("<img"), "{html}");
            for part in [
                &format!(">{}<", ui.number(&5_200)),
                "(no_meter)",
                "/organizations/00000000-0000-0000-0000-000000000007",
                ui.t.refused_intro,
                ui.t.notice_report_retried,
                "action=\"/refused/00000000-0000-0000-0000-000000000001/retry\"",
                "value=\"/refused?cursor=&#34;b\"",
            ] {
                assert!(html.contains(part), "{part} in {html}");
            }
            let none = RefusedPage {
                rows: Vec::new(),
                ..shown
            };
            assert!(none.render().unwrap().contains(ui.t.none_refused));
        }
    }
}
