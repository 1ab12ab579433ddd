//! Better Auth's endpoints, in its own formats: its clients and its cookies go on working.
//!
//! Architecture invariant: nothing here uses our own error shape. What Better Auth would not say is
//! still said in its form: a message and a code.

mod answer;
mod body;
mod get_session;
mod sign_in;
mod sign_out;

use axum::{
    Json, Router,
    response::IntoResponse,
    routing::{get, post},
};
use http::StatusCode;
use serde::Serialize;

use crate::web::Web;

pub(crate) use answer::set_cookies;

#[derive(Serialize)]
struct Ok {
    ok: bool,
}

pub(super) fn routes() -> Router<Web> {
    // Paths and methods that there are none of get Better Auth's answer: nothing.
    let nothing = async || StatusCode::NOT_FOUND;
    Router::new()
        .route(
            "/api/auth/sign-in/email",
            post(sign_in::sign_in).fallback(nothing),
        )
        .route(
            "/api/auth/sign-out",
            post(sign_out::sign_out).fallback(nothing),
        )
        .route(
            "/api/auth/get-session",
            get(get_session::get_session)
                .post(get_session::no_post)
                .fallback(nothing),
        )
        .route(
            "/api/auth/ok",
            get(async || Json(Ok { ok: true }).into_response()).fallback(nothing),
        )
        .route("/api/auth", axum::routing::any(nothing))
        .route("/api/auth/", axum::routing::any(nothing))
        .route("/api/auth/{*rest}", axum::routing::any(nothing))
}
