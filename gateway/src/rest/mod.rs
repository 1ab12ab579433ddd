//! REST: the specification's JSON, and Better Auth's.
//!
//! This table is the whole of it: which path is which function, and what lets a caller in.
//!
//! | path | who |
//! |---|---|
//! | `/api/usage-report` | instances, by their token |
//! | `/api/webhooks/stripe` | Stripe, by its signature |
//! | `/api/auth/…` | anybody; changes by Better Auth's origin rule |
//! | `/api/admin/…` | admins, by their session's cookie, changes by the origin rule too; or by the session's token, or an API key, as a bearer token |
//! | `/api/openapi.json` | anybody |

mod admin;
pub(crate) mod answer;
mod audit_events;
pub(crate) mod auth;
mod json;
pub(crate) mod openapi;
mod organizations;
pub(crate) mod query;
mod usage_report;
mod webhooks;

use axum::{Router, middleware::map_response, response::Response};
use http::{HeaderValue, header::CACHE_CONTROL};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::web::Web;

/// All of REST.
pub(crate) fn routes(web: Web) -> Router {
    let (router, _document) = table().split_for_parts();
    router.with_state(web)
}

/// Every route, each with what the document says of it: a route that is not documented cannot be
/// written here. Those of admins are made from the contract, but for two that the specification gave.
fn table() -> OpenApiRouter<Web> {
    let mut admin = OpenApiRouter::new()
        .routes(routes!(organizations::list))
        .routes(routes!(organizations::link));
    for (method, route) in admin::routes() {
        admin = admin.routes(match method.name() {
            audit_events::METHOD => audit_events::with_csv(method, route),
            _ => route,
        });
    }
    let admin = admin.layer(map_response(keep_nothing));
    OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(usage_report::report))
        .routes(routes!(webhooks::receive))
        .routes(routes!(openapi::serve))
        .merge(admin)
        .merge(auth::routes())
}

/// What only admins may see stays in no cache on its way.
async fn keep_nothing(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
