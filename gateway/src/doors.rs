//! The one way in: what is gRPC goes to the admin service, everything else to REST and the pages.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
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
    accept::ConnectionInfo,
    health::Health,
    server::{ContextLayer, EndingBody, WithContext, is_endless},
};
use billing_proto::common::v1::ErrorReason;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::App,
    dashboard, grpc,
    headers::EveryAnswer,
    in_flight::{Client, FIELDS_MAX, InFlight, Leaving, Ticket},
    reference,
    rest::{self, answer::ApiError},
    web::Web,
};

/// How long a gRPC call may take to be answered, its message's arrival included: longer than the
/// longest method, a link. Streams, once they have begun, are not bound by it.
const GRPC_ANSWER_MAX: Duration = Duration::from_secs(30);

/// Of a body that the answer did not wait for, so many bytes are read for so long, so that an HTTP/1.1
/// connection can be used again. Where more would come, the answer says that the connection closes.
const REST_BYTES_MAX: usize = 64 * 1024;
const REST_TIMEOUT: Duration = Duration::from_millis(500);

/// Every request comes in here. A clone is the same door.
pub(crate) type Doors = WithContext<Inside>;

/// What stands behind the request's context.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    http: Router,
    grpc: GrpcWebService<Routes>,
    in_flight: InFlight,
    health: Health,
    stop: CancellationToken,
    headers: EveryAnswer,
}

/// Opens the doors.
///
/// # Errors
/// The descriptors for reflection cannot be read.
pub(crate) async fn open(
    web: Web,
    app: App,
    health: &Health,
    stop: CancellationToken,
    headers: EveryAnswer,
) -> Result<(Doors, HealthReporter), Fault> {
    let http = Router::new()
        .merge(rest::routes(web.clone()))
        .merge(dashboard::routes(web.clone()))
        .merge(reference::routes())
        .merge(health.http_routes())
        .fallback(rest::answer::not_found)
        .method_not_allowed_fallback(rest::answer::method_not_allowed)
        .layer(CatchPanicLayer::custom(rest::answer::panicked))
        .layer(from_fn_with_state(web, dashboard::show_faults));
    let (routes, watched) = grpc::routes(app, health).await?;
    let inside = Inside {
        http,
        grpc: GrpcWebLayer::new().layer(routes),
        in_flight: InFlight::new(),
        health: health.clone(),
        stop,
        headers,
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
        let headers = self.headers;
        Box::pin(async move {
            let mut answer = inside.answer(request.map(Body::new)).await;
            headers.add(answer.headers_mut());
            Ok(answer)
        })
    }
}

impl Inside {
    async fn answer(self, mut request: Request<Body>) -> Response {
        name_the_host(&mut request);
        let facts = Facts::of(&request);
        let (response, rest) = if is_health(request.uri().path()) {
            // However much is under way: whoever asks for health is not one of those who are limited.
            (self.http.clone().oneshot(request).await, None)
        } else {
            self.within_limits(request, &facts).await
        };
        let mut response = response.unwrap_or_else(|never| match never {});
        if facts.is_http1 {
            self.settle_connection(&mut response, rest, &facts).await;
        }
        response
    }

    /// The answer, and what nobody read of the body.
    async fn within_limits(
        &self,
        mut request: Request<Body>,
        facts: &Facts,
    ) -> (Result<Response, Infallible>, Option<Body>) {
        let ticket = match self.admit(&request, facts) {
            Ok(ticket) => ticket,
            Err(refused) => return (Ok(*refused), Some(request.into_body())),
        };
        request = request.map(|body| ticket.follow(body));
        let answer = tokio::select! {
            biased;
            fault = ticket.turned_away() => Ok(facts.refuse(fault)),
            answer = self.work(request, facts) => answer,
        };
        let rest = ticket.answered();
        let answer = answer.map(|answer| {
            answer.map(|body| {
                Body::new(Leaving {
                    body,
                    _ticket: ticket,
                })
            })
        });
        (answer, rest)
    }

    fn admit(&self, request: &Request<Body>, facts: &Facts) -> Result<Arc<Ticket>, Box<Response>> {
        if !is_text(request.uri().path()) {
            let message = "The path, percent-decoded, is no UTF-8 text.";
            let fault = Fault::new(ErrorReason::InvalidArgument, message);
            return Err(Box::new(facts.refuse(fault)));
        }
        if request.headers().len() > FIELDS_MAX {
            let fault = Fault::new(
                ErrorReason::InvalidArgument,
                format!("The request has more than {FIELDS_MAX} header fields."),
            );
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Box::new(
                ApiError::from(fault).with_status(status).into_response(),
            ));
        }
        let client = request.extensions().get::<Client>().copied();
        let client = client.unwrap_or(Client::Many(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let admitted = self.in_flight.admit(client, request.headers());
        admitted.map_err(|fault| Box::new(facts.refuse(fault)))
    }

    async fn work(&self, request: Request<Body>, facts: &Facts) -> Result<Response, Infallible> {
        if !facts.is_grpc {
            return self.http.clone().oneshot(request).await;
        }
        let request = if is_endless(request.uri().path()) {
            request.map(|body| Body::new(EndingBody::new(body, self.stop.clone())))
        } else {
            request
        };
        // A message whose rest never comes would hold its place for ever.
        let answer = self.grpc.clone().oneshot(request);
        let answer = tokio::time::timeout(GRPC_ANSWER_MAX, answer).await;
        answer.map_or_else(
            |_elapsed| Ok(too_slow().into_status().into_http()),
            |answered| answered.map(IntoResponse::into_response),
        )
    }

    /// Makes sure that an HTTP/1.1 client can send its next request over this connection, or knows that
    /// it cannot.
    async fn settle_connection(&self, response: &mut Response, rest: Option<Body>, facts: &Facts) {
        let is_read = match rest {
            // The client waits to be told to send its body, and is not told.
            Some(_) if facts.expects_continue => false,
            Some(rest) => tokio::time::timeout(REST_TIMEOUT, is_read(rest))
                .await
                .unwrap_or(false),
            None => true,
        };
        if !is_read && let Some(connection) = &facts.connection {
            connection.linger();
        }
        if !is_read || self.health.is_draining() {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// What the answer hangs on when the request is gone.
struct Facts {
    is_grpc: bool,
    is_http1: bool,
    expects_continue: bool,
    connection: Option<ConnectionInfo>,
}

impl Facts {
    fn of(request: &Request<Body>) -> Self {
        Self {
            is_grpc: is_grpc(request.headers()),
            is_http1: request.version() <= Version::HTTP_11,
            expects_continue: request.headers().contains_key(header::EXPECT),
            connection: request.extensions().get().cloned(),
        }
    }

    /// A refusal in the caller's own form.
    fn refuse(&self, fault: Fault) -> Response {
        if self.is_grpc {
            fault.into_status().into_http()
        } else {
            ApiError::from(fault).into_response()
        }
    }
}

/// Reads the rest of a body, unless there is too much of it.
async fn is_read(mut rest: Body) -> bool {
    let mut bytes = 0;
    loop {
        let expected = http_body::Body::size_hint(&rest).lower();
        let is_too_much =
            usize::try_from(expected).map_or(true, |left| bytes + left > REST_BYTES_MAX);
        if is_too_much || bytes > REST_BYTES_MAX {
            return false;
        }
        match rest.frame().await {
            None => return true,
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => return false,
        }
    }
}

fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

fn too_slow() -> Fault {
    Fault::new(
        ErrorReason::DeadlineExceeded,
        "The call was not answered in time.",
    )
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
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
    use super::*;

    #[tokio::test]
    async fn whoever_comes_when_all_are_busy_is_told_so_in_their_own_form() {
        let busy = Inside {
            http: Router::new(),
            grpc: GrpcWebLayer::new().layer(Routes::default()),
            in_flight: InFlight::with_permits(0),
            health: Health::always_ready(),
            stop: CancellationToken::new(),
            headers: EveryAnswer { is_https: false },
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
