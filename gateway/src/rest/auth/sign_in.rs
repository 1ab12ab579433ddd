//! `POST /api/auth/sign-in/email`.

use axum::{Extension, body::Body, extract::State, response::Response};
use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    answer::{AuthError, UserJson, set_cookies},
    body::{self, Kinds},
};
use crate::{
    app::{Credentials, SignedIn},
    domain::sign_in_body::SignInBody,
    rest::{answer::json, openapi},
    web::{Peer, Web, origin_facts},
};

/// What a user signs in with.
#[derive(ToSchema)]
#[schema(as = SignIn, rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "it describes the body, which is read field by field"
)]
pub(super) struct SignIn {
    #[schema(format = Email)]
    email: String,
    password: String,
    /// Whether the session lasts seven days instead of one.
    remember_me: Option<bool>,
    /// Where to go on; of a trusted origin.
    #[schema(rename = "callbackURL")]
    callback_url: Option<String>,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(super) struct Answer<'a> {
    redirect: bool,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    user: UserJson,
}

/// Signs a user in, and sets the session's cookie.
#[utoipa::path(
    post,
    path = "/api/auth/sign-in/email",
    operation_id = "signIn",
    tag = openapi::BETTER_AUTH,
    request_body(
        content((SignIn = "application/json"), (SignIn = "application/x-www-form-urlencoded")),
        description = "JSON or a form.",
    ),
    responses(
        (status = 200, description = "The user is signed in; `token` is the session's.", body = Answer<'static>,
            headers(("Set-Cookie" = String, description = "The session's cookie."))),
        (status = 401, description = "The address or the password is wrong.", body = openapi::AuthErrorAnswer,
            example = json!({"message": "Invalid email or password", "code": "INVALID_EMAIL_OR_PASSWORD"})),
        (status = 429, description = "The address or the account was tried too often.", body = openapi::AuthErrorAnswer,
            headers(("X-Retry-After" = u64, description = "Seconds until the next attempt."), ("Retry-After" = u64, description = "The same.")),
            example = json!({"message": "Too many requests. Please try again later."})),
    ),
)]
pub(super) async fn sign_in(
    State(web): State<Web>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AuthError> {
    let body = body::read(&headers, body, Kinds::JsonAndForm).await?;
    web.trusted_origins()
        .check_sign_in(&origin_facts(&headers))?;
    check_callback(&web, body.as_ref())?;
    let SignInBody {
        email,
        password,
        remember,
        callback_url,
    } = SignInBody::read(body.as_ref())?;
    let credentials = Credentials {
        email,
        password,
        remember,
        client: web.client(peer, &headers),
    };
    let signed_in = web.app().sign_in(credentials).await.map_err(refusal)?;
    Ok(answer(&web, &headers, signed_in, remember, callback_url))
}

fn answer(
    web: &Web,
    headers: &HeaderMap,
    signed_in: SignedIn,
    remember: bool,
    callback_url: Option<String>,
) -> Response {
    let SignedIn {
        session,
        user,
        device_token,
    } = signed_in;
    let body = Answer {
        redirect: callback_url.is_some(),
        token: session.token.expose(),
        url: callback_url.as_deref(),
        user: user.into(),
    };
    let mut response = json(StatusCode::OK, &body);
    let location = callback_url.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(location)) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    let cookies = web.start_session(&session.token, remember, &device_token, headers);
    set_cookies(response.headers_mut(), cookies);
    response
}

/// Where to go on is looked at before the rest of the body, with the origin.
fn check_callback(web: &Web, body: Option<&Value>) -> Result<(), AuthError> {
    let callback = body.and_then(|body| body.get("callbackURL")?.as_str());
    if callback.is_none_or(|url| url.is_empty() || web.trusted_origins().trusts_callback(url)) {
        return Ok(());
    }
    Err(AuthError::new(
        StatusCode::FORBIDDEN,
        "Invalid callbackURL",
        "INVALID_CALLBACK_URL",
    ))
}

fn refusal(fault: Fault) -> AuthError {
    let (status, message, code) = match fault.reason {
        ErrorReason::Unauthenticated => (
            StatusCode::UNAUTHORIZED,
            "Invalid email or password",
            "INVALID_EMAIL_OR_PASSWORD",
        ),
        ErrorReason::UserBanned => (
            StatusCode::FORBIDDEN,
            "You have been banned from this application. Please contact support if you believe this is an error.",
            "BANNED_USER",
        ),
        // Better Auth would ask for the second factor; here there is nothing that could check it.
        ErrorReason::SecondFactorNeeded => (
            StatusCode::FORBIDDEN,
            &*fault.message,
            "TWO_FACTOR_REQUIRED",
        ),
        ErrorReason::Unspecified
        | ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::PermissionDenied
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::OriginNotTrusted
        | ErrorReason::OrganizationNotFound
        | ErrorReason::NotFound
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::Unavailable
        | ErrorReason::DeadlineExceeded
        | ErrorReason::RateLimited
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::Internal => return fault.into(),
    };
    AuthError::new(status, message, code)
}
