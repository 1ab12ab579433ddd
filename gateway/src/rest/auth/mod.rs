//! Better Auth's endpoints, in its own formats: its clients and its cookies go on working.
//!
//! Architecture invariant: nothing here uses our own error shape. What Better Auth would not say is
//! still said in its form: a message and a code.

mod answer;
mod body;
mod change_password;
mod get_session;
mod sign_in;
mod sign_out;

use axum::{Json, response::IntoResponse, routing::MethodRouter};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use super::openapi;
use crate::web::Web;

pub(crate) use answer::{Body as ErrorBody, set_cookies};

/// That the endpoints are there.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthOk)]
struct Ok {
    ok: bool,
}

/// Tells that the endpoints are there.
#[utoipa::path(
    get,
    path = "/api/auth/ok",
    operation_id = "authOk",
    tag = openapi::BETTER_AUTH,
    responses((status = 200, description = "They are.", body = Ok)),
)]
async fn ok() -> impl IntoResponse {
    Json(Ok { ok: true })
}

pub(super) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::new()
        .routes(routes!(sign_in::sign_in).map(or_nothing))
        .routes(routes!(sign_out::sign_out).map(or_nothing))
        .routes(routes!(change_password::change_password).map(or_nothing))
        .routes(routes!(get_session::get_session, get_session::no_post).map(or_nothing))
        .routes(routes!(ok).map(or_nothing))
        // No endpoints: what everything else beneath gets.
        .route("/api/auth", axum::routing::any(nothing))
        .route("/api/auth/", axum::routing::any(nothing))
        .route("/api/auth/{*rest}", axum::routing::any(nothing))
}

/// Methods that there are none of get Better Auth's answer.
fn or_nothing(router: MethodRouter<Web>) -> MethodRouter<Web> {
    router.fallback(nothing)
}

async fn nothing() -> StatusCode {
    StatusCode::NOT_FOUND
}
