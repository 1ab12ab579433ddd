//! `/api/admin/held-reports`, and what an admin says of an organization's.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    json::UsageReportJson,
    openapi::{self, words},
    query::{Query, organization_id},
};
use crate::{
    app::{HeldFilter, HeldReportPage},
    domain::{
        fields::{self, Fields},
        organization_filter::{parse_flag, parse_limit},
        reporting::{DecidedReports, HeldReport, HeldSelection},
        time_text,
    },
    upstream::rename_field,
    web::{Web, read_body},
};

/// A page of held reports, by organization, the earliest of each first.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldReports)]
pub(super) struct ListAnswer {
    reports: Vec<HeldReportJson>,
    next_cursor: Option<String>,
}

/// A report that is held until an admin releases or discards it.
#[derive(Serialize, ToSchema)]
#[schema(as = HeldReport)]
struct HeldReportJson {
    id: Uuid,
    organization_id: Uuid,
    organization_name: Option<String>,
    user_count: i64,
    /// The URL that it came from.
    instance_url: String,
    #[schema(format = DateTime)]
    reported_at: String,
    #[schema(format = DateTime)]
    received_at: String,
    #[schema(schema_with = words::hold_reasons)]
    reason: &'static str,
    /// The reason as a sentence.
    message: String,
    /// The baseline that its count was compared with; if its count is not the reason, the count of the
    /// latest report that counts.
    baseline_user_count: i64,
    /// The URL that it was compared with.
    baseline_instance_url: Option<String>,
    /// The last count that would not have been held, where its count is the reason.
    limit_user_count: Option<i64>,
    /// When the invoice that it belongs on becomes final. Released later it may go on no invoice.
    #[schema(format = DateTime)]
    hold_deadline: Option<String>,
}

impl From<HeldReport> for HeldReportJson {
    fn from(report: HeldReport) -> Self {
        let HeldReport {
            id,
            organization_id,
            organization_name,
            user_count,
            instance_url,
            reported_at,
            received_at,
            reason,
            message,
            baseline_user_count,
            baseline_instance_url,
            limit_user_count,
            deadline,
        } = report;
        Self {
            id,
            organization_id,
            organization_name,
            user_count,
            instance_url,
            reported_at: time_text::short(reported_at),
            received_at: time_text::short(received_at),
            reason: reason.word(),
            message,
            baseline_user_count,
            baseline_instance_url,
            limit_user_count,
            hold_deadline: deadline.map(time_text::short),
        }
    }
}

/// Lists the reports that are held.
#[utoipa::path(
    get,
    path = "/api/admin/held-reports",
    operation_id = "listHeldReports",
    tag = openapi::ADMINS,
    params(
        ("organization_id" = Option<Uuid>, Query, description = "Of this organization only."),
        ("urgent" = Option<bool>, Query, description = "Only those whose invoice is final within 24 hours, or was."),
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
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let page_size = parse_limit(query.get("limit"), &mut violations);
    let is_urgent = parse_flag(query.get("urgent"), "urgent", &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let organization = query.get("organization_id").filter(|id| !id.is_empty());
    let filter = HeldFilter {
        organization: organization.map(organization_id).transpose()?,
        is_urgent,
    };
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let HeldReportPage {
        reports,
        next_page_token,
    } = web
        .app()
        .list_held_reports(&admin, filter, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    Ok(json(
        StatusCode::OK,
        &ListAnswer {
            reports: reports.into_iter().map(Into::into).collect(),
            next_cursor: next_page_token,
        },
    ))
}

/// Which held reports: named ones, or all.
#[derive(ToSchema)]
#[schema(as = HeldReportSelection)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct SelectionBody {
    /// The reports' ids.
    report_ids: Option<Vec<Uuid>>,
    /// All that are held, the earliest 1,000 of them.
    all: Option<bool>,
}

/// The reports as they are now, the earliest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DecidedReports)]
pub(super) struct DecidedAnswer {
    success: bool,
    message: &'static str,
    reports: Vec<UsageReportJson>,
    /// How many of the organization's reports are still held.
    held_report_count: i64,
}

impl DecidedAnswer {
    fn new(message: &'static str, decided: DecidedReports) -> Self {
        let DecidedReports {
            reports,
            held_report_count,
        } = decided;
        Self {
            success: true,
            message,
            reports: reports.into_iter().map(Into::into).collect(),
            held_report_count,
        }
    }
}

/// Sends held reports, as far as the rules of delivery permit. The latest of them sets the baseline
/// until seven later days have counted.
///
/// Idempotent.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/held-reports/release",
    operation_id = "releaseReports",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    request_body(content = SelectionBody, example = json!({"all": true})),
    responses(
        (status = 200, description = "They are released.", body = DecidedAnswer),
        (status = 404, description = "There is no such organization.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn release(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let selection = selection(&read_body(body).await?)?;
    let decided = web.app().release_reports(&admin, id, selection).await?;
    let answer = DecidedAnswer::new("Held reports released", decided);
    Ok(json(StatusCode::OK, &answer))
}

/// Keeps held reports and never bills them.
///
/// Idempotent.
#[utoipa::path(
    post,
    path = "/api/admin/organizations/{id}/held-reports/discard",
    operation_id = "discardReports",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The organization.")),
    request_body(content = SelectionBody, example = json!({"all": true})),
    responses(
        (status = 200, description = "They are discarded.", body = DecidedAnswer),
        (status = 404, description = "There is no such organization.", body = openapi::ErrorAnswer),
    ),
)]
pub(super) async fn discard(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let admin = web.admin_for_change(&headers).await?;
    let id = organization_id(&id)?;
    let selection = selection(&read_body(body).await?)?;
    let decided = web.app().discard_reports(&admin, id, selection).await?;
    let answer = DecidedAnswer::new("Held reports discarded", decided);
    Ok(json(StatusCode::OK, &answer))
}

fn selection(body: &[u8]) -> Result<HeldSelection, Fault> {
    const REPORT_IDS: &str = "report_ids";
    const ALL: &str = "all";
    let body = fields::object(body)?;
    let mut fields = Fields::of(&body);
    let ids = fields.if_present(REPORT_IDS, |fields| fields.texts(REPORT_IDS));
    let all = fields
        .if_present(ALL, |fields| fields.boolean(ALL))
        .unwrap_or_default();
    let selection = match (ids, all) {
        (None, true) => Some(HeldSelection::All),
        (Some(ids), false) if !ids.is_empty() => Some(HeldSelection::Reports(ids)),
        _ => None,
    };
    let mut violations = fields.finish();
    match selection {
        Some(selection) if violations.is_empty() => Ok(selection),
        _ => {
            if violations.is_empty() {
                let problem = "Name reports, or set `all`, and not both.";
                violations.push(billing_kit::Violation::new(REPORT_IDS, problem));
            }
            Err(Fault::invalid(violations))
        }
    }
}
