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
    domain::{api_key::is_api_key, session_cookie::SessionToken},
    rest::{answer::json, openapi},
    web::{Web, bearer, cookie_jar, origin_facts},
};

const NOT_A_SESSION: &str = "An API key is not a session. Revoke it to end it.";

/// A session that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedOut)]
pub(super) struct Answer {
    success: bool,
}

/// Ends the session of the cookie and that of the bearer token; one that is not there is fine.
#[utoipa::path(
    post,
    path = "/api/auth/sign-out",
    operation_id = "signOut",
    tag = openapi::BETTER_AUTH,
    responses(
        (status = 200, description = "There is no session any more.", body = Answer,
            headers(("Set-Cookie" = String, description = "The cookies, cleared."))),
        (status = 403, description = "The bearer token is an API key, which only its revocation ends.", body = openapi::AuthErrorAnswer,
            example = json!({"message": NOT_A_SESSION, "code": "SESSION_REQUIRED"})),
    ),
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
    let mut tokens = web.cookies().session_tokens(&jar);
    if let Some(token) = bearer(&headers) {
        if is_api_key(token) {
            return Err(no_session());
        }
        tokens.push(SessionToken::new(token));
    }
    for token in tokens {
        web.app().sign_out(&token).await?;
    }
    let mut response = json(StatusCode::OK, &Answer { success: true });
    set_cookies(response.headers_mut(), web.cookies().end_session(&jar));
    Ok(response)
}

/// To answer success would say that the key had ended.
fn no_session() -> AuthError {
    AuthError::new(StatusCode::FORBIDDEN, NOT_A_SESSION, "SESSION_REQUIRED")
}
