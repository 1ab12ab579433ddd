//! Faults as REST answers: one shape, and one match from reason to HTTP status.

use axum::response::{IntoResponse, Response};
use billing_kit::{Fault, context::RequestContext};
use billing_proto::common::v1::ErrorReason;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::words;

/// `Retry-After` is spread over so many seconds, so that those who were turned away together do not
/// come back together.
const RETRY_SPREAD_SECONDS: u64 = 5;

/// A fault on its way to a REST caller.
#[derive(Debug)]
pub(crate) struct ApiError {
    fault: Fault,
    status: StatusCode,
}

/// An error, in the one shape of ours.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorAnswer)]
pub(super) struct Body<'a> {
    /// Always false.
    success: bool,
    error: Error<'a>,
}

/// Why a request failed.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorDetail)]
struct Error<'a> {
    /// For programs; docs/ERRORS.md explains each.
    #[schema(schema_with = words::error_codes)]
    code: &'a str,
    /// For people.
    message: &'a str,
    /// Every field at fault.
    fields: Vec<Field<'a>>,
    /// The way from this answer to the log.
    request_id: &'a str,
}

/// A field that is missing or wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldViolation)]
struct Field<'a> {
    /// The field, as the caller wrote it.
    field: &'a str,
    /// What is wrong with it.
    message: &'a str,
}

/// What an answer told, for a face that shows it otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Why.
    pub reason: ErrorReason,
    /// As what.
    pub status: StatusCode,
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = status_of(fault.reason);
        Self { fault, status }
    }
}

impl ApiError {
    /// Fields of a body that are at fault, with a status of its own where that is given.
    #[must_use]
    pub(super) fn with_invalid_status(self, status: Option<StatusCode>) -> Self {
        match status {
            Some(status) if self.fault.reason == ErrorReason::InvalidArgument => {
                self.with_status(status)
            }
            _ => self,
        }
    }

    /// The same with another status, where a path has its own.
    #[must_use]
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { fault, status } = self;
        fault.log();
        let request_id = RequestContext::current().request_id;
        let fields = fault.violations.iter().map(|violation| Field {
            field: &violation.field,
            message: &violation.message,
        });
        let body = Body {
            success: false,
            error: Error {
                code: &code_of(fault.reason),
                message: &fault.message,
                fields: fields.collect(),
                request_id: &request_id,
            },
        };
        let mut response = json(status, &body);
        add_headers(response.headers_mut(), &fault, status, &request_id);
        let reason = fault.reason;
        response.extensions_mut().insert(Told { reason, status });
        response
    }
}

fn add_headers(headers: &mut HeaderMap, fault: &Fault, status: StatusCode, request_id: &str) {
    if let Some(seconds) = retry_after_seconds(fault, request_id) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"billing\""),
        );
    }
}

/// The code of a reason: its name in the contract, in lower case.
pub(crate) fn code_of(reason: ErrorReason) -> String {
    let name = reason.as_str_name();
    name.trim_start_matches("ERROR_REASON_")
        .to_ascii_lowercase()
}

/// The HTTP status of each reason.
pub(crate) fn status_of(reason: ErrorReason) -> StatusCode {
    match reason {
        ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid => StatusCode::BAD_REQUEST,
        ErrorReason::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorReason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorReason::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorReason::PermissionDenied
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::OriginNotTrusted => StatusCode::FORBIDDEN,
        ErrorReason::OrganizationNotFound
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::NotFound => StatusCode::NOT_FOUND,
        ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict => StatusCode::CONFLICT,
        ErrorReason::StripeRefused | ErrorReason::PriceNotFound => StatusCode::UNPROCESSABLE_ENTITY,
        // A part that hangs is as far away as one that is gone: the same request may come again.
        ErrorReason::Unavailable | ErrorReason::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
        ErrorReason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorReason::Unspecified | ErrorReason::CallerNotAdmitted | ErrorReason::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// When the same request may be sent again, in whole seconds: what is known, or a second, spread a
/// little. The request's id is random, and spreads as well as any other number.
pub(crate) fn retry_after_seconds(fault: &Fault, request_id: &str) -> Option<u64> {
    let may_come_again = match fault.reason {
        ErrorReason::Unavailable | ErrorReason::DeadlineExceeded | ErrorReason::RateLimited => true,
        ErrorReason::Unspecified
        | ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::Unauthenticated
        | ErrorReason::PermissionDenied
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::OriginNotTrusted
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::OrganizationNotFound
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::NotFound
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::Internal => false,
    };
    let sum: u64 = request_id.bytes().map(u64::from).sum();
    let spread = 1 + sum % RETRY_SPREAD_SECONDS;
    let known = fault.retry_after.map_or(0, |delay| delay.as_secs());
    may_come_again.then(|| {
        if known > RETRY_SPREAD_SECONDS {
            known + spread
        } else {
            spread
        }
    })
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(text) => {
            let mut response = (status, text).into_response();
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            response
        }
        Err(error) => {
            Fault::internal(error).log();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The answer to a path that there is none of.
pub(crate) async fn not_found() -> ApiError {
    Fault::new(ErrorReason::NotFound, "There is no such path.").into()
}

/// The answer to a method that the path has not.
pub(crate) async fn method_not_allowed() -> ApiError {
    ApiError::from(Fault::new(
        ErrorReason::NotFound,
        "This path has no such method.",
    ))
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// The answer where a handler panicked.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::from(panic_fault(panic.as_ref())).into_response()
}

/// A panic as a fault, with its text for the log.
pub(crate) fn panic_fault(panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    Fault::internal(format!("panic: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_panic_is_answered_in_the_same_shape_and_keeps_its_text() {
        let context = RequestContext::fresh();
        let request_id = context.request_id.clone();
        let response = context
            .scope(async { panicked(Box::new("index 7 of secret_table")) })
            .await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            format!(
                r#"{{"success":false,"error":{{"code":"internal","message":"Something is wrong on our side.","fields":[],"request_id":"{request_id}"}}}}"#
            )
        );
    }

    #[test]
    fn to_come_again_is_only_said_where_it_helps() {
        let mut busy = Fault::new(ErrorReason::RateLimited, "Too many.");
        busy.retry_after = Some(std::time::Duration::from_secs(30));
        let wait = retry_after_seconds(&busy, "r1").unwrap();
        assert!((31..=35).contains(&wait), "{wait}");
        for id in ["a", "b", "c", "d", "e"] {
            let wait = retry_after_seconds(&Fault::unavailable("Away."), id).unwrap();
            assert!((1..=5).contains(&wait), "{wait}");
        }
        let ours = Fault::internal("a bug");
        assert_eq!(retry_after_seconds(&ours, "r1"), None);
    }
}
