//! Errors and cookies as Better Auth sends them.

use axum::response::{IntoResponse, Response};
use billing_kit::{Fault, context::RequestContext};
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::User,
    domain::{origin::OriginFault, sign_in_body::AuthProblem, time_text},
    rest::answer::{code_of, json, retry_after_seconds, status_of},
};

const RETRY_AFTER: HeaderName = HeaderName::from_static("x-retry-after");

/// An error on its way to a client of Better Auth.
#[derive(Debug)]
pub(super) enum AuthError {
    /// One that Better Auth knows.
    Known(StatusCode, AuthProblem),
    /// One of ours.
    Fault(Fault),
}

impl AuthError {
    pub(super) fn new(status: StatusCode, message: &str, code: &'static str) -> Self {
        Self::Known(status, AuthProblem::new(message, code))
    }
}

impl From<AuthProblem> for AuthError {
    fn from(problem: AuthProblem) -> Self {
        Self::Known(StatusCode::BAD_REQUEST, problem)
    }
}

impl From<Fault> for AuthError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<OriginFault> for AuthError {
    fn from(fault: OriginFault) -> Self {
        let (message, code) = match fault {
            OriginFault::Invalid => ("Invalid origin", "INVALID_ORIGIN"),
            OriginFault::MissingOrNull => ("Missing or null Origin", "MISSING_OR_NULL_ORIGIN"),
            OriginFault::CrossSiteNavigation => (
                "Cross-site navigation login blocked. This request appears to be a CSRF attack.",
                "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED",
            ),
        };
        Self::new(StatusCode::FORBIDDEN, message, code)
    }
}

/// An error, as Better Auth tells it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthErrorAnswer)]
pub(crate) struct Body<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        match self {
            Self::Known(status, AuthProblem { message, code }) => {
                let code = Some(code);
                json(
                    status,
                    &Body {
                        message: &message,
                        code,
                    },
                )
            }
            Self::Fault(fault) => {
                fault.log();
                let request_id = RequestContext::current().request_id;
                let wait = retry_after_seconds(&fault, &request_id);
                if fault.reason == ErrorReason::RateLimited {
                    // To the second, as Better Auth says it: its clients count down.
                    let known = fault.retry_after.map(|delay| delay.as_secs());
                    return rate_limited(known.or(wait).map(HeaderValue::from));
                }
                let wait = wait.map(HeaderValue::from);
                let body = Body {
                    message: &fault.message,
                    code: Some(&code_of(fault.reason).to_ascii_uppercase()),
                };
                let mut response = json(status_of(fault.reason), &body);
                if let Some(wait) = wait {
                    response.headers_mut().insert(header::RETRY_AFTER, wait);
                }
                response
            }
        }
    }
}

fn rate_limited(wait: Option<HeaderValue>) -> Response {
    let body = Body {
        message: "Too many requests. Please try again later.",
        code: None,
    };
    let mut response = json(StatusCode::TOO_MANY_REQUESTS, &body);
    if let Some(wait) = wait {
        // Better Auth's own, and everybody else's.
        for name in [RETRY_AFTER, header::RETRY_AFTER] {
            response.headers_mut().insert(name, wait.clone());
        }
    }
    response
}

/// Adds `Set-Cookie` headers, in order.
pub(crate) fn set_cookies(headers: &mut HeaderMap, cookies: Vec<String>) {
    for cookie in cookies {
        match HeaderValue::try_from(cookie) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.append(header::SET_COOKIE, value);
            }
            // Values are percent-encoded and names are ours or were in a header already.
            Err(error) => Fault::internal(error).log(),
        }
    }
}

/// A user, in the order of Better Auth's fields.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserJson {
    name: String,
    email: String,
    #[serde(rename = "emailVerified")]
    email_verified: bool,
    image: Option<String>,
    #[schema(format = DateTime)]
    #[serde(rename = "createdAt")]
    created_at: String,
    #[schema(format = DateTime)]
    #[serde(rename = "updatedAt")]
    updated_at: String,
    id: String,
}

impl From<User> for UserJson {
    fn from(user: User) -> Self {
        let User {
            id,
            name,
            email,
            email_verified,
            image,
            created_at,
            updated_at,
        } = user;
        Self {
            name,
            email,
            email_verified,
            image,
            created_at: time_text::javascript(created_at),
            updated_at: time_text::javascript(updated_at),
            id,
        }
    }
}
