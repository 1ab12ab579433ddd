//! Accepting connections, the same on every port: limits per client, errors that are paced and
//! logged, and a deadline for the first request.
//!
//! A client is a peer's address, or for IPv6 its /64. A port may give some peers a larger share, for
//! example a proxy that speaks for many.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Between two attempts to accept while the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A log line of one kind is written at most this often, with the number of times it happened.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// So many more connections may be open for clients that have none yet, so that one more health check
/// gets in while others hold all they can.
const RESERVE: usize = 256;
/// The bits of an IPv6 address that name a client: what one customer of a provider is given.
const IPV6_CLIENT_BITS: u32 = 64;
/// When a port is to close, it still accepts for a moment: a client that has just connected must not be
/// reset. Under many connections it ends all the same.
const LAST_CONNECTIONS_WAIT: Duration = Duration::from_millis(100);
const LAST_CONNECTIONS_MAX: Duration = Duration::from_secs(1);
/// When a port closes, connections that have just been made may still send their first request.
const LAST_REQUESTS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long, and how much, is read of a body that nobody wants before the connection is dropped.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The client that an address stands for.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - IPV6_CLIENT_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

type Share = dyn Fn(IpAddr) -> usize + Send + Sync;

/// How many connections may be open at once.
#[derive(Clone)]
pub struct Limits {
    total: usize,
    share: Arc<Share>,
    first_request: Duration,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("total", &self.total)
            .field("first_request", &self.first_request)
            .finish_non_exhaustive()
    }
}

impl Limits {
    /// At most `total` connections, and of each client `per_client`. A connection without a request is
    /// closed after `first_request`. Clients on this machine are bound by `total` alone.
    pub fn new(total: usize, per_client: usize, first_request: Duration) -> Self {
        Self::with_shares(total, first_request, move |peer| {
            if peer.is_loopback() {
                total
            } else {
                per_client
            }
        })
    }

    /// The same, where `share` says how many connections a peer may have.
    pub fn with_shares(
        total: usize,
        first_request: Duration,
        share: impl Fn(IpAddr) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self {
            total,
            share: Arc::new(share),
            first_request,
        }
    }
}

/// A listener that keeps to [`Limits`].
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    limits: Limits,
    open: Arc<Mutex<Open>>,
    /// How many connections have had no request yet.
    silent: watch::Sender<usize>,
    /// When the last connection is accepted, once that has begun.
    last_end: Option<Instant>,
    errors: Paced,
    refusals: Paced,
    port: &'static str,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl Acceptor {
    /// Accepts on a listener; `port` names it in the log.
    pub fn new(port: &'static str, listener: TcpListener, limits: Limits) -> Self {
        Self {
            listener,
            limits,
            open: Arc::default(),
            silent: watch::Sender::new(0),
            last_end: None,
            errors: Paced::default(),
            refusals: Paced::default(),
            port,
        }
    }

    /// The next connection that the limits admit. It may be dropped while it waits.
    pub async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(slot) = self.slot(peer.ip()) {
                        return (Connection::new(stream, peer, slot, self), peer);
                    }
                    if let Some(times) = self.refusals.count() {
                        let (port, peer) = (self.port, peer.ip());
                        tracing::warn!(port, %peer, times, "a client has too many connections");
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(times) = self.errors.count() {
                        let port = self.port;
                        tracing::error!(port, %error, times, "connections cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The connections that the system has already made, and those of a last moment, once no more are
    /// wanted; `None` after the last.
    pub async fn accept_last(&mut self) -> Option<(Connection, SocketAddr)> {
        let now = Instant::now();
        let end = *self.last_end.get_or_insert(now + LAST_CONNECTIONS_WAIT);
        if now > end + LAST_CONNECTIONS_MAX {
            return None;
        }
        tokio::time::timeout_at(end, self.accept()).await.ok()
    }

    /// Closes the port, and waits until every connection has had its first request, but not for long:
    /// so none is closed while its request is on its way.
    pub async fn close(self) {
        let mut silent = self.silent.subscribe();
        drop(self);
        let all = silent.wait_for(|count| *count == 0);
        let _in_time = tokio::time::timeout(LAST_REQUESTS_TIMEOUT, all).await;
    }

    /// The connections until `stop`, for tonic. The stream ends when the port is closed, see
    /// [`Acceptor::close`].
    pub fn into_incoming(
        self,
        stop: CancellationToken,
    ) -> impl Stream<Item = io::Result<Connection>> {
        futures::stream::unfold(self, move |mut acceptor| {
            let stop = stop.clone();
            async move {
                let accepted = tokio::select! {
                    biased;
                    () = stop.cancelled() => acceptor.accept_last().await,
                    accepted = acceptor.accept() => Some(accepted),
                };
                let Some((connection, _)) = accepted else {
                    acceptor.close().await;
                    return None;
                };
                Some((Ok(connection), acceptor))
            }
        })
    }

    fn slot(&self, peer: IpAddr) -> Option<Slot> {
        let client = client_of(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = open.by_client.get(&client).copied().unwrap_or(0);
        let reserve = if of_client == 0 { RESERVE } else { 0 };
        let is_full = open.total >= self.limits.total + reserve;
        if is_full || of_client >= (self.limits.share)(peer.to_canonical()) {
            return None;
        }
        open.total += 1;
        open.by_client.insert(client, of_client + 1);
        Some(Slot {
            client,
            open: Arc::clone(&self.open),
        })
    }
}

impl axum::serve::Listener for Acceptor {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        Acceptor::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Whether an error is about the one connection that was to be accepted, and the next may be good.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection's place among those that are open.
#[derive(Debug)]
struct Slot {
    client: IpAddr,
    open: Arc<Mutex<Open>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        match open.by_client.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// Counts what happens often and says when to log it.
#[derive(Debug, Default)]
struct Paced {
    last: Option<Instant>,
    times: u64,
}

impl Paced {
    /// Counts once more. How often it has happened since the last line, if a line is due.
    fn count(&mut self) -> Option<u64> {
        self.times += 1;
        let is_due = self.last.is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        is_due.then(|| {
            self.last = Some(Instant::now());
            std::mem::take(&mut self.times)
        })
    }
}

/// What is known of a connection. Where tonic serves, it is part of each request's extensions.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: SocketAddr,
    asked: Arc<Asked>,
}

#[derive(Debug)]
struct Asked {
    is_asked: AtomicBool,
    lingers: AtomicBool,
    silent: watch::Sender<usize>,
}

impl ConnectionInfo {
    /// A request has come: the deadline of the first one is met.
    pub fn request_came(&self) {
        self.asked.came();
    }

    /// A request is answered before its body has been read, and the connection is closed then. What the
    /// client still sends is read for a moment: otherwise the system resets the connection, and the
    /// client may never see its answer.
    pub fn linger(&self) {
        self.asked.lingers.store(true, Ordering::Relaxed);
    }
}

impl Asked {
    fn came(&self) {
        if !self.is_asked.swap(true, Ordering::Relaxed) {
            self.silent
                .send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.came();
    }
}

/// A connection that fails if its first request does not come in time: a client that says nothing, or
/// that says it letter by letter, holds nothing for long.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    info: ConnectionInfo,
    /// Of the first request, and then of lingering.
    deadline: Pin<Box<Sleep>>,
    /// Bytes that are still to be read and thrown away, once it lingers.
    lingering: Option<usize>,
    _slot: Slot,
}

impl Connection {
    fn new(stream: TcpStream, peer: SocketAddr, slot: Slot, acceptor: &Acceptor) -> Self {
        // An answer is several small writes: none waits until the caller has acknowledged the one
        // before, which it does only after 40 ms. A socket that refuses this works all the same.
        let _is_set = stream.set_nodelay(true);
        acceptor.silent.send_modify(|count| *count += 1);
        let asked = Asked {
            is_asked: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            silent: acceptor.silent.clone(),
        };
        Self {
            stream,
            info: ConnectionInfo {
                peer,
                asked: Arc::new(asked),
            },
            deadline: Box::pin(tokio::time::sleep(acceptor.limits.first_request)),
            lingering: None,
            _slot: slot,
        }
    }

    /// What tells of its first request.
    pub fn info(&self) -> ConnectionInfo {
        self.info.clone()
    }

    fn poll_in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_late = !self.info.asked.is_asked.load(Ordering::Relaxed)
            && self.deadline.as_mut().poll(cx).is_ready();
        if is_late {
            tracing::debug!(peer = %self.info.peer, "a connection asked nothing in time");
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Reads and throws away until the other end closes, a limit is reached or the time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut left = self.lingering.unwrap_or_else(|| {
            self.deadline
                .as_mut()
                .reset(Instant::now() + LINGER_TIMEOUT);
            LINGER_BYTES_MAX
        });
        let mut scratch = [0; 8 * 1024];
        while left > 0 && self.deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    left = left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    self.lingering = Some(left);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_in_time(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.info.asked.lingers.load(Ordering::Relaxed) {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let client = |text: &str| client_of(text.parse().unwrap()).to_string();
        assert_eq!(client("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(client("2001:db8:1:3::6"), "2001:db8:1:3::");
        assert_eq!(client("::ffff:203.0.113.9"), "203.0.113.9");
    }
}
