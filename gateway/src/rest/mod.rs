//! REST: the specification's JSON, and Better Auth's.
//!
//! This table is the whole of it: which path is which function, and what lets a caller in.
//!
//! | path | who |
//! |---|---|
//! | `/api/usage-report` | instances, by their token |
//! | `/api/webhooks/stripe` | Stripe, by its signature |
//! | `/api/auth/…` | anybody; changes by Better Auth's origin rule |
//! | `/api/admin/…` | admins, by their session's cookie; changes by the origin rule too |

pub(crate) mod answer;
pub(crate) mod auth;
mod json;
mod organizations;
pub(crate) mod query;
mod reconciliation;
mod usage_report;
mod webhooks;

use axum::{
    Router,
    middleware::map_response,
    response::Response,
    routing::{get, patch, post},
};
use http::{HeaderValue, header::CACHE_CONTROL};

use crate::web::Web;

/// All of REST.
pub(crate) fn routes(web: Web) -> Router {
    let admin = Router::new()
        .route("/", get(organizations::list))
        .route("/{id}", get(organizations::get))
        .route("/{id}/usage", get(organizations::usage))
        .route("/{id}/link", post(organizations::link))
        .route("/{id}/unlink", post(organizations::unlink))
        .route("/{id}/subscription", patch(organizations::update))
        .route("/{id}/cancel", post(organizations::cancel))
        .layer(map_response(keep_nothing));
    let reconciliation = get(reconciliation::reconciliation).layer(map_response(keep_nothing));
    let webhook_events = Router::new()
        .route("/", get(webhooks::list))
        .route("/{id}/retry", post(webhooks::retry))
        .layer(map_response(keep_nothing));
    let meter_errors = get(webhooks::meter_errors).layer(map_response(keep_nothing));
    Router::new()
        .route("/api/usage-report", post(usage_report::report))
        .nest("/api/admin/organizations", admin)
        .route("/api/admin/reconciliation", reconciliation)
        .route("/api/webhooks/stripe", post(webhooks::receive))
        .nest("/api/admin/webhook-events", webhook_events)
        .route("/api/admin/meter-errors", meter_errors)
        .merge(auth::routes())
        .with_state(web)
}

/// What only admins may see stays in no cache on its way.
async fn keep_nothing(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
