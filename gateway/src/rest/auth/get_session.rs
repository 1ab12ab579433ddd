//! `GET /api/auth/get-session`.

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use billing_kit::Fault;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{AuthError, UserJson, set_cookies};
use crate::{
    app::{CurrentSession, Session},
    domain::{session_cookie::SessionToken, time_text},
    rest::{answer::json, openapi, query::Query},
    web::{Web, cookie_jar},
};

/// A session and its user.
#[derive(Serialize, ToSchema)]
#[schema(as = CurrentSession)]
pub(super) struct Answer {
    session: SessionJson,
    user: UserJson,
}

/// A sign-in that lasts.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
struct SessionJson {
    #[schema(format = DateTime)]
    expires_at: String,
    token: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    ip_address: Option<String>,
    user_agent: Option<String>,
    user_id: String,
    id: String,
}

impl From<Session> for SessionJson {
    fn from(session: Session) -> Self {
        let Session {
            id,
            token,
            user_id,
            expires_at,
            created_at,
            updated_at,
            ip_address,
            user_agent,
        } = session;
        Self {
            expires_at: time_text::javascript(expires_at),
            token: token.expose().to_owned(),
            created_at: time_text::javascript(created_at),
            updated_at: time_text::javascript(updated_at),
            ip_address,
            user_agent,
            user_id,
            id,
        }
    }
}

/// Gets the session of the cookie and extends it when it is due; null where there is none.
#[utoipa::path(
    get,
    path = "/api/auth/get-session",
    operation_id = "getSession",
    tag = openapi::BETTER_AUTH,
    params(("disableRefresh" = Option<String>, Query, description = "Any text leaves the session's end as it is.")),
    responses((status = 200, description = "The session, or null.", body = Option<Answer>,
        headers(("Set-Cookie" = String, description = "The session's cookie, where its end moved.")))),
)]
pub(super) async fn get_session(
    State(web): State<Web>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let jar = cookie_jar(&headers);
    let cookies = web.cookies();
    let tokens = cookies.session_tokens(&jar);
    if tokens.is_empty() {
        return Ok(answer(None, Vec::new()));
    }
    // Any text that is not empty counts as true there, "false" too.
    let query = Query::read(query.as_deref());
    let asked = query
        .get("disableRefresh")
        .is_some_and(|text| !text.is_empty());
    let disable_refresh = asked || cookies.dont_remember(&jar);
    let Some((token, current)) = first_good(&web, tokens, disable_refresh).await? else {
        return Ok(answer(None, cookies.end_session(&jar)));
    };
    let CurrentSession {
        session,
        user,
        refreshed,
    } = current;
    let mut set = Vec::new();
    if refreshed {
        set.push(cookies.extend_session(&token));
    }
    // Data of a session that a caching server gave out is never believed, and cleared.
    if cookies.has_session_data(&jar) {
        set.extend(cookies.clear_session_data(&jar));
    }
    let body = Answer {
        session: session.into(),
        user: user.into(),
    };
    Ok(answer(Some(body), set))
}

/// Of several session cookies the first one that is good now.
async fn first_good(
    web: &Web,
    tokens: Vec<SessionToken>,
    disable_refresh: bool,
) -> Result<Option<(SessionToken, CurrentSession)>, Fault> {
    for token in tokens {
        if let Some(current) = web.app().get_session(&token, disable_refresh).await? {
            return Ok(Some((token, current)));
        }
    }
    Ok(None)
}

fn answer(body: Option<Answer>, cookies: Vec<String>) -> Response {
    let mut response = json(StatusCode::OK, &body);
    let headers = response.headers_mut();
    keep_nothing(headers);
    set_cookies(headers, cookies);
    response
}

fn keep_nothing(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

/// Better Auth takes a POST only where it puts refreshing off, which nothing here does.
#[utoipa::path(
    post,
    path = "/api/auth/get-session",
    operation_id = "postGetSession",
    tag = openapi::BETTER_AUTH,
    responses((status = 405, description = "There is no such method.", body = openapi::AuthErrorAnswer)),
)]
pub(super) async fn no_post() -> Response {
    let error = AuthError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "POST method requires deferSessionRefresh to be enabled in session config",
        "METHOD_NOT_ALLOWED_DEFER_SESSION_REQUIRED",
    );
    let mut response = error.into_response();
    keep_nothing(response.headers_mut());
    response
}
