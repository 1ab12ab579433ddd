//! What the requests under way may hold: in total, and of one client.
//!
//! A client is the peer, or, behind a proxy that `TRUSTED_PROXIES` names, the address that the proxy
//! forwards. A proxy that speaks for many without saying for whom, and whoever is on this machine, has
//! a larger share.
//!
//! A request works or waits. It works from its start, and has one of the permits. As soon as it waits
//! for its body it gives the permit back, and takes one again when the body goes on. Those that wait
//! are limited on their own: when a client has too many of them, the one that has waited longest is
//! turned away. So clients that send no body never keep others from being worked on.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use billing_kit::{Fault, accept::client_of};
use billing_proto::common::v1::ErrorReason;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The most requests that are worked on at once; more are turned away at once. More than may wait in
/// the queue of reports and be on their way from there, so that instances never crowd out an admin.
const WORKING_MAX: usize = 12_000;
/// The most requests that wait for their body at once.
const WAITING_MAX: usize = 8_192;
/// The most bytes that the heads of all requests under way take up.
const HEADER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most fields in a head; of HTTP/1.1 hyper takes 100.
pub(crate) const FIELDS_MAX: usize = 128;
/// What a field takes up beside its name and value.
const FIELD_OVERHEAD_BYTES: usize = 100;
/// When one who was turned away may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The share of one client.
struct Share {
    requests: usize,
    waiting: usize,
    header_bytes: usize,
}

/// An address may stand for a company's whole network.
const ONE: Share = Share {
    requests: 512,
    waiting: 128,
    header_bytes: 2 * 1024 * 1024,
};
const MANY: Share = Share {
    requests: 16_000,
    waiting: 4_096,
    header_bytes: 24 * 1024 * 1024,
};

/// Whose request it is; put into every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// An address.
    One(IpAddr),
    /// A peer that speaks for many: a proxy that does not say for whom, or this machine.
    Many(IpAddr),
}

impl Client {
    /// The client that an address stands for.
    pub(crate) fn one(address: IpAddr) -> Self {
        Self::One(client_of(address))
    }

    fn share(self) -> &'static Share {
        match self {
            Self::One(_) => &ONE,
            Self::Many(_) => &MANY,
        }
    }
}

/// All requests under way. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    working: Arc<Semaphore>,
    loads: Arc<Mutex<Loads>>,
}

#[derive(Debug, Default)]
struct Loads {
    by_client: HashMap<Client, Load>,
    header_bytes: usize,
    waiting: usize,
    /// The number of the next one that waits: the least waits longest.
    next: u64,
}

#[derive(Debug, Default)]
struct Load {
    requests: usize,
    header_bytes: usize,
    waiting: BTreeMap<u64, Arc<Cut>>,
}

/// How a request that waits is told that it is turned away.
#[derive(Debug, Default)]
struct Cut {
    reason: OnceLock<Reason>,
    told: Notify,
}

#[derive(Debug, Clone, Copy)]
enum Reason {
    /// Its client has too many that wait.
    Crowded,
    /// Its body has come, and there is no permit.
    Busy,
}

impl Cut {
    fn tell(&self, reason: Reason) {
        // The first reason stands.
        let _is_first = self.reason.set(reason);
        self.told.notify_one();
    }
}

impl InFlight {
    /// None under way.
    pub(crate) fn new() -> Self {
        Self::with_permits(WORKING_MAX)
    }

    /// None under way, and so many may work.
    pub(crate) fn with_permits(working: usize) -> Self {
        Self {
            working: Arc::new(Semaphore::new(working)),
            loads: Arc::default(),
        }
    }

    /// Takes a request in, or says why not.
    ///
    /// # Errors
    /// RATE_LIMITED where the client has too much under way, UNAVAILABLE where all together have.
    pub(crate) fn admit(&self, client: Client, headers: &HeaderMap) -> Result<Arc<Ticket>, Fault> {
        let header_bytes = size_of(headers);
        let permit = Arc::clone(&self.working).try_acquire_owned();
        let permit = permit.map_err(|_| busy())?;
        let mut loads = self.loads();
        if loads.header_bytes + header_bytes > HEADER_BYTES_MAX {
            return Err(busy());
        }
        let load = loads.by_client.entry(client).or_default();
        let share = client.share();
        let is_first = load.requests == 0;
        let is_full = load.requests >= share.requests
            || load.header_bytes + header_bytes > share.header_bytes;
        if is_full && !is_first {
            return Err(crowded());
        }
        load.requests += 1;
        load.header_bytes += header_bytes;
        loads.header_bytes += header_bytes;
        drop(loads);
        Ok(Arc::new(Ticket {
            in_flight: self.clone(),
            client,
            header_bytes,
            cut: Arc::default(),
            state: Mutex::new(State {
                permit: Some(permit),
                waiting: None,
                is_answered: false,
                rest: None,
            }),
        }))
    }

    fn loads(&self) -> MutexGuard<'_, Loads> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loads {
    fn begin_to_wait(&mut self, client: Client, cut: &Arc<Cut>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting += 1;
        let load = self.by_client.entry(client).or_default();
        load.waiting.insert(number, Arc::clone(cut));
        if load.waiting.len() > client.share().waiting {
            self.turn_away(client);
        } else if self.waiting > WAITING_MAX {
            let most = self
                .by_client
                .iter()
                .max_by_key(|(_, load)| load.waiting.len());
            if let Some((client, _)) = most {
                self.turn_away(*client);
            }
        }
        number
    }

    /// Turns away the one that has waited longest.
    fn turn_away(&mut self, client: Client) {
        let load = self.by_client.get_mut(&client);
        if let Some((_, cut)) = load.and_then(|load| load.waiting.pop_first()) {
            self.waiting = self.waiting.saturating_sub(1);
            cut.tell(Reason::Crowded);
        }
    }

    fn end_to_wait(&mut self, client: Client, number: u64) {
        let load = self.by_client.get_mut(&client);
        if load.is_some_and(|load| load.waiting.remove(&number).is_some()) {
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    fn leave(&mut self, client: Client, header_bytes: usize) {
        self.header_bytes = self.header_bytes.saturating_sub(header_bytes);
        if let Some(load) = self.by_client.get_mut(&client) {
            load.requests = load.requests.saturating_sub(1);
            load.header_bytes = load.header_bytes.saturating_sub(header_bytes);
            if load.requests == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

/// A request under way, until its answer has been sent.
#[derive(Debug)]
pub(crate) struct Ticket {
    in_flight: InFlight,
    client: Client,
    header_bytes: usize,
    cut: Arc<Cut>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    permit: Option<OwnedSemaphorePermit>,
    waiting: Option<u64>,
    is_answered: bool,
    /// What nobody read of the body.
    rest: Option<Body>,
}

impl Ticket {
    /// The request's body, which from now on tells whether the request works or waits.
    pub(crate) fn follow(self: &Arc<Self>, body: Body) -> Body {
        if http_body::Body::is_end_stream(&body) {
            return body;
        }
        Body::new(Arriving {
            body: Some(body),
            ticket: Arc::clone(self),
        })
    }

    /// Ends when the request is turned away while it waits.
    pub(crate) async fn turned_away(&self) -> Fault {
        self.cut.told.notified().await;
        match self.cut.reason.get() {
            Some(Reason::Crowded) => crowded(),
            Some(Reason::Busy) | None => busy(),
        }
    }

    /// The answer's head is there: the permit is given back. What nobody read of the body, if anything.
    pub(crate) fn answered(&self) -> Option<Body> {
        let mut state = self.state();
        state.is_answered = true;
        state.permit = None;
        self.end_to_wait(&mut state);
        state.rest.take()
    }

    fn wait(&self) {
        let mut state = self.state();
        if !state.is_answered && state.waiting.is_none() {
            state.permit = None;
            let mut loads = self.in_flight.loads();
            state.waiting = Some(loads.begin_to_wait(self.client, &self.cut));
        }
    }

    /// Whether the request may go on.
    fn work(&self) -> bool {
        let mut state = self.state();
        self.end_to_wait(&mut state);
        if state.is_answered || state.permit.is_some() {
            return true;
        }
        state.permit = Arc::clone(&self.in_flight.working).try_acquire_owned().ok();
        if state.permit.is_none() {
            self.cut.tell(Reason::Busy);
        }
        state.permit.is_some()
    }

    fn end_to_wait(&self, state: &mut State) {
        if let Some(number) = state.waiting.take() {
            self.in_flight.loads().end_to_wait(self.client, number);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut loads = self.in_flight.loads();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = state.waiting.take() {
            loads.end_to_wait(self.client, number);
        }
        loads.leave(self.client, self.header_bytes);
    }
}

/// A request's body. What is left of it when it is dropped stays with the ticket.
struct Arriving {
    body: Option<Body>,
    ticket: Arc<Ticket>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => {
                self.ticket.wait();
                Poll::Pending
            }
            Poll::Ready(frame) => {
                if !matches!(frame, Some(Ok(_))) {
                    self.body = None;
                }
                // Who may not go on is answered by now: see `turned_away`.
                if self.ticket.work() {
                    Poll::Ready(frame)
                } else {
                    Poll::Pending
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !http_body::Body::is_end_stream(self) {
            self.ticket.state().rest = self.body.take();
        }
    }
}

/// An answer's body, which keeps the request under way until it has been sent.
pub(crate) struct Leaving {
    pub(crate) body: Body,
    pub(crate) _ticket: Arc<Ticket>,
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn size_of(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
        .sum()
}

fn busy() -> Fault {
    Fault::unavailable("There are too many requests now.")
}

fn crowded() -> Fault {
    let mut fault = Fault::new(
        ErrorReason::RateLimited,
        "This address has too many requests under way.",
    );
    fault.retry_after = Some(RETRY_AFTER);
    fault
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::FutureExt;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn address(last: u8) -> Client {
        Client::one(IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)))
    }

    /// A body of which nothing comes.
    fn silent() -> Body {
        Body::new(StreamBody::new(futures::stream::pending::<
            Result<Frame<Bytes>, axum::Error>,
        >()))
    }

    fn begin(all: &InFlight, client: Client) -> (Arc<Ticket>, Body) {
        let ticket = all.admit(client, &HeaderMap::new()).unwrap();
        let body = ticket.follow(silent());
        (ticket, body)
    }

    #[tokio::test]
    async fn a_request_that_waits_for_its_body_has_no_permit() {
        let all = InFlight::with_permits(1);
        let (_ticket, mut body) = begin(&all, address(1));
        assert!(all.admit(address(2), &HeaderMap::new()).is_err());
        assert!(body.frame().now_or_never().is_none());
        let worked = all.admit(address(2), &HeaderMap::new()).unwrap();
        drop(worked);
    }

    #[tokio::test]
    async fn of_a_client_with_too_many_that_wait_the_oldest_goes() {
        let all = InFlight::new();
        let mut waiting = Vec::new();
        for _ in 0..=ONE.waiting {
            let (ticket, mut body) = begin(&all, address(1));
            assert!(body.frame().now_or_never().is_none());
            waiting.push((ticket, body));
        }
        let (other, mut body) = begin(&all, address(2));
        assert!(body.frame().now_or_never().is_none());
        assert!(other.turned_away().now_or_never().is_none());
        let gone = waiting
            .iter()
            .map(|(it, _)| it.turned_away().now_or_never().is_some());
        let gone: Vec<_> = gone.collect();
        assert!(gone[0] && !gone[1..].contains(&true));
        drop(waiting);
        drop((other, body));
        let loads = all.loads();
        assert_eq!((loads.waiting, loads.by_client.len()), (0, 0));
    }

    #[tokio::test]
    async fn requests_and_header_bytes_of_a_client_are_limited_and_others_are_not() {
        let all = InFlight::new();
        let mut tickets = Vec::new();
        while let Ok(ticket) = all.admit(address(1), &HeaderMap::new()) {
            tickets.push(ticket);
        }
        assert_eq!(tickets.len(), ONE.requests);
        let fault = all.admit(address(1), &HeaderMap::new()).unwrap_err();
        assert_eq!(fault.reason, ErrorReason::RateLimited);
        assert!(all.admit(address(2), &HeaderMap::new()).is_ok());
        tickets.clear();

        let mut large = HeaderMap::new();
        large.insert("x-large", "x".repeat(ONE.header_bytes / 4).parse().unwrap());
        while let Ok(ticket) = all.admit(address(1), &large) {
            tickets.push(ticket);
        }
        assert_eq!(tickets.len(), 3);
        assert!(all.admit(address(2), &large).is_ok());
        tickets.clear();
        assert_eq!(all.loads().header_bytes, 0);
    }
}
