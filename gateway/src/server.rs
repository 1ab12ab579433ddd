//! The public port: HTTP/1.1 and HTTP/2 without TLS, with limits on what a client may hold.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, util::MapRequest};

use crate::{
    domain::trusted_proxies::TrustedProxies,
    doors::Doors,
    web::{Peer, name_the_client},
};

/// The most connections that are open at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 20_000;
/// A connection's first request has come within this time, or the connection is closed: whoever
/// says nothing, or says it letter by letter, holds nothing for long.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an HTTP/1.1 connection may be idle, or take to send the head of its next request.
/// Longer than ingresses keep theirs (60 s), so that it is the ingress that closes them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// An HTTP/2 connection whose other side is silent is asked after this time whether it lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many requests of one HTTP/2 connection are worked on at once; an ingress sends many.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_000;
/// The largest head of a request, in bytes.
const HEADER_BYTES_MAX: u32 = 32 * 1024;
/// The buffer of an HTTP/1.1 connection, in bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Between two attempts to accept while the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`; then lets the requests in flight end, and closes connections that are idle.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Doors,
    proxies: TrustedProxies,
    stop: CancellationToken,
) {
    let http = Arc::new(http());
    let proxies = Arc::new(proxies);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let served = connection(stream, peer, doors.clone(), &http, &proxies, &graceful);
        tokio::spawn(async move {
            served.await;
            drop(permit);
        });
    }
    drop((listener, doors));
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    http
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    doors: Doors,
    http: &Arc<auto::Builder<TokioExecutor>>,
    proxies: &Arc<TrustedProxies>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let _not_for_this_socket = stream.set_nodelay(true);
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let proxies = Arc::clone(proxies);
    let service: MapRequest<Doors, _> = doors.map_request(move |mut request: Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        let peer = Peer(peer.ip());
        request.extensions_mut().insert(peer);
        name_the_client(request.headers_mut(), peer, &proxies);
        request
    });
    let served = http
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .into_owned();
    let served = graceful.watch(served);
    async move {
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            ended = &mut served => ended,
            () = tokio::time::sleep(FIRST_REQUEST_TIMEOUT) => {
                if !asked.load(Ordering::Relaxed) {
                    tracing::debug!("a connection asked nothing in time");
                    return;
                }
                served.await
            }
        };
        if let Err(error) = ended {
            // Clients go away in the middle every day.
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}
