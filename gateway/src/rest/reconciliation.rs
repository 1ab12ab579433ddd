//! `/api/admin/reconciliation`.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::{Fault, Violation};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi,
    query::Query,
};
use crate::{
    app::FindingsPage,
    domain::{
        organization_filter::parse_limit,
        reconciliation::{Finding, Reconciliation},
        time_text,
    },
    upstream::rename_field,
    web::Web,
};

/// How reconciliation stands, and a page of its findings.
#[derive(Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub(super) struct ReconciliationAnswer {
    #[schema(format = DateTime)]
    last_full_pass_at: Option<String>,
    /// Organizations that the last full pass could not compare.
    skipped_count: i32,
    #[schema(format = DateTime)]
    pass_started_at: Option<String>,
    open_finding_count: i64,
    findings: Vec<FindingJson>,
    next_cursor: Option<String>,
}

/// A UTC day on which Stripe's meter differs from what was reported.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
struct FindingJson {
    organization_id: Uuid,
    /// A UTC day.
    #[schema(format = Date)]
    day: String,
    expected: i64,
    /// A text, because it is a decimal number of any size.
    found: String,
    resend_count: i32,
    #[schema(format = DateTime)]
    first_seen_at: String,
    #[schema(format = DateTime)]
    last_seen_at: String,
    #[schema(format = DateTime)]
    resolved_at: Option<String>,
}

impl From<Finding> for FindingJson {
    fn from(finding: Finding) -> Self {
        let Finding {
            organization_id,
            day_start,
            expected,
            found,
            resend_count,
            first_seen_at,
            last_seen_at,
            resolved_at,
        } = finding;
        Self {
            organization_id,
            day: time_text::day(day_start),
            expected,
            found,
            resend_count,
            first_seen_at: time_text::short(first_seen_at),
            last_seen_at: time_text::short(last_seen_at),
            resolved_at: resolved_at.map(time_text::short),
        }
    }
}

/// Tells how the last 35 days' usage compares with Stripe's meter, with the findings.
#[utoipa::path(
    get,
    path = "/api/admin/reconciliation",
    operation_id = "getReconciliation",
    tag = openapi::ADMINS,
    params(
        ("resolved" = Option<bool>, Query, description = "Whether resolved findings are listed too."),
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "How it stands.", body = ReconciliationAnswer)),
)]
pub(super) async fn reconciliation(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let page_size = parse_limit(query.get("limit"), &mut violations);
    let include_resolved = match query.get("resolved").unwrap_or_default() {
        "" | "false" => false,
        "true" => true,
        _ => {
            violations.push(Violation::new("resolved", "It must be true or false."));
            false
        }
    };
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let app = web.app();
    let (stands, page) = tokio::try_join!(
        app.get_reconciliation(&admin),
        app.list_findings(&admin, include_resolved, page_size, cursor)
    )
    .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    let Reconciliation {
        last_full_pass_at,
        skipped_count,
        pass_started_at,
        open_finding_count,
    } = stands;
    let FindingsPage {
        findings,
        next_page_token,
    } = page;
    Ok(json(
        StatusCode::OK,
        &ReconciliationAnswer {
            last_full_pass_at: last_full_pass_at.map(time_text::short),
            skipped_count,
            pass_started_at: pass_started_at.map(time_text::short),
            open_finding_count,
            findings: findings.into_iter().map(Into::into).collect(),
            next_cursor: next_page_token,
        },
    ))
}
