//! The client stack: a lazy channel that carries the request's context and a deadline on every call.
//!
//! Architecture invariant: a channel connects when it is first used and again whenever it must, so
//! the order in which services start does not matter.

use std::time::Duration;

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use url::Url;

use crate::{
    context::{CLIENT_ADDRESS, REQUEST_ID, RequestContext, TRACEPARENT},
    tls::TlsFiles,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest message that is sent or taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A connection to a service of ours, made when it is needed.
pub type ServiceChannel = InterceptedService<Channel, Outbound>;

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
        endpoint.connect_lazy(),
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
