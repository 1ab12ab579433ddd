//! What the simulator has taken in, for assertions and reports.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::customers::Customer;
use crate::meters::Meter;
use crate::portal::PortalSession;
use crate::prices::Price;
use crate::products::Product;
use crate::test_clocks::TestClock;
use crate::world::World;

/// Requests remembered one by one; older ones are only counted.
const MAX_RECENT: usize = 10_000;

/// How often a route was called, and with what end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteCount {
    pub calls: u64,
    /// By status; `dropped` where the connection ended without an answer.
    pub by_outcome: BTreeMap<String, u64>,
    /// Answers that an idempotency key replayed.
    pub replayed: u64,
}

/// One request, in the order in which they were answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    pub request_id: String,
    pub route: String,
    pub path: String,
    pub idempotency_key: Option<String>,
    /// None where the connection ended without an answer.
    pub status: Option<u16>,
    pub replayed: bool,
    /// Unix milliseconds of the simulator's clock.
    pub at_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    by_route: BTreeMap<String, RouteCount>,
    recent: VecDeque<RequestRecord>,
}

impl RequestLog {
    pub(crate) fn record(&mut self, record: RequestRecord) {
        let outcome = record
            .status
            .map_or_else(|| "dropped".to_owned(), |it| it.to_string());
        let count = self.by_route.entry(record.route.clone()).or_default();
        count.calls += 1;
        count.replayed += u64::from(record.replayed);
        *count.by_outcome.entry(outcome).or_default() += 1;
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(record);
    }
}

/// One accepted meter event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerEvent {
    /// The place in the order of receipt, from 0.
    pub received_order: usize,
    pub identifier: String,
    pub event_name: String,
    pub meter: String,
    pub customer: String,
    /// A decimal number.
    pub value: String,
    /// When the usage happened and when it was received. Unix seconds.
    pub timestamp: i64,
    pub received_at: i64,
    /// Whether an adjustment took it back.
    pub cancelled: bool,
}

/// Everything the account holds. Objects are as the API shows them.
#[derive(Debug, Clone, Serialize)]
pub struct Ledger {
    /// Unix seconds of the simulator's clock.
    pub now: i64,
    pub customers: Vec<Value>,
    pub products: Vec<Value>,
    pub prices: Vec<Value>,
    pub meters: Vec<Value>,
    pub subscriptions: Vec<Value>,
    pub invoices: Vec<Value>,
    pub test_clocks: Vec<Value>,
    pub portal_sessions: Vec<Value>,
    pub meter_events: Vec<LedgerEvent>,
    pub meter_event_count: usize,
    /// Events ever made, thin ones included.
    pub event_count: u64,
    /// Answers that an idempotency key would replay.
    pub idempotency_key_count: usize,
    pub requests_by_route: BTreeMap<String, RouteCount>,
    pub recent_requests: Vec<RequestRecord>,
}

impl Ledger {
    /// `wants` says which of the lists are filled, by their name; a large one is slow to copy.
    pub(crate) fn of(
        world: &World,
        log: &RequestLog,
        now: i64,
        wants: impl Fn(&str) -> bool,
    ) -> Self {
        fn listed<T>(wanted: bool, items: &[T], to: impl FnMut(&T) -> Value) -> Vec<Value> {
            if wanted {
                items.iter().map(to).collect()
            } else {
                Vec::new()
            }
        }
        let subscriptions = world.subscriptions.store().as_slice();
        Self {
            now,
            customers: listed(
                wants("customers"),
                world.customers.as_slice(),
                Customer::to_value,
            ),
            products: listed(
                wants("products"),
                world.products.as_slice(),
                Product::to_value,
            ),
            prices: listed(wants("prices"), world.prices.as_slice(), Price::to_value),
            meters: listed(wants("meters"), world.meters.as_slice(), Meter::to_value),
            subscriptions: listed(wants("subscriptions"), subscriptions, |it| {
                it.to_value(world)
            }),
            invoices: listed(wants("invoices"), world.invoices.store().as_slice(), |it| {
                it.to_value(world)
            }),
            test_clocks: listed(
                wants("test_clocks"),
                world.test_clocks.as_slice(),
                TestClock::to_value,
            ),
            portal_sessions: listed(
                wants("portal_sessions"),
                world.portal_sessions.as_slice(),
                PortalSession::to_value,
            ),
            meter_events: if wants("meter_events") {
                events(world)
            } else {
                Vec::new()
            },
            meter_event_count: world.usage.events().len(),
            event_count: world.events.count,
            idempotency_key_count: world.idempotency.len(),
            requests_by_route: log.by_route.clone(),
            recent_requests: if wants("recent_requests") {
                log.recent.iter().cloned().collect()
            } else {
                Vec::new()
            },
        }
    }
}

fn events(world: &World) -> Vec<LedgerEvent> {
    let name = |meter: &str| world.meters.get(meter).map(|it| it.event_name.clone());
    let events = world.usage.events().iter().enumerate();
    events
        .map(|(received_order, event)| LedgerEvent {
            received_order,
            identifier: event.identifier.clone(),
            event_name: name(&event.meter).unwrap_or_default(),
            meter: event.meter.clone(),
            customer: event.customer.clone(),
            value: event.value.to_string(),
            timestamp: event.timestamp,
            received_at: event.received_at,
            cancelled: event.cancelled,
        })
        .collect()
}
