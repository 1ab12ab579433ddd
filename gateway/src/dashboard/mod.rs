//! The dashboard: pages that the server renders and that need no JavaScript.
//!
//! Architecture invariant: whatever a stranger named is escaped: templates escape everything, and
//! none marks anything as safe. The pages' policy lets a browser run nothing at all, should that
//! ever fail.

mod index;
mod labels;
mod link;
mod organization;
mod page;
mod reconciliation;
mod sign_in;
mod sign_out;

use axum::{
    Router,
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, header};

use crate::web::Web;

const STYLE: &str = include_str!("../../assets/style.css");
const STYLE_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// All pages.
pub(crate) fn routes(web: Web) -> Router {
    Router::new()
        .route("/", get(index::index))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/sign-out", post(sign_out::sign_out))
        .route("/organizations/{id}", get(organization::organization))
        .route("/organizations/{id}/link", get(link::form).post(link::link))
        .route(reconciliation::PATH, get(reconciliation::reconciliation))
        .route("/assets/style.css", get(style))
        .with_state(web)
        .layer(map_response(harden))
}

async fn style() -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/css; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, STYLE_CACHE),
    ];
    (headers, STYLE).into_response()
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    // Without a referrer browsers would also hide the origin, which the origin rule needs.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
