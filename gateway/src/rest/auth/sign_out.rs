//! `POST /api/auth/sign-out`.

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{AuthError, set_cookies},
    body::{self, Kinds},
};
use crate::{
    rest::{answer::json, openapi},
    web::{Web, cookie_jar, origin_facts},
};

/// A session that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedOut)]
pub(super) struct Answer {
    success: bool,
}

/// Ends the session of the cookie; one that is not there is fine.
#[utoipa::path(
    post,
    path = "/api/auth/sign-out",
    operation_id = "signOut",
    tag = openapi::BETTER_AUTH,
    responses((status = 200, description = "There is no session any more.", body = Answer,
        headers(("Set-Cookie" = String, description = "The cookies, cleared.")))),
)]
pub(super) async fn sign_out(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AuthError> {
    let _nothing_is_asked_for = body::read(&headers, body, Kinds::Json).await?;
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
