//! The client stack: a lazy channel that carries the request's context and a deadline on every call.
//!
//! Architecture invariant: a channel connects when it is first used and again whenever it must, so
//! the order in which services start does not matter.

use std::{
    error::Error,
    io,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use tonic::{
    ConnectError, Request, Status,
    body::Body,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};
use url::Url;

use crate::{
    context::{CLIENT_ADDRESS, REQUEST_ID, RequestContext, TRACEPARENT},
    tls::TlsFiles,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a request is sent that no server has begun to work on.
const SENDINGS_MAX: u32 = 3;

/// The largest message that is sent or taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A connection to a service of ours, made when it is needed.
pub type ServiceChannel = InterceptedService<Resend, Outbound>;

/// A channel to `url` whose calls take at most `deadline`, and less where the caller's own deadline
/// is nearer.
///
/// # Errors
/// The URL or the certificates cannot be used.
pub fn channel(
    url: &Url,
    tls: Option<&TlsFiles>,
    deadline: Duration,
) -> Result<ServiceChannel, String> {
    connect(url, tls, Some(deadline))
}

/// The same channel for streams that stay open: without a deadline; the connection's own keep-alive
/// tells when the other side is gone.
///
/// # Errors
/// As [`channel`].
pub fn stream_channel(url: &Url, tls: Option<&TlsFiles>) -> Result<ServiceChannel, String> {
    connect(url, tls, None)
}

fn connect(
    url: &Url,
    tls: Option<&TlsFiles>,
    deadline: Option<Duration>,
) -> Result<ServiceChannel, String> {
    let mut endpoint = Endpoint::from_shared(url.to_string())
        .map_err(|error| error.to_string())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    if url.scheme() == "https" {
        let files = tls.ok_or_else(|| {
            format!("{url} needs TLS. Set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE.")
        })?;
        endpoint = endpoint
            .tls_config(files.client())
            .map_err(|error| error.to_string())?;
    }
    Ok(InterceptedService::new(
        Resend(endpoint.connect_lazy()),
        Outbound { deadline },
    ))
}

/// Writes the context of the request that is being served to what it calls.
#[derive(Debug, Clone)]
pub struct Outbound {
    deadline: Option<Duration>,
}

impl Interceptor for Outbound {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let context = RequestContext::current();
        if let Some(limit) = self.deadline
            && !request.metadata().contains_key("grpc-timeout")
        {
            request.set_timeout(context.time_left(limit));
        }
        let metadata = request.metadata_mut();
        let mut set = |key: &'static str, value: &str| {
            if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
                metadata.insert(key, value);
            }
        };
        set(REQUEST_ID, &context.request_id);
        set(TRACEPARENT, &context.traceparent());
        if let Some(address) = context.client_address {
            set(CLIENT_ADDRESS, &address.to_string());
        }
        Ok(request)
    }
}

/// Sends a request again if no server has begun to work on it: the connection closed before it was
/// sent, or the server said that it did not take it, as one does that is about to end.
#[derive(Debug, Clone)]
pub struct Resend(Channel);

impl Service<http::Request<Body>> for Resend {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // The clone takes the next turn, and the one that is ready is used.
        let next = self.0.clone();
        let mut channel = std::mem::replace(&mut self.0, next);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // Every call of ours sends one message, so the body is here already.
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(status) => return Ok(status.into_http()),
            };
            let mut sendings = 1;
            loop {
                let body = Body::new(Full::new(body.clone()));
                let request = http::Request::from_parts(head.clone(), body);
                match channel.ready().await?.call(request).await {
                    Err(error) if sendings < SENDINGS_MAX && was_not_taken(&error) => {
                        tracing::debug!(?error, "a request is sent again");
                        sendings += 1;
                    }
                    answered => return answered,
                }
            }
        })
    }
}

/// Whether no server can have begun to work on a request.
fn was_not_taken(error: &(dyn Error + 'static)) -> bool {
    let mut is_connecting = false;
    let mut next = Some(error);
    while let Some(error) = next {
        is_connecting |= error.is::<ConnectError>();
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_canceled()
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            let is_leaving = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_remote() && (is_refused || is_leaving);
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && is_connecting
        {
            return is_closed_port(error.kind());
        }
        next = error.source();
    }
    false
}

/// Whether a connection failed at once. After a time-out there is no time left to try again.
fn is_closed_port(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}
