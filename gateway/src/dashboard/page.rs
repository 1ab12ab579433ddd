//! Templates and faults as pages.

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use billing_kit::{Fault, context::RequestContext};
use billing_proto::common::v1::ErrorReason;
use http::{HeaderValue, StatusCode, header};

use crate::rest::answer::{retry_after_seconds, status_of};

/// Where people sign in.
pub(super) const SIGN_IN: &str = "/sign-in";

/// Renders a page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            Fault::internal(error).log();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A fault on its way to a person: to the sign-in where that helps, else a page that says it.
#[derive(Debug)]
pub(super) struct PageError(Fault);

impl From<Fault> for PageError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: &'a str,
    request_id: &'a str,
    offer_sign_out: bool,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Self(fault) = self;
        fault.log();
        if fault.reason == ErrorReason::Unauthenticated {
            return Redirect::to(SIGN_IN).into_response();
        }
        let request_id = RequestContext::current().request_id;
        let is_no_admin = fault.reason == ErrorReason::PermissionDenied;
        let message = MessagePage {
            title: title_of(fault.reason),
            message: if is_no_admin {
                "This account is not an admin of billing. Ask an admin to add it, or sign in with another."
            } else {
                &fault.message
            },
            request_id: &request_id,
            offer_sign_out: is_no_admin,
        };
        let mut response = page(status_of(fault.reason), &message);
        if let Some(seconds) = retry_after_seconds(&fault, &request_id) {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

fn title_of(reason: ErrorReason) -> &'static str {
    match reason {
        ErrorReason::OrganizationNotFound | ErrorReason::NotFound => "Not found",
        ErrorReason::PermissionDenied
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::OriginNotTrusted => "Not allowed",
        ErrorReason::Unauthenticated => "Sign in first",
        ErrorReason::Unavailable | ErrorReason::DeadlineExceeded | ErrorReason::RateLimited => {
            "Not now"
        }
        ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::BodyTooLarge
        | ErrorReason::SignatureInvalid => "That does not work",
        ErrorReason::ReportConflict
        | ErrorReason::LinkConflict
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound => "That cannot be done",
        ErrorReason::Unspecified | ErrorReason::CallerNotAdmitted | ErrorReason::Internal => {
            "Something is wrong on our side"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_page_renders() {
        let html = MessagePage {
            title: "Not now",
            message: "Come <again>.",
            request_id: "r1",
            offer_sign_out: true,
        }
        .render()
        .unwrap();
        assert!(html.contains("Come &#60;again&#62;."), "{html}");
        assert!(html.contains("action=\"/sign-out\""));
    }
}
