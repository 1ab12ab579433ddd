//! The public port: HTTP/1.1 and HTTP/2 without TLS, with limits on what a client may hold.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use billing_kit::accept::{Acceptor, Connection, Limits};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, util::MapRequest};

use crate::{
    domain::trusted_proxies::TrustedProxies,
    doors::Doors,
    web::{Peer, name_the_client},
};

/// The most connections that are open at once.
const CONNECTIONS_MAX: usize = 10_000;
/// The most connections of one peer. A proxy that `TRUSTED_PROXIES` names may have them all, and so may
/// this machine.
const CONNECTIONS_PER_PEER_MAX: usize = 1_000;
/// The same for a peer in a private network, which may be a proxy that nobody named.
const CONNECTIONS_PER_PRIVATE_PEER_MAX: usize = 5_000;
/// A connection's first request has come within this time, or the connection is closed.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an HTTP/1.1 connection may be idle, or take to send the head of its next request.
/// Longer than ingresses keep theirs (60 s), so that it is the ingress that closes them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// An HTTP/2 connection whose other side is silent is asked after this time whether it lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many requests of one HTTP/2 connection are worked on at once.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// The same of a proxy that `TRUSTED_PROXIES` names: it sends the requests of many.
const STREAMS_PER_PROXY_CONNECTION_MAX: u32 = 1_000;
/// The largest head of a request, in bytes.
const HEADER_BYTES_MAX: u32 = 32 * 1024;
/// The buffer of an HTTP/1.1 connection, in bytes.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Serves until `stop`; then lets the requests in flight end, and closes connections that are idle.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Doors,
    proxies: TrustedProxies,
    stop: CancellationToken,
) {
    let proxies = Arc::new(proxies);
    let mut acceptor = Acceptor::new("public", listener, limits(Arc::clone(&proxies)));
    let of_one = http(STREAMS_PER_CONNECTION_MAX);
    let of_proxies = http(STREAMS_PER_PROXY_CONNECTION_MAX);
    let graceful = GracefulShutdown::new();
    let begin = |(connection, peer): (Connection, SocketAddr)| {
        let http = if proxies.contains(peer.ip().to_canonical()) {
            &of_proxies
        } else {
            &of_one
        };
        tokio::spawn(serve_one(
            connection,
            doors.clone(),
            http,
            &proxies,
            &graceful,
        ));
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = acceptor.accept() => begin(accepted),
        }
    }
    while let Some(accepted) = acceptor.accept_last().await {
        begin(accepted);
    }
    acceptor.close().await;
    drop(doors);
    graceful.shutdown().await;
}

fn limits(proxies: Arc<TrustedProxies>) -> Limits {
    let share = move |peer: IpAddr| {
        if peer.is_loopback() || proxies.contains(peer) {
            CONNECTIONS_MAX
        } else if proxies.is_unknown_proxy(peer) {
            CONNECTIONS_PER_PRIVATE_PEER_MAX
        } else {
            CONNECTIONS_PER_PEER_MAX
        }
    };
    Limits::with_shares(CONNECTIONS_MAX, FIRST_REQUEST_TIMEOUT, share)
}

fn http(streams_max: u32) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(streams_max)
        .max_header_list_size(HEADER_BYTES_MAX);
    http
}

fn serve_one(
    connection: Connection,
    doors: Doors,
    http: &auto::Builder<TokioExecutor>,
    proxies: &Arc<TrustedProxies>,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let info = connection.info();
    let proxies = Arc::clone(proxies);
    let service: MapRequest<Doors, _> = doors.map_request(move |mut request: Request<Incoming>| {
        info.request_came();
        let peer = Peer(info.peer.ip());
        let client = name_the_client(request.headers_mut(), peer, &proxies);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(info.clone());
        request
    });
    let served = http
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(service))
        .into_owned();
    let served = graceful.watch(served);
    async move {
        if let Err(error) = served.await {
            // Clients go away in the middle every day.
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}
