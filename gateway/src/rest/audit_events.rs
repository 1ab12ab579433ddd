//! `/api/admin/audit-events`, as JSON and as CSV.

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use billing_kit::{Fault, Violation};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi,
    query::{Query, with_query},
};
use crate::{
    app::{Admin, AuditPage},
    domain::{
        audit_event::{AuditEvent, AuditFilter},
        csv::CsvRow,
        organization_filter::{PAGE_SIZE_MAX, parse_limit},
        time_text,
    },
    upstream::rename_field,
    web::Web,
};

pub(super) const PATH: &str = "/api/admin/audit-events";
/// The most rows of one export: who wants more follows its `Link`.
const EXPORT_ROWS_MAX: usize = 10_000;
const CSV: &str = "text/csv";
const COLUMNS: [&str; 11] = [
    "occurred_at",
    "action",
    "organization_id",
    "admin_user_id",
    "admin_email",
    "api_key_id",
    "client_address",
    "request_id",
    "before",
    "after",
    "id",
];

/// A change: never altered, never deleted. Attempts at passwords that failed are one event for each
/// hour, account and network, with their number so far in `after`; they are deleted after 90 days.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
struct EventJson {
    id: Uuid,
    #[schema(format = DateTime)]
    occurred_at: String,
    /// What was done, for example `organization.linked`.
    action: String,
    organization_id: Option<String>,
    /// The admin who did it, or at whose password an attempt failed; null where Stripe told us, or
    /// where no account has the address that was tried.
    admin_user_id: Option<String>,
    /// That admin's address now.
    admin_email: Option<String>,
    /// The API key that it was done with.
    api_key_id: Option<String>,
    /// Where the request came from.
    client_address: Option<String>,
    request_id: Option<String>,
    /// As it was.
    #[schema(value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// As it is since.
    #[schema(value_type = Option<Object>)]
    after: Option<Box<RawValue>>,
}

impl TryFrom<AuditEvent> for EventJson {
    type Error = Fault;

    fn try_from(event: AuditEvent) -> Result<Self, Fault> {
        let AuditEvent {
            id,
            occurred_at,
            action,
            organization_id,
            admin_user_id,
            admin_email,
            api_key_id,
            client_address,
            request_id,
            before,
            after,
        } = event;
        let object = |text: Option<String>| {
            let object = text.map(RawValue::from_string).transpose();
            object.map_err(Fault::internal)
        };
        Ok(Self {
            id,
            occurred_at: time_text::short(occurred_at),
            action,
            organization_id,
            admin_user_id,
            admin_email,
            api_key_id,
            client_address,
            request_id,
            before: object(before)?,
            after: object(after)?,
        })
    }
}

/// A page of changes, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvents)]
pub(super) struct ListAnswer {
    events: Vec<EventJson>,
    next_cursor: Option<String>,
}

/// Lists who changed what, when, from where; the latest first.
///
/// As CSV with `format=csv` or `Accept: text/csv`: up to 10,000 rows, with a `Link` to the next.
#[utoipa::path(
    get,
    path = "/api/admin/audit-events",
    operation_id = "listAuditEvents",
    tag = openapi::ADMINS,
    params(
        ("organization_id" = Option<Uuid>, Query, description = "Picks the changes of this organization."),
        ("actor" = Option<String>, Query, description = "Picks those of this admin: a user id or an e-mail address."),
        ("action" = Option<String>, Query, description = "Picks this action."),
        ("since" = Option<String>, Query, format = DateTime, description = "Picks those from this moment on."),
        ("until" = Option<String>, Query, format = DateTime, description = "Picks those before this moment."),
        ("format" = Option<String>, Query, description = "`json` or `csv`."),
        ("limit" = Option<i32>, Query, description = "Rows of a page; an export has its own.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of changes, or the table.",
        content((ListAnswer = "application/json"), (String = "text/csv")),
        headers(("Link" = Option<String>, description = "Of an export with more rows behind it: where they are.")))),
)]
pub(super) async fn list(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let (filter, page_size, wants_csv) = read(&query, &headers)?;
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    if wants_csv {
        return export(&web, &admin, &query, filter, cursor).await;
    }
    let AuditPage {
        events,
        next_page_token,
    } = page(&web, &admin, filter, page_size, cursor).await?;
    let events = events.into_iter().map(EventJson::try_from);
    let answer = ListAnswer {
        events: events.collect::<Result<_, _>>()?,
        next_cursor: next_page_token,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn read(query: &Query, headers: &HeaderMap) -> Result<(AuditFilter, i32, bool), Fault> {
    let mut violations = Vec::new();
    let text = |name| query.get(name).unwrap_or_default().to_owned();
    let page_size = parse_limit(query.get("limit"), &mut violations);
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let wants_csv = match query.get("format").unwrap_or_default() {
        "" => accept.is_some_and(|accept| accept.trim_start().starts_with(CSV)),
        "csv" => true,
        "json" => false,
        _ => {
            violations.push(Violation::new("format", "It must be json or csv."));
            false
        }
    };
    let filter = AuditFilter {
        organization_id: text("organization_id"),
        actor: text("actor"),
        action: text("action"),
        since: time(query, "since", &mut violations),
        until: time(query, "until", &mut violations),
    };
    if violations.is_empty() {
        Ok((filter, page_size, wants_csv))
    } else {
        Err(Fault::invalid(violations))
    }
}

fn time(query: &Query, name: &str, violations: &mut Vec<Violation>) -> Option<DateTime<Utc>> {
    let text = query.get(name).filter(|text| !text.is_empty())?;
    // A plus that nobody escaped is a blank by now.
    let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    let time = time.map_err(|_| {
        let problem = "It must be a time with its offset, for example 2024-11-03T03:00:00Z.";
        violations.push(Violation::new(name, problem));
    });
    time.ok().map(|time| time.to_utc())
}

async fn page(
    web: &Web,
    admin: &Admin,
    filter: AuditFilter,
    page_size: i32,
    cursor: String,
) -> Result<AuditPage, Fault> {
    let page = web
        .app()
        .list_audit_events(admin, filter, page_size, cursor);
    page.await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))
        .map_err(|fault| rename_field(fault, "since_time", "since"))
        .map_err(|fault| rename_field(fault, "until_time", "until"))
}

/// The table, page by page, up to its most rows.
async fn export(
    web: &Web,
    admin: &Admin,
    query: &Query,
    filter: AuditFilter,
    mut cursor: String,
) -> Result<Response, ApiError> {
    let mut text = row(COLUMNS);
    let mut rows = 0;
    loop {
        let page = page(web, admin, filter.clone(), PAGE_SIZE_MAX, cursor).await?;
        rows += page.events.len();
        text.extend(page.events.iter().map(csv_row));
        cursor = page.next_page_token.unwrap_or_default();
        if cursor.is_empty() || rows >= EXPORT_ROWS_MAX {
            break;
        }
    }
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"audit-events.csv\""),
    );
    if !cursor.is_empty() {
        let names = ["organization_id", "actor", "action", "since", "until"];
        let mut pairs: Vec<_> = names
            .iter()
            .map(|name| (*name, query.get(name).unwrap_or_default()))
            .collect();
        pairs.extend([("format", "csv"), ("cursor", cursor.as_str())]);
        let link = format!("<{}>; rel=\"next\"", with_query(PATH, &pairs));
        headers.insert(
            header::LINK,
            HeaderValue::try_from(link).map_err(Fault::internal)?,
        );
    }
    Ok(response)
}

fn csv_row(event: &AuditEvent) -> String {
    let AuditEvent {
        id,
        occurred_at,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before,
        after,
    } = event;
    let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
    let cells = [
        time_text::short(*occurred_at),
        action.clone(),
        text(organization_id),
        text(admin_user_id),
        text(admin_email),
        text(api_key_id),
        text(client_address),
        text(request_id),
        text(before),
        text(after),
        id.to_string(),
    ];
    row(cells.iter().map(String::as_str))
}

fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut row = CsvRow::divided_by(',');
    for cell in cells {
        row.cell(cell);
    }
    row.finish()
}
