//! `POST /api/auth/sign-out`.

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{
    answer::{AuthError, set_cookies},
    body,
};
use crate::{
    rest::answer::json,
    web::{Web, cookie_jar, origin_facts},
};

#[derive(Serialize)]
struct Answer {
    success: bool,
}

pub(super) async fn sign_out(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AuthError> {
    let _nothing_is_asked_for = body::read(&headers, body).await?;
    web.trusted_origins()
        .check_change(&origin_facts(&headers))?;
    let jar = cookie_jar(&headers);
    if let Some(token) = web.cookies().session_token(&jar) {
        web.app().sign_out(&token).await?;
    }
    let mut response = json(StatusCode::OK, &Answer { success: true });
    set_cookies(response.headers_mut(), web.cookies().end_session(&jar));
    Ok(response)
}
