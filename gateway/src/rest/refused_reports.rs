//! `/api/admin/refused-reports`, and one of them sent once more.

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    json::UsageReportJson,
    openapi,
    query::page_asked,
};
use crate::{
    app::RefusedReportPage, domain::usage_report::RefusedReport, upstream::rename_field, web::Web,
};

/// A report that Stripe refused, and whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedReport)]
struct RefusedReportJson {
    organization_id: Uuid,
    /// What the organization is called; null if not known.
    organization_name: Option<String>,
    /// The report, with Stripe's reason.
    report: UsageReportJson,
}

impl From<RefusedReport> for RefusedReportJson {
    fn from(refused: RefusedReport) -> Self {
        let RefusedReport {
            organization_id,
            organization_name,
            report,
        } = refused;
        Self {
            organization_id,
            organization_name,
            report: report.into(),
        }
    }
}

/// A page of refused reports, by organization, the earliest of each first.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedReports)]
pub(super) struct ListAnswer {
    reports: Vec<RefusedReportJson>,
    next_cursor: Option<String>,
}

/// Lists the reports that Stripe refused, each with its reason.
#[utoipa::path(
    get,
    path = "/api/admin/refused-reports",
    operation_id = "listRefusedReports",
    tag = openapi::ADMINS,
    params(
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of them.", body = ListAnswer)),
)]
pub(super) async fn list(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let (page_size, cursor) = page_asked(query.as_deref())?;
    let RefusedReportPage {
        reports,
        next_page_token,
    } = web
        .app()
        .list_refused_reports(&admin, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    let answer = ListAnswer {
        reports: reports.into_iter().map(Into::into).collect(),
        next_cursor: next_page_token,
    };
    Ok(json(StatusCode::OK, &answer))
}

/// A refused report as it is now.
#[derive(Serialize, ToSchema)]
#[schema(as = RetriedReport)]
pub(super) struct RetriedAnswer {
    success: bool,
    message: &'static str,
    report: UsageReportJson,
}

/// Sends a report that Stripe refused once more, once what it named is mended.
///
/// Under the same identifier, so that it counts once. Where it is not to be sent any more it comes to the
/// state that says why: `superseded` by a later report of its day, `too_late`, `missed_invoice` or
/// `not_billed`. Idempotent: one that is queued or settled stays as it is.
#[utoipa::path(
    post,
    path = "/api/admin/refused-reports/{id}/retry",
    operation_id = "retryReport",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The report.")),
    responses(
        (status = 200, description = "It is queued, or settled.", body = RetriedAnswer),
        (status = 404, description = "There is no such report.", body = openapi::ErrorAnswer),
        (status = 409, description = "It was not refused, or its organization is not billed as it was.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn retry(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let report = web
        .app()
        .retry_report(&admin, id)
        .await
        .map_err(|fault| rename_field(fault, "report_id", "id"))?;
    let message = if report.delivery.is_under_way() {
        "Report queued again"
    } else {
        "Report not to be sent any more"
    };
    let answer = RetriedAnswer {
        success: true,
        message,
        report: report.into(),
    };
    Ok(json(StatusCode::OK, &answer))
}
