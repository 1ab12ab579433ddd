//! `billing.admin.v1` for admins, over gRPC and gRPC-Web, with reflection and health.
//!
//! Reflection and health need no session: they tell nothing but what this repository does.

mod admin_service;
mod admission;
mod in_process;

use axum::response::Response;
use billing_kit::{
    Fault,
    health::{self, Health},
    server::reflection,
};
use billing_proto::admin::v1::admin_service_server::{AdminServiceServer, SERVICE_NAME};
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{app::App, rest::answer::panic_fault};

use admin_service::AdminHandlers;
use admission::Admission;

pub(crate) use in_process::{AdminClient, DynamicClient, answered, client};

/// `billing.admin.v1.AdminService`, which only admins reach.
pub(crate) type AdminService = Admission<AdminServiceServer<AdminHandlers>>;

/// The largest request, in bytes: the same as a REST body.
const REQUEST_BYTES_MAX: usize = crate::web::BODY_BYTES_MAX;
/// The names under which health is told: the server's own is empty.
pub(crate) const HEALTH_NAMES: [&str; 2] = ["", SERVICE_NAME];

/// All of gRPC, and what its health is told by.
///
/// # Errors
/// The descriptors for reflection cannot be read.
pub(crate) async fn routes(app: App, ready: &Health) -> Result<(Routes, HealthReporter), Fault> {
    let (reporter, health) = health::reporter().await;
    let status = if ready.is_ready() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, status).await;
    }
    let router = reflection(&[SERVICE_NAME])?
        .add_service(health)
        .add_service(admin_service(app))
        .into_axum_router()
        .layer(CatchPanicLayer::custom(panicked));
    Ok((Routes::from(router), reporter))
}

fn admin_service(app: App) -> AdminService {
    let service = AdminServiceServer::new(AdminHandlers::new(app.clone()));
    Admission::new(service.max_decoding_message_size(REQUEST_BYTES_MAX), app)
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let response: http::Response<axum::body::Body> =
        panic_fault(panic.as_ref()).into_status().into_http();
    response
}
