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

pub(crate) mod answer;
mod api_keys;
mod audit_events;
pub(crate) mod auth;
mod held_groups;
mod held_reports;
mod intake;
mod json;
mod notices;
pub(crate) mod openapi;
mod organizations;
mod pending;
pub(crate) mod query;
mod reconciliation;
mod refused_reports;
mod reporting;
mod signing_keys;
mod stripe_objects;
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
/// written here.
fn table() -> OpenApiRouter<Web> {
    let admin = OpenApiRouter::new()
        .routes(routes!(organizations::list))
        .routes(routes!(pending::groups))
        .routes(routes!(pending::ignore))
        .routes(routes!(pending::restore))
        .routes(routes!(organizations::get))
        .routes(routes!(organizations::usage))
        .routes(routes!(intake::get))
        .routes(routes!(intake::replace))
        .routes(routes!(organizations::link))
        .routes(routes!(stripe_objects::preview_link))
        .routes(routes!(stripe_objects::invoices))
        .routes(routes!(stripe_objects::portal_session))
        .routes(routes!(organizations::unlink))
        .routes(routes!(organizations::update))
        .routes(routes!(organizations::cancel))
        .routes(routes!(reconciliation::reconciliation))
        .routes(routes!(reporting::summary))
        .routes(routes!(held_reports::list))
        .routes(routes!(held_reports::release))
        .routes(routes!(held_reports::discard))
        .routes(routes!(held_groups::list))
        .routes(routes!(held_groups::decide))
        .routes(routes!(refused_reports::list))
        .routes(routes!(refused_reports::retry))
        .routes(routes!(reconciliation::dismiss))
        .routes(routes!(signing_keys::get))
        .routes(routes!(signing_keys::pin))
        .routes(routes!(signing_keys::reset))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::retry))
        .routes(routes!(webhooks::meter_errors))
        .routes(routes!(audit_events::list))
        .routes(routes!(notices::list))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
        .layer(map_response(keep_nothing));
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
