//! What every page goes through: how it is shown, its headers, and faults as pages.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};
use billing_kit::{Fault, context::RequestContext};
use billing_proto::common::v1::ErrorReason;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    form::Number,
    ui::{Frame, Ui},
};
use crate::{
    rest::{
        answer::{Told, retry_after_seconds, status_of},
        query::with_query,
    },
    web::{Web, cookie_jar},
};

/// Where people sign in.
pub(super) const SIGN_IN: &str = "/sign-in";

/// What every page says of itself. Nothing runs and nothing is loaded but our own files; nobody frames
/// it; nobody keeps it. Without a referrer browsers would also hide the origin, which the origin rule
/// needs.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The paths of programs, which get JSON whatever they accept.
const PROGRAMS: &str = "/api/";

/// Shows a browser what could not be answered by any page, such as a path that there is none of, as a
/// page too. Programs are told in JSON.
pub(crate) async fn show_faults(State(web): State<Web>, request: Request, next: Next) -> Response {
    let wants_page = !request.uri().path().starts_with(PROGRAMS) && accepts_pages(&request);
    let (number, ui) = shown_to(&web, &request);
    let response = next.run(request).await;
    let Some(Told { reason, status }) = response.extensions().get().copied() else {
        return response;
    };
    if !wants_page {
        return response;
    }
    let request_id = RequestContext::current().request_id;
    let (title, text) = ui.t.fault(reason);
    let message = MessagePage {
        ui: ui.outside(),
        title,
        text,
        details: None,
        request_id: &request_id,
        offer_sign_out: false,
    };
    let mut shown = page(status, &message);
    for kept in [header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = response.headers().get(&kept) {
            shown.headers_mut().insert(kept, value.clone());
        }
    }
    finish(&mut shown, &number, &web);
    shown
}

/// Whether a browser asks for something to look at: programs accept anything, or name JSON.
fn accepts_pages(request: &Request) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/html"))
}

fn shown_to(web: &Web, request: &Request) -> (Number, Ui) {
    let number = Number::of(&cookie_jar(request.headers()), web.ids());
    let token = number.token(web, request.headers());
    let ui = Ui::of(request.headers(), request.uri(), token);
    (number, ui)
}

/// Finds out how pages are shown to whoever asks, before; shows faults that way, and adds what every
/// page has, after.
pub(super) async fn dress(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let (number, ui) = shown_to(&web, &request);
    let ui = Arc::new(ui);
    request.extensions_mut().insert(Arc::clone(&ui));
    let looks = request.method() == Method::GET;
    let mut response = next.run(request).await;
    if let Some(Failed(error)) = response.extensions_mut().remove::<Failed>() {
        response = error.page(&ui, looks);
    }
    finish(&mut response, &number, &web);
    response
}

/// Adds what every page has.
fn finish(response: &mut Response, number: &Number, web: &Web) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    let cookie = number.cookie(web);
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

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

/// Why there is no page: to the sign-in where that helps, else a page that says it.
#[derive(Debug)]
pub(super) enum PageError {
    Fault(Fault),
    /// A form without the token that a page of ours puts into it now.
    StaleForm,
}

impl From<Fault> for PageError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A fault on its way out to [`dress`], which knows how to show it.
#[derive(Debug, Clone)]
struct Failed(Arc<PageError>);

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Failed(Arc::new(self)));
        response
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    ui: Frame<'a>,
    title: &'a str,
    text: &'a str,
    /// What a service said, in English.
    details: Option<&'a str>,
    request_id: &'a str,
    offer_sign_out: bool,
}

impl PageError {
    /// The page. Whoever was only looking comes back there from the sign-in.
    fn page(&self, ui: &Ui, looks: bool) -> Response {
        let request_id = RequestContext::current().request_id;
        let nothing = MessagePage {
            ui: ui.outside(),
            title: ui.t.not_allowed,
            text: ui.t.stale_form,
            details: None,
            request_id: &request_id,
            offer_sign_out: false,
        };
        let fault = match self {
            Self::StaleForm => return page(StatusCode::FORBIDDEN, &nothing),
            Self::Fault(fault) => fault,
        };
        fault.log();
        if fault.reason == ErrorReason::Unauthenticated {
            let next = if looks { ui.return_to() } else { "/" };
            let next = if next == "/" { "" } else { next };
            return Redirect::to(&sign_in_address(next)).into_response();
        }
        let (title, text) = ui.t.fault(fault.reason);
        let shown = MessagePage {
            title,
            text,
            details: details(fault),
            offer_sign_out: fault.reason == ErrorReason::PermissionDenied,
            ..nothing
        };
        let mut response = page(status_of(fault.reason), &shown);
        if let Some(seconds) = retry_after_seconds(fault, &request_id) {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

fn sign_in_address(next: &str) -> String {
    if next.is_empty() {
        SIGN_IN.to_owned()
    } else {
        with_query(SIGN_IN, &[("next", next)])
    }
}

/// Why what a form asked for was not done: our sentence, and what a service or Stripe said.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) text: &'static str,
    pub(super) details: Option<String>,
}

impl Refusal {
    /// Of a fault, with the status that its form is answered with. What is wrong with a field stands
    /// at the field.
    pub(super) fn of(ui: &Ui, fault: &Fault) -> (StatusCode, Self) {
        if !fault.violations.is_empty() {
            let text = ui.t.form_again;
            let details = None;
            return (StatusCode::UNPROCESSABLE_ENTITY, Self { text, details });
        }
        let (_, text) = ui.t.fault(fault.reason);
        let details = details(fault).map(str::to_owned);
        (status_of(fault.reason), Self { text, details })
    }
}

/// What a service says beyond what our own sentence says already.
pub(super) fn details(fault: &Fault) -> Option<&str> {
    match fault.reason {
        ErrorReason::InvalidArgument
        | ErrorReason::MalformedBody
        | ErrorReason::UnsupportedEncoding
        | ErrorReason::BodyTooLarge
        | ErrorReason::ReportSignatureInvalid
        | ErrorReason::SignatureInvalid
        | ErrorReason::ReportConflict
        | ErrorReason::ReportNotReplaceable
        | ErrorReason::ReportNotRetryable
        | ErrorReason::LinkConflict
        | ErrorReason::StripeRefused
        | ErrorReason::PriceNotFound => Some(&fault.message),
        ErrorReason::Unspecified
        | ErrorReason::Unauthenticated
        | ErrorReason::PermissionDenied
        | ErrorReason::UserBanned
        | ErrorReason::SecondFactorNeeded
        | ErrorReason::CallerNotAdmitted
        | ErrorReason::OriginNotTrusted
        | ErrorReason::ApiKeyReadOnly
        | ErrorReason::SessionRequired
        | ErrorReason::OrganizationNotFound
        | ErrorReason::ApiKeyNotFound
        | ErrorReason::ReportNotFound
        | ErrorReason::NotFound
        | ErrorReason::Unavailable
        | ErrorReason::DeadlineExceeded
        | ErrorReason::RateLimited
        | ErrorReason::Internal => None,
    }
}

/// An address of ours to go to after a form, as the form names it: a path, and nothing that a browser
/// would take for another site.
pub(super) fn local_address(text: &str) -> Option<&str> {
    let is_local = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    is_local.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::ui::tests::readers;

    #[test]
    fn the_message_page_renders_in_both_languages() {
        for ui in readers() {
            let (title, text) = ui.t.fault(ErrorReason::StripeRefused);
            let html = MessagePage {
                ui: ui.outside(),
                title,
                text,
                details: Some("Come <again>."),
                request_id: "r1",
                offer_sign_out: true,
            }
            .render()
            .unwrap();
            for shown in [
                text,
                "Come &#60;again&#62;.",
                "action=\"/sign-out\"",
                ">r1<",
                "value=\"token&#34;\"",
            ] {
                assert!(html.contains(shown), "{shown} in {html}");
            }
            assert!(html.contains(&format!("<html lang=\"{}\"", ui.language_code())));
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        for good in ["/", "/billed?q=a%26b&sort=-name", "/organizations/1"] {
            assert_eq!(local_address(good), Some(good));
        }
        for bad in [
            "",
            "billed",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a\r\nSet-Cookie: x=y",
        ] {
            assert_eq!(local_address(bad), None, "{bad}");
        }
    }
}
