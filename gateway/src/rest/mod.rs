//! REST: the specification's JSON, and Better Auth's.
//!
//! This table is the whole of it: which path is which function, and what lets a caller in.
//!
//! | path | who |
//! |---|---|
//! | `/api/usage-report` | instances, by their token |
//! | `/api/auth/…` | anybody; changes by Better Auth's origin rule |
//! | `/api/admin/…` | admins, by their session's cookie; changes by the origin rule too |

pub(crate) mod answer;
pub(crate) mod auth;
mod json;
mod organizations;
pub(crate) mod query;
mod usage_report;

use axum::{
    Router,
    routing::{get, post},
};

use crate::web::Web;

/// All of REST.
pub(crate) fn routes(web: Web) -> Router {
    Router::new()
        .route("/api/usage-report", post(usage_report::report))
        .route("/api/admin/organizations", get(organizations::list))
        .route("/api/admin/organizations/{id}", get(organizations::get))
        .route(
            "/api/admin/organizations/{id}/usage",
            get(organizations::usage),
        )
        .route(
            "/api/admin/organizations/{id}/link",
            post(organizations::link),
        )
        .merge(auth::routes())
        .with_state(web)
}
