//! The simulator between its listener and its world.
//!
//! A call is admitted, maybe delayed, and carried out. Both ends hold the one lock for microseconds
//! and await nothing under it; between them the call is "in progress" at Stripe, and whoever comes
//! with the same idempotency key, or for the same customer and meter, is turned away.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth;
use crate::clock::SimClock;
use crate::config::Config;
use crate::errors::Refusal;
use crate::events::Cause;
use crate::expand;
use crate::faults::{FaultResponse, Faults, Plan};
use crate::fields::Fields;
use crate::idempotency::Saved;
use crate::ids::Ids;
use crate::ledger::{RequestLog, RequestRecord};
use crate::lifecycle;
use crate::limiter::Limiter;
use crate::meter_events;
use crate::params::{self, Tree};
use crate::reply::Reply;
use crate::routes::{self, Route};
use crate::world::{Answer, Call, World};

/// Paths that one request may expand.
const MAX_EXPAND: usize = 20;

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) config: Config,
    pub(crate) clock: SimClock,
    inner: Mutex<Inner>,
    /// Tells the state file's writer that there is something to write.
    pub(crate) changed: Notify,
    /// Tells the deliverer of webhooks that there may be something to deliver.
    pub(crate) wake: Notify,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    ids: Ids,
    limiter: Limiter,
    /// The customers and meters of meter events in progress.
    occupied: HashSet<String>,
}

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Inbound<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// An admitted call.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) request_id: String,
    pub(crate) plan: Plan,
    route: &'static Route,
    path: String,
    id: String,
    tree: Tree,
    /// The idempotency key and the fingerprint of what is asked under it.
    key: Option<(String, String)>,
    occupies: Option<String>,
    replay: Option<Saved>,
}

impl Sim {
    pub(crate) fn new(config: Config, world: World, clock: SimClock) -> Self {
        // With one seed, each life of an account has ids of its own.
        let seed = config.seed.map(|seed| seed.rotate_left(32) ^ world.loads);
        let inner = Inner {
            world,
            faults: Faults::default(),
            log: RequestLog::default(),
            ids: Ids::new(seed),
            limiter: Limiter::default(),
            occupied: HashSet::new(),
        };
        Self {
            config,
            clock,
            inner: Mutex::new(inner),
            changed: Notify::new(),
            wake: Notify::new(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// A poisoned lock is used on: what a panic left is still the best state there is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called after every change, without the lock.
    pub(crate) fn touched(&self) {
        self.changed.notify_one();
        self.wake.notify_one();
    }

    /// The world with everything done that was due by now.
    pub(crate) fn settled(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        inner.settle(self.clock.now());
        inner
    }

    pub(crate) fn new_request_id(&self) -> String {
        self.lock().ids.request()
    }

    /// Everything before execution: key, route, limits, faults, idempotency, concurrency.
    pub(crate) fn admit(&self, inbound: &Inbound<'_>) -> Result<Ticket, Reply> {
        let request_id = self.new_request_id();
        let mut name = None;
        let admitted = self.try_admit(inbound, &request_id, &mut name);
        admitted.map_err(|refusal| {
            let route = name.unwrap_or_else(|| "unknown".to_owned());
            let key = idempotency_key(inbound.headers);
            let key = key.map(str::to_owned);
            self.record(
                &request_id,
                route,
                inbound.path,
                key,
                Some(refusal.status),
                false,
            );
            let reply = Reply::refusal(&refusal, &request_id).with("request-id", &request_id);
            match refusal.code {
                Some("rate_limit") => reply.with("stripe-rate-limited-reason", "global-rate"),
                Some(_) | None => reply,
            }
        })
    }

    fn try_admit(
        &self,
        inbound: &Inbound<'_>,
        request_id: &str,
        name: &mut Option<String>,
    ) -> Result<Ticket, Refusal> {
        let Inbound {
            method,
            path,
            query,
            headers,
            body,
        } = *inbound;
        let found = routes::find(method, path);
        *name = found.map(|(route, _)| route.name());
        auth::check(headers, &self.config.secret_key)?;
        let (route, id) = found.ok_or_else(|| Refusal::no_such_url(method, path))?;
        let tree = params::parse(query.as_bytes(), body)?;
        let now = self.clock.now();
        let mut inner = self.lock();
        let Inner {
            world,
            faults,
            ids,
            limiter,
            occupied,
            log: _,
        } = &mut *inner;
        if !limiter.admits(&self.config.rate_limits, route, now) {
            return Err(Refusal::rate_limited());
        }
        let plan = faults.plan(route, path, ids);
        let mut ticket = Ticket {
            request_id: request_id.to_owned(),
            plan,
            route,
            path: path.to_owned(),
            id: id.to_owned(),
            tree,
            key: None,
            occupies: None,
            replay: None,
        };
        if !ticket.plan.begins() || method != "POST" {
            return Ok(ticket);
        }
        if let Some(key) = idempotency_key(headers) {
            let fingerprint = params::fingerprint(method, path, &ticket.tree);
            ticket.replay = world.idempotency.begin(key, &fingerprint, now)?;
            ticket.key = Some((key.to_owned(), fingerprint));
        }
        if ticket.replay.is_none() && path == "/v1/billing/meter_events" {
            ticket.occupies = meter_events::lock_of(world, &ticket.tree);
            let free = ticket
                .occupies
                .as_ref()
                .is_none_or(|it| occupied.insert(it.clone()));
            if !free {
                if let Some((key, _)) = &ticket.key {
                    world.idempotency.finish(key, None);
                }
                return Err(Refusal::lock_timeout());
            }
        }
        Ok(ticket)
    }

    /// Carries the call out, or replays what it led to before. With `instead`, that is what the
    /// caller is told and, if the fault says so, what the key will replay.
    pub(crate) fn execute(&self, ticket: &Ticket, instead: Option<&FaultResponse>) -> Reply {
        let injected = instead.map(|response| Reply::injected(response, &ticket.request_id));
        if let Some(saved) = &ticket.replay {
            return injected.unwrap_or_else(|| Reply::replayed(saved));
        }
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.settle(now);
        inner.world.events.cause = Some(Cause {
            request_id: ticket.request_id.clone(),
            idempotency_key: ticket.key.as_ref().map(|(key, _)| key.clone()),
        });
        let outcome = self.run(&mut inner, ticket, now);
        inner.world.events.cause = None;
        let is_saved = outcome.as_ref().err().is_none_or(|refusal| refusal.saved);
        let reply = match &outcome {
            Ok(value) => Reply::json(200, value),
            Err(refusal) => Reply::refusal(refusal, &ticket.request_id),
        };
        let told_is_saved = instead.is_some_and(FaultResponse::is_saved);
        let to_save = match &injected {
            Some(injected) if told_is_saved => Some(injected),
            Some(_) | None => is_saved.then_some(&reply),
        };
        inner.finish(ticket, to_save, now);
        drop(inner);
        if ticket.route.method != "GET" {
            self.touched();
        }
        injected.unwrap_or(reply)
    }

    /// A fault's answer to a call that has no effect.
    pub(crate) fn refuse(&self, ticket: &Ticket, response: &FaultResponse) -> Reply {
        let reply = Reply::injected(response, &ticket.request_id);
        if ticket.plan.begins() && ticket.replay.is_none() {
            let to_save = response.is_saved().then_some(&reply);
            self.lock().finish(ticket, to_save, self.clock.now());
            self.touched();
        }
        reply
    }

    fn run(&self, inner: &mut Inner, ticket: &Ticket, now: i64) -> Answer {
        let mut fields = Fields::new(ticket.tree.clone());
        let expand = fields.texts("expand", MAX_EXPAND);
        expand::check(&expand)?;
        let lag = self.config.search_lag.as_secs();
        let call = Call {
            world: &mut inner.world,
            ids: &mut inner.ids,
            now,
            search_lag_s: i64::try_from(lag).unwrap_or(i64::MAX),
            id: ticket.id.clone(),
            fields,
        };
        let mut answer = (ticket.route.run)(call)?;
        expand::apply(&inner.world, &mut answer, &expand);
        Ok(answer)
    }

    /// Counts an admitted call once it is known how it ended.
    pub(crate) fn record_end(&self, ticket: &Ticket, status: Option<u16>) {
        let key = ticket.key.as_ref().map(|(key, _)| key.clone());
        let replayed = ticket.replay.is_some();
        let name = ticket.route.name();
        self.record(
            &ticket.request_id,
            name,
            &ticket.path,
            key,
            status,
            replayed,
        );
    }

    fn record(
        &self,
        request_id: &str,
        route: String,
        path: &str,
        idempotency_key: Option<String>,
        status: Option<u16>,
        replayed: bool,
    ) {
        let record = RequestRecord {
            request_id: request_id.to_owned(),
            route,
            path: path.to_owned(),
            idempotency_key,
            status,
            replayed,
            at_ms: self.clock.now_ms(),
        };
        self.lock().log.record(record);
    }

    /// Forgets everything: the account, the faults, the log and the clock's offset.
    pub(crate) fn reset(&self) {
        let mut inner = self.lock();
        inner.world = World::new(&self.config);
        inner.faults.clear();
        inner.log = RequestLog::default();
        self.clock.set_offset_ms(0);
        drop(inner);
        self.touched();
    }
}

impl Inner {
    fn settle(&mut self, now: i64) {
        lifecycle::settle(&mut self.world, &mut self.ids, now);
    }

    /// Ends what the call held, and saves its answer under its key if there is one to save.
    fn finish(&mut self, ticket: &Ticket, to_save: Option<&Reply>, now: i64) {
        if let Some(occupied) = &ticket.occupies {
            self.occupied.remove(occupied);
        }
        if let Some((key, fingerprint)) = &ticket.key {
            let saved = to_save.map(|reply| Saved {
                fingerprint: fingerprint.clone(),
                status: reply.status,
                body: String::from_utf8_lossy(&reply.body).into_owned(),
                request_id: ticket.request_id.clone(),
                at: now,
            });
            self.world.idempotency.finish(key, saved);
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("idempotency-key")?.to_str().ok()
}
