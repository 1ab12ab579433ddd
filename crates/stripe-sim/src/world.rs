//! Everything the simulated account holds, and what a handler is given of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agenda::Agenda;
use crate::config::Config;
use crate::customers::Customer;
use crate::errors::Refusal;
use crate::events::Events;
use crate::fields::Fields;
use crate::idempotency::IdempotencyKeys;
use crate::ids::Ids;
use crate::invoices::Invoices;
use crate::meter_errors::BadEvents;
use crate::meters::Meter;
use crate::portal::PortalSession;
use crate::prices::Price;
use crate::products::Product;
use crate::settings::Settings;
use crate::store::Store;
use crate::subscriptions::Subscriptions;
use crate::test_clocks::TestClock;
use crate::usage::Usage;
use crate::webhook_queue::Webhooks;

/// The state that a state file keeps. Relations are ids, as they are in the API.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) customers: Store<Customer>,
    pub(crate) products: Store<Product>,
    pub(crate) prices: Store<Price>,
    pub(crate) meters: Store<Meter>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) usage: Usage,
    pub(crate) idempotency: IdempotencyKeys,
    #[serde(default)]
    pub(crate) test_clocks: Store<TestClock>,
    #[serde(default)]
    pub(crate) invoices: Invoices,
    #[serde(default)]
    pub(crate) settings: Settings,
    /// How often this account was loaded: ids must not come again after a restart.
    #[serde(default)]
    pub(crate) loads: u64,
    #[serde(default)]
    pub(crate) portal_sessions: Store<PortalSession>,
    #[serde(default)]
    pub(crate) bad_events: BadEvents,
    #[serde(default)]
    pub(crate) events: Events,
    #[serde(default)]
    pub(crate) webhooks: Webhooks,
    #[serde(skip)]
    pub(crate) agenda: Agenda,
}

impl World {
    /// An empty account.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            settings: Settings::new(config),
            webhooks: Webhooks::new(config),
            ..Self::default()
        }
    }

    /// Rebuilds what a state file leaves out.
    pub(crate) fn reindex(&mut self, config: &Config) {
        self.events.reindex();
        self.webhooks.reindex();
        self.webhooks.configure(config);
        self.customers.reindex();
        self.products.reindex();
        self.prices.reindex();
        self.meters.reindex();
        self.test_clocks.reindex();
        self.portal_sessions.reindex();
        self.agenda.clear();
        self.subscriptions.reindex(&mut self.agenda);
        self.invoices.reindex(&mut self.agenda);
        self.bad_events.reindex(&mut self.agenda);
        self.usage.reindex(&self.meters, &self.customers);
    }
}

pub(crate) type Answer = Result<Value, Refusal>;

/// One call of the API as its handler sees it: under the lock, at one moment.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) ids: &'a mut Ids,
    /// Unix seconds.
    pub(crate) now: i64,
    /// How far search lags behind, in seconds.
    pub(crate) search_lag_s: i64,
    /// The id in the path, empty where the path has none.
    pub(crate) id: String,
    pub(crate) fields: Fields,
}
