//! `/api/admin/reconciliation`.

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
    openapi::{self, words},
    query::Query,
};
use crate::{
    app::FindingsPage,
    domain::{
        fields::{self, Fields},
        organization_filter::{parse_flag, parse_limit},
        reconciliation::{Dismissal, Finding, Reconciliation},
        time_text,
    },
    upstream::rename_field,
    web::{Web, read_body},
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

/// Where Stripe's books differ from ours.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
struct FindingJson {
    id: Uuid,
    organization_id: Uuid,
    /// What differs: a UTC day in the meter, a UTC day that came too late for its invoice, or a
    /// period on an invoice.
    #[schema(schema_with = words::finding_kinds)]
    kind: &'static str,
    /// A UTC day; of an invoice the one that its period begins on.
    #[schema(format = Date)]
    day: String,
    #[schema(format = DateTime)]
    period_start: String,
    #[schema(format = DateTime)]
    period_end: String,
    stripe_invoice_id: Option<String>,
    /// Seats that our books say, of a period seat-days.
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
    dismissal: Option<DismissalJson>,
}

/// That an admin has seen a finding and leaves it as it is, until its numbers change.
#[derive(Serialize, ToSchema)]
#[schema(as = Dismissal)]
struct DismissalJson {
    #[schema(format = DateTime)]
    at: String,
    /// The admin's e-mail address.
    by: String,
    reason: String,
}

impl From<Dismissal> for DismissalJson {
    fn from(dismissal: Dismissal) -> Self {
        let Dismissal { at, by, reason } = dismissal;
        Self {
            at: time_text::short(at),
            by,
            reason,
        }
    }
}

impl From<Finding> for FindingJson {
    fn from(finding: Finding) -> Self {
        let Finding {
            id,
            organization_id,
            kind,
            day_start,
            period_start,
            period_end,
            stripe_invoice_id,
            expected,
            found,
            resend_count,
            first_seen_at,
            last_seen_at,
            resolved_at,
            dismissal,
        } = finding;
        Self {
            id,
            organization_id,
            kind: kind.word(),
            day: time_text::day(day_start),
            period_start: time_text::short(period_start),
            period_end: time_text::short(period_end),
            stripe_invoice_id,
            expected,
            found,
            resend_count,
            first_seen_at: time_text::short(first_seen_at),
            last_seen_at: time_text::short(last_seen_at),
            resolved_at: resolved_at.map(time_text::short),
            dismissal: dismissal.map(Into::into),
        }
    }
}

/// Tells how the last 35 days' usage compares with Stripe's meter and invoices, with the findings.
#[utoipa::path(
    get,
    path = "/api/admin/reconciliation",
    operation_id = "getReconciliation",
    tag = openapi::ADMINS,
    params(
        ("resolved" = Option<bool>, Query, description = "Whether resolved and dismissed findings are listed too."),
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
    let include_resolved = parse_flag(query.get("resolved"), "resolved", &mut violations);
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

/// Why a finding is left as it is.
#[derive(ToSchema)]
#[schema(as = FindingDismissal)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct DismissBody {
    /// For those who come later.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A finding that is marked as seen.
#[derive(Serialize, ToSchema)]
#[schema(as = FindingDismissed)]
pub(super) struct DismissedAnswer {
    success: bool,
    finding: FindingJson,
}

/// Marks a finding as seen: it is open no more until its numbers change.
#[utoipa::path(
    post,
    path = "/api/admin/reconciliation/findings/{id}/dismiss",
    operation_id = "dismissFinding",
    tag = openapi::ADMINS,
    params(("id" = Uuid, Path, description = "The finding.")),
    request_body(content = DismissBody, example = json!({"reason": "Credited by hand."})),
    responses((status = 200, description = "It is marked.", body = DismissedAnswer)),
)]
pub(super) async fn dismiss(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    const REASON: &str = "reason";
    let admin = web.admin_for_change(&headers).await?;
    let body = fields::object(&read_body(body).await?)?;
    let mut fields = Fields::of(&body);
    let reason = fields.text(REASON).unwrap_or_default().to_owned();
    let violations = fields.finish();
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let finding = web.app().dismiss_finding(&admin, id, reason).await;
    let finding = finding.map_err(|fault| rename_field(fault, "finding_id", "id"))?;
    Ok(json(
        StatusCode::OK,
        &DismissedAnswer {
            success: true,
            finding: finding.into(),
        },
    ))
}
