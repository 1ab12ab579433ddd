//! The server stack of a gRPC service.

use std::{collections::BTreeSet, net::SocketAddr, pin::Pin, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{body::Body, service::Routes, transport::Server};
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::{
    accept::{Acceptor, ConnectionInfo, Limits},
    access::{AccessLayer, AccessTable},
    context::{REQUEST_ID, RequestContext},
    fault::Fault,
    health::{self, Health},
    metrics,
    tls::TlsFiles,
};

/// How many requests of one connection are worked on at once; more wait in the connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_000;
/// The callers are services of ours, each with a few connections.
const CONNECTIONS_MAX: usize = 4_096;
const CONNECTIONS_PER_CLIENT_MAX: usize = 512;
/// The TLS handshake, HTTP/2's preface and a first request have come within this time.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// No call takes longer, whatever its caller allows; streams are not bound by it.
const REQUEST_DURATION_MAX: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Where a gRPC service listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address.
    pub addr: SocketAddr,
    /// Its certificate; without it, plaintext for this machine only.
    pub tls: Option<TlsFiles>,
}

/// Reflection for these services of ours, as grpcurl and `buf curl` ask for it (v1). It knows their
/// files and what these import, and nothing of services that are not here.
///
/// # Errors
/// The descriptors cannot be read.
pub fn reflection(services: &[&str]) -> Result<Routes, Fault> {
    let all = FileDescriptorSet::decode(billing_proto::DESCRIPTOR_SET).map_err(Fault::internal)?;
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_file_descriptor_set(files_of(services, all))
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    for service in services.iter().chain(&["grpc.health.v1.Health"]) {
        builder = builder.with_service_name(*service);
    }
    Ok(Routes::new(builder.build_v1().map_err(Fault::internal)?))
}

/// The files that define these services, with all that they import.
fn files_of(services: &[&str], all: FileDescriptorSet) -> FileDescriptorSet {
    let defines = |file: &FileDescriptorProto| {
        let mut names = file
            .service
            .iter()
            .map(|s| format!("{}.{}", file.package(), s.name()));
        names.any(|name| services.contains(&name.as_str()))
    };
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<&FileDescriptorProto> = all.file.iter().filter(|f| defines(f)).collect();
    while let Some(file) = open.pop() {
        if wanted.insert(file.name().to_owned()) {
            let imported = |other: &&FileDescriptorProto| {
                file.dependency.iter().any(|name| name == other.name())
            };
            open.extend(all.file.iter().filter(imported));
        }
    }
    let file = all
        .file
        .into_iter()
        .filter(|file| wanted.contains(file.name()));
    FileDescriptorSet {
        file: file.collect(),
    }
}

/// Serves `routes`, and gRPC's health, until `stop`; then lets the requests in flight end, and those of
/// connections that have just been made.
///
/// # Errors
/// The certificates cannot be used.
pub async fn serve(
    listener: TcpListener,
    tls: Option<&TlsFiles>,
    routes: Routes,
    access: AccessTable,
    health: Health,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let stopping = stop.clone();
    let layers = ServiceBuilder::new()
        .map_request(move |request| arrived(request, &stopping))
        // Outside of the rest, so that every line that is logged below, and every answer, has the
        // request's id.
        .layer(ContextLayer::between_services())
        // A panic becomes an answer here, where the line that is logged of it still has that id.
        .layer(CatchPanicLayer::custom(panicked))
        // Browsers' gRPC-Web becomes gRPC before anybody looks at the call.
        .layer(GrpcWebLayer::new())
        // Last: who calls is asked before anything of the body is read.
        .layer(AccessLayer::new(access));
    let mut server = Server::builder()
        // gRPC-Web from browsers and scripts may come over HTTP/1.1.
        .accept_http1(true)
        .timeout(REQUEST_DURATION_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .layer(layers);
    if let Some(files) = tls {
        server = server.tls_config(files.server())?;
    }
    let (reporter, grpc_health) = health::reporter().await;
    let routes = routes.add_service(grpc_health);
    let limits = Limits::new(
        CONNECTIONS_MAX,
        CONNECTIONS_PER_CLIENT_MAX,
        FIRST_REQUEST_TIMEOUT,
    );
    let acceptor = Acceptor::new("gRPC", listener, limits);
    let incoming = acceptor.into_incoming(stop.clone());
    // The shutdown begins when there are no more connections to come, and not before.
    let serving = server
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, std::future::pending());
    tokio::select! {
        served = serving => served,
        never = health.report(reporter, &[""], stop) => match never {},
    }
}

/// A request has come over its connection, and ends with the process if it could last for ever.
fn arrived(request: Request<Body>, stop: &CancellationToken) -> Request<Body> {
    if let Some(info) = request.extensions().get::<ConnectionInfo>() {
        info.request_came();
    }
    if is_endless(request.uri().path()) {
        let stop = stop.clone();
        return request.map(|body| Body::new(EndingBody::new(body, stop)));
    }
    request
}

/// Whether a call lasts until its caller ends it: reflection, which answers what the caller sends.
pub fn is_endless(path: &str) -> bool {
    path.starts_with("/grpc.reflection.")
}

/// A request's body that ends when the process stops: a caller that keeps a stream open and asks
/// nothing does not hold up the drain.
#[derive(Debug)]
pub struct EndingBody<B> {
    body: B,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<B> EndingBody<B> {
    /// Ends `body` at `stop`.
    pub fn new(body: B, stop: CancellationToken) -> Self {
        Self {
            body,
            stop: Box::pin(stop.cancelled_owned()),
        }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for EndingBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        if self.stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    Fault::internal(format!("panic: {text}"))
        .into_status()
        .into_http()
}

/// Reads the request's context, keeps it for the length of the call and gives the id back.
#[derive(Debug, Clone, Copy)]
pub struct ContextLayer {
    is_public: bool,
}

impl ContextLayer {
    /// For callers of ours, whose request goes on here under its id.
    pub fn between_services() -> Self {
        Self { is_public: false }
    }

    /// For everybody: the id that a caller sends is logged once, beside our own.
    pub fn public() -> Self {
        Self { is_public: true }
    }
}

impl<S> Layer<S> for ContextLayer {
    type Service = WithContext<S>;

    fn layer(&self, next: S) -> Self::Service {
        WithContext {
            next,
            is_public: self.is_public,
        }
    }
}

/// See [`ContextLayer`].
#[derive(Debug, Clone)]
pub struct WithContext<S> {
    next: S,
    is_public: bool,
}

impl<S, B, R> Service<Request<B>> for WithContext<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let headers = request.headers();
        let (context, caller_request_id) = if self.is_public {
            let caller = RequestContext::caller_request_id(headers);
            (RequestContext::from_public_headers(headers), caller)
        } else {
            (RequestContext::from_headers(headers), None)
        };
        let span = tracing::info_span!(
            "request",
            path = %request.uri().path(),
            request_id = %context.request_id,
            trace_id = %context.trace_id,
            caller_request_id,
        );
        let request_id = context.request_id.clone();
        let answer = span.in_scope(|| self.next.call(request));
        Box::pin(
            async move {
                let mut response = context.scope(answer).await?;
                metrics::count_request(response.status(), response.headers());
                give_back(response.headers_mut(), &request_id);
                Ok(response)
            }
            .instrument(span),
        )
    }
}

fn give_back(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_knows_a_service_with_its_imports_and_no_other() {
        let all = FileDescriptorSet::decode(billing_proto::DESCRIPTOR_SET).unwrap();
        let files = files_of(&["billing.admin.v1.AdminService"], all);
        let names: Vec<_> = files.file.iter().map(FileDescriptorProto::name).collect();
        for known in [
            "billing/admin/v1/admin_service.proto",
            "billing/common/v1/terms.proto",
            "google/protobuf/timestamp.proto",
        ] {
            assert!(names.contains(&known), "{names:?}");
        }
        let ours =
            |name: &&str| name.starts_with("billing/org/") || name.starts_with("billing/stripe/");
        assert!(!names.iter().any(ours), "{names:?}");
    }
}
