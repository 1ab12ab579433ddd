//! `/docs`: the document of REST as a page for people.
//!
//! It is rendered once, by the server, from the document itself. It loads nothing but its own style
//! sheet and runs nothing, so it works under the strictest policy and without JavaScript.

mod model;

use std::sync::LazyLock;

use askama::Template;
use axum::{
    Router,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use billing_kit::Fault;
use http::{HeaderName, StatusCode, header};

use crate::rest::openapi::document;
use model::Reference;

const STYLE: &str = include_str!("../../assets/reference.css");
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);
const NO_SNIFFING: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
const CACHE: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

/// The page and its style sheet.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/docs", get(page))
        .route("/docs/style.css", get(style))
}

#[derive(Template)]
#[template(path = "reference.html")]
struct Page {
    reference: Reference,
}

fn render() -> Result<String, Fault> {
    let document = serde_json::to_value(document()).map_err(Fault::internal)?;
    let reference = Reference::of(&document);
    Page { reference }.render().map_err(Fault::internal)
}

async fn page() -> Response {
    static PAGE: LazyLock<Result<String, Fault>> = LazyLock::new(render);
    match &*PAGE {
        Ok(html) => ([POLICY, NO_SNIFFING, CACHE], Html(html.as_str())).into_response(),
        Err(fault) => {
            fault.log();
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn style() -> Response {
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    ([kind, NO_SNIFFING, CACHE], STYLE).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_operation_and_loads_nothing_from_elsewhere() {
        let html = render().unwrap();
        let mut document = document().clone();
        for (path, item) in &mut document.paths.paths {
            for (_, operation) in crate::rest::openapi::operations(item) {
                let id = operation.operation_id.clone().unwrap();
                assert!(html.contains(&format!("id=\"{id}\"")), "{path} {id}");
            }
        }
        for foreign in ["<script", "src=", "style=\"", "href=\"http", "@import"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        // The specification's own sample, ready to be run.
        assert!(html.contains("curl -X POST"));
        assert!(html.contains("acme.vaultai.eu"));
        assert!(html.contains("Retry-After"));
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let html = render().unwrap();
        for part in html.split("href=\"#").skip(1) {
            let target = part.split('"').next().unwrap();
            assert!(html.contains(&format!("id=\"{target}\"")), "{target}");
        }
    }
}
