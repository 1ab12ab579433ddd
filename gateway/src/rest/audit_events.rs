//! `/api/admin/audit-events` as CSV; as JSON it is made from the contract.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use billing_kit::{Fault, Violation};
use billing_proto::common::v1::{AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse};
use http::{HeaderMap, HeaderValue, header};
use prost_reflect::DynamicMessage;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, RefOr, Required, Type,
    path::{Operation, ParameterBuilder, ParameterIn},
};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{
    admin::{self, Call},
    answer::ApiError,
    json::time,
    query::{Query, with_query},
};
use crate::{
    app::Admin,
    contract::Method,
    domain::{csv::CsvRow, organization_filter::PAGE_SIZE_MAX},
    web::Web,
};

/// The method whose answer has a second form.
pub(super) const METHOD: &str = "ListAuditEvents";
const PATH: &str = "/api/admin/audit-events";
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

/// Adds the table to the route that is made from the contract.
pub(super) fn with_csv(
    method: &'static Method,
    (schemas, mut paths, _): UtoipaMethodRouter<Web>,
) -> UtoipaMethodRouter<Web> {
    let operations = paths
        .paths
        .values_mut()
        .filter_map(|item| item.get.as_mut());
    operations.for_each(document_csv);
    (schemas, paths, get(move |call: Call| list(method, call)))
}

fn document_csv(operation: &mut Operation) {
    let format = ParameterBuilder::new()
        .name("format")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("`json` or `csv`."))
        .schema(Some(Object::with_type(Type::String)));
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(format.build().into());
    operation.description = Some(
        "As CSV with `format=csv` or `Accept: text/csv`: up to 10,000 rows, with a `Link` to the next."
            .to_owned(),
    );
    if let Some(RefOr::T(table)) = operation.responses.responses.get_mut("200") {
        let text = ContentBuilder::new().schema(Some(Object::with_type(Type::String)));
        table.content.insert(CSV.to_owned(), text.build().into());
        let link = HeaderBuilder::new()
            .schema(Some(Object::with_type(Type::String)))
            .description(Some(
                "Of an export with more rows behind it: where they are.",
            ));
        table.headers.insert("Link".to_owned(), link.build().into());
    }
}

async fn list(method: &'static Method, call: Call) -> Result<Response, ApiError> {
    let query = Query::read(call.query.0.as_deref());
    if !wants_csv(&query, &call.headers)? {
        return admin::serve(method, call).await;
    }
    let State(web) = call.web.clone();
    let admin = admin::admit(method, &web, &call.headers).await?;
    let asked = admin::read(method, call).await?;
    let asked = asked.transcode_to().map_err(Fault::internal)?;
    let (text, cursor) = table(&web, method, &admin, asked).await?;
    response(text, &cursor, &query).map_err(Into::into)
}

/// Whether the caller wants the table.
fn wants_csv(query: &Query, headers: &HeaderMap) -> Result<bool, Fault> {
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    match query.get("format").unwrap_or_default() {
        "" => Ok(accept.is_some_and(|accept| accept.trim_start().starts_with(CSV))),
        "csv" => Ok(true),
        "json" => Ok(false),
        _ => {
            let violation = Violation::new("format", "It must be json or csv.");
            Err(Fault::invalid(vec![violation]))
        }
    }
}

/// The table, page by page, up to its most rows; and where the next one begins.
async fn table(
    web: &Web,
    method: &Method,
    admin: &Admin,
    mut asked: ListAuditEventsRequest,
) -> Result<(String, String), ApiError> {
    let mut text = row(COLUMNS);
    let mut rows = 0;
    asked.page_size = PAGE_SIZE_MAX;
    loop {
        let mut message = DynamicMessage::new(method.input());
        message.transcode_from(&asked).map_err(Fault::internal)?;
        let page = web.dynamic_client().call(method, admin, message).await;
        let page = page.map_err(|fault| admin::refusal(method, fault))?;
        let page: ListAuditEventsResponse = page.transcode_to().map_err(Fault::internal)?;
        rows += page.events.len();
        text.extend(page.events.into_iter().map(csv_row));
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() || rows >= EXPORT_ROWS_MAX {
            return Ok((text, asked.page_token));
        }
    }
}

fn response(text: String, cursor: &str, query: &Query) -> Result<Response, Fault> {
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
        pairs.extend([("format", "csv"), ("cursor", cursor)]);
        let link = format!("<{}>; rel=\"next\"", with_query(PATH, &pairs));
        headers.insert(
            header::LINK,
            HeaderValue::try_from(link).map_err(Fault::internal)?,
        );
    }
    Ok(response)
}

fn csv_row(event: AuditEvent) -> String {
    let AuditEvent {
        id,
        occur_time,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
    } = event;
    let cells = [
        time(occur_time).unwrap_or_default(),
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
        id,
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
