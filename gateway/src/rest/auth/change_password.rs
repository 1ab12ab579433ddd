//! `POST /api/auth/change-password`.

use axum::{Extension, body::Body, extract::State, response::Response};
use billing_kit::Fault;
use billing_proto::{common::v1::ErrorReason, org::v1::PasswordRefusal};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{AuthError, UserJson, set_cookies},
    body::{self, Kinds},
};
use crate::{
    app::{NewPassword, PasswordChange},
    domain::change_password_body::ChangePasswordBody,
    rest::{answer::json, openapi},
    web::{Peer, Web, cookie_jar, origin_facts},
};

/// The password as it is and as it shall be.
#[derive(ToSchema)]
#[schema(as = ChangePassword, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct ChangePassword {
    current_password: String,
    /// 8 to 128 characters.
    new_password: String,
    /// Whether every session of the user ends; then a new one begins.
    revoke_other_sessions: Option<bool>,
}

/// A password that was changed.
#[derive(Serialize, ToSchema)]
#[schema(as = PasswordChanged)]
pub(super) struct Answer<'a> {
    token: Option<&'a str>,
    user: UserJson,
}

/// Changes the password of the user who is signed in.
#[utoipa::path(
    post,
    path = "/api/auth/change-password",
    operation_id = "changePassword",
    tag = openapi::BETTER_AUTH,
    request_body = ChangePassword,
    responses(
        (status = 200, description = "It is changed; `token` is the new session's, where the others ended.", body = Answer<'static>,
            headers(("Set-Cookie" = String, description = "The new session's cookie."))),
        (status = 401, description = "There is no session.", body = openapi::AuthErrorAnswer,
            example = json!({"message": "Unauthorized", "code": "UNAUTHORIZED"})),
    ),
)]
pub(super) async fn change_password(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AuthError> {
    let body = body::read(&headers, body, Kinds::Json).await?;
    web.trusted_origins()
        .check_change(&origin_facts(&headers))?;
    let ChangePasswordBody {
        current,
        new,
        revoke_other_sessions,
    } = ChangePasswordBody::read(body.as_ref())?;
    let jar = cookie_jar(&headers);
    let token = web.session_token(&headers).await.map_err(no_session)?;
    let asked = NewPassword {
        current,
        new,
        revoke_other_sessions,
        client: web.client(peer, &headers),
    };
    let changed = web.app().change_password(&token, asked).await;
    let PasswordChange {
        user,
        session,
        device_token,
    } = changed.map_err(no_session)?.map_err(refused)?;
    let body = Answer {
        token: session.as_ref().map(|session| session.token.expose()),
        user: user.into(),
    };
    let mut response = json(StatusCode::OK, &body);
    let cookies = match &session {
        Some(session) => {
            let remember = !web.cookies().dont_remember(&jar);
            web.start_session(&session.token, remember, &device_token, &headers)
        }
        None => Vec::from_iter(web.remember_device(&device_token, &headers)),
    };
    set_cookies(response.headers_mut(), cookies);
    Ok(response)
}

fn no_session(fault: Fault) -> AuthError {
    if fault.reason == ErrorReason::Unauthenticated {
        AuthError::new(StatusCode::UNAUTHORIZED, "Unauthorized", "UNAUTHORIZED")
    } else {
        fault.into()
    }
}

fn refused(refusal: PasswordRefusal) -> AuthError {
    let (message, code) = match refusal {
        PasswordRefusal::TooShort => ("Password too short", "PASSWORD_TOO_SHORT"),
        PasswordRefusal::TooLong => ("Password too long", "PASSWORD_TOO_LONG"),
        PasswordRefusal::NoneSet => (
            "Credential account not found",
            "CREDENTIAL_ACCOUNT_NOT_FOUND",
        ),
        PasswordRefusal::CurrentWrong | PasswordRefusal::Unspecified => {
            ("Invalid password", "INVALID_PASSWORD")
        }
    };
    AuthError::new(StatusCode::BAD_REQUEST, message, code)
}
