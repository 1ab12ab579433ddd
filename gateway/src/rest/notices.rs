//! `/api/admin/notices`: what the operator's own channel was not told.

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use billing_kit::Fault;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{ApiError, json},
    openapi::{self, words},
    query::Query,
};
use crate::{
    app::NoticePage,
    domain::{
        notice::{Notice, notice_state_word, parse_notice_state},
        organization_filter::parse_limit,
        time_text,
    },
    upstream::rename_field,
    web::Web,
};

/// A notice that is not sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Notice)]
struct NoticeJson {
    /// As the receiver gets it.
    id: Uuid,
    /// What it tells of, for example `report.held`.
    r#type: String,
    #[schema(format = DateTime)]
    occurred_at: String,
    #[schema(schema_with = words::notice_states)]
    state: &'static str,
    attempt_count: i32,
    /// Null once it was given up.
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    /// When it was given up.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Why the latest attempt failed.
    error_message: Option<String>,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl TryFrom<Notice> for NoticeJson {
    type Error = Fault;

    fn try_from(notice: Notice) -> Result<Self, Fault> {
        let Notice {
            id,
            kind,
            occurred_at,
            state,
            attempt_count,
            next_attempt_at,
            ended_at,
            error_message,
            data,
        } = notice;
        Ok(Self {
            id,
            r#type: kind,
            occurred_at: time_text::short(occurred_at),
            state: notice_state_word(state),
            attempt_count,
            next_attempt_at: next_attempt_at.map(time_text::short),
            ended_at: ended_at.map(time_text::short),
            error_message,
            data: RawValue::from_string(data).map_err(Fault::internal)?,
        })
    }
}

/// A page of notices, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Notices)]
pub(super) struct ListAnswer {
    notices: Vec<NoticeJson>,
    next_cursor: Option<String>,
}

/// Lists what the operator's own channel was not told yet, or not at all; the latest first.
#[utoipa::path(
    get,
    path = "/api/admin/notices",
    operation_id = "listNotices",
    tag = openapi::ADMINS,
    params(
        ("state" = Option<String>, Query, description = "`queued` or `given_up`."),
        ("limit" = Option<i32>, Query, description = "Rows of a page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, description = "A page of notices.", body = ListAnswer)),
)]
pub(super) async fn list(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admin = web.admin(&headers).await?;
    let query = Query::read(query.as_deref());
    let mut violations = Vec::new();
    let state = parse_notice_state(query.get("state").unwrap_or_default(), &mut violations);
    let page_size = parse_limit(query.get("limit"), &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid(violations).into());
    }
    let cursor = query.get("cursor").unwrap_or_default().to_owned();
    let NoticePage {
        notices,
        next_page_token,
    } = web
        .app()
        .list_notices(&admin, state, page_size, cursor)
        .await
        .map_err(|fault| rename_field(fault, "page_token", "cursor"))?;
    let notices = notices.into_iter().map(NoticeJson::try_from);
    let answer = ListAnswer {
        notices: notices.collect::<Result<_, _>>()?,
        next_cursor: next_page_token,
    };
    Ok(json(StatusCode::OK, &answer))
}
