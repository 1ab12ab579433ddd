//! The one way in: what is gRPC goes to the admin service, everything else to REST and the pages.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use billing_kit::{
    Fault,
    health::Health,
    server::{ContextLayer, WithContext},
};
use billing_proto::common::v1::ErrorReason;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, header};
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::App,
    dashboard,
    grpc::{self, WatchedHealth},
    reference,
    rest::{self, answer::ApiError},
    web::Web,
};

/// The most requests that are worked on at once; more are turned away at once. More than may wait in
/// the queue of reports and be on their way from there, so that instances never crowd out an admin.
const IN_FLIGHT_MAX: usize = 12_000;

/// How long a gRPC call may take to be answered, its message's arrival included: longer than the
/// longest method, a link. Streams, once they have begun, are not bound by it.
const GRPC_ANSWER_MAX: Duration = Duration::from_secs(30);

/// Every request comes in here. A clone is the same door.
pub(crate) type Doors = WithContext<Inside>;

/// What stands behind the request's context.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    http: Router,
    grpc: GrpcWebService<Routes>,
    in_flight: Arc<Semaphore>,
}

/// Opens the doors.
///
/// # Errors
/// The descriptors for reflection cannot be read.
pub(crate) async fn open(
    web: Web,
    app: App,
    health: &Health,
) -> Result<(Doors, WatchedHealth), Fault> {
    let http = Router::new()
        .merge(rest::routes(web.clone()))
        .merge(dashboard::routes(web.clone()))
        .merge(reference::routes())
        .merge(health.http_routes())
        .fallback(rest::answer::not_found)
        .method_not_allowed_fallback(rest::answer::method_not_allowed)
        .layer(CatchPanicLayer::custom(rest::answer::panicked))
        .layer(from_fn_with_state(web, dashboard::show_faults));
    let (routes, watched) = grpc::routes(app).await?;
    let inside = Inside {
        http,
        grpc: GrpcWebLayer::new().layer(routes),
        in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
    };
    Ok((ContextLayer::public().layer(inside), watched))
}

impl<B> Service<Request<B>> for Inside
where
    B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Whoever comes is answered, if only with "not now".
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inside = self.clone();
        Box::pin(async move { Ok(inside.answer(request.map(Body::new)).await) })
    }
}

impl Inside {
    async fn answer(self, mut request: Request<Body>) -> Response {
        name_the_host(&mut request);
        let is_grpc = is_grpc(&request);
        if !is_text(request.uri().path()) {
            let fault = Fault::new(
                ErrorReason::InvalidArgument,
                "The path, percent-decoded, is no UTF-8 text.",
            );
            return ApiError::from(fault).into_response();
        }
        let Ok(_working) = self.in_flight.try_acquire() else {
            let fault = Fault::unavailable("There are too many requests now.");
            return if is_grpc {
                fault.into_status().into_http()
            } else {
                ApiError::from(fault).into_response()
            };
        };
        let answer = if is_grpc {
            // A message whose rest never comes would hold its place for ever.
            let answer = tokio::time::timeout(GRPC_ANSWER_MAX, self.grpc.oneshot(request)).await;
            answer.map_or_else(
                |_elapsed| Ok(too_slow().into_status().into_http()),
                |answered| answered.map(IntoResponse::into_response),
            )
        } else {
            self.http.oneshot(request).await
        };
        answer.unwrap_or_else(|never| match never {})
    }
}

fn too_slow() -> Fault {
    Fault::new(
        ErrorReason::DeadlineExceeded,
        "The call was not answered in time.",
    )
}

fn is_grpc(request: &Request<Body>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Whether a path decodes to text. One that does not names nothing, whichever page would be asked.
fn is_text(path: &str) -> bool {
    percent_decode_str(path).decode_utf8().is_ok()
}

/// HTTP/2 names the host in the request's target and HTTP/1.1 in a header: from here on it is there.
fn name_the_host(request: &mut Request<Body>) {
    if !request.headers().contains_key(header::HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_when_all_are_busy_is_told_so_in_their_own_form() {
        let busy = Inside {
            http: Router::new(),
            grpc: GrpcWebLayer::new().layer(Routes::default()),
            in_flight: Arc::new(Semaphore::new(0)),
        };
        let rest = busy.clone().answer(Request::new(Body::empty())).await;
        assert_eq!(rest.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(rest.headers().contains_key(header::RETRY_AFTER));
        let mut call = Request::new(Body::empty());
        let kind = HeaderValue::from_static("application/grpc");
        call.headers_mut().insert(header::CONTENT_TYPE, kind);
        let grpc = busy.answer(call).await;
        assert_eq!(grpc.status(), StatusCode::OK);
        assert_eq!(grpc.headers()["grpc-status"], "14");
    }
}
