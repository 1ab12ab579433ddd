//! What this service does: one file per verb.
//!
//! Architecture invariant: nothing is asked of Stripe that would change anything there before it is a
//! committed row here, and no transaction is open while Stripe is asked. (`catalog apply` is a
//! person's command, and finds again in Stripe what it did.)

mod adopt_customer;
pub(crate) mod cancel_subscription;
mod carry_out;
pub(crate) mod change_catalog;
mod change_subscription;
pub(crate) mod create_portal_session;
mod customer_gates;
mod existing_customer;
mod find_price;
pub(crate) mod get_usage_summaries;
pub(crate) mod list_invoiced_usage;
pub(crate) mod list_invoices;
pub(crate) mod list_meter_errors;
pub(crate) mod list_webhook_events;
pub(crate) mod preview_subscription;
pub(crate) mod process_webhook_events;
pub(crate) mod provision_subscription;
pub(crate) mod receive_webhook;
pub(crate) mod record_meter_events;
mod refresh_invoiced;
mod refresh_subscription;
pub(crate) mod retry_webhook_event;
pub(crate) mod sweep_subscriptions;
pub(crate) mod update_subscription;
pub(crate) mod watch_subscriptions;

use billing_kit::{Clock, Ids, process::Lifecycle};
use sea_orm::DatabaseConnection;
use secrecy::SecretString;
use tokio::sync::{Notify, Semaphore};

use crate::{Deps, domain::catalog::Catalog, stripe::Stripe};

use customer_gates::CustomerGates;

/// What every use case works with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) db: DatabaseConnection,
    pub(crate) stripe: Stripe,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) life: Lifecycle,
    /// Wakes the feed's readers.
    pub(crate) changed: Notify,
    /// Any of these may have signed a webhook; none where webhooks are not set up.
    pub(crate) webhook_secrets: Vec<SecretString>,
    /// Told when a webhook came.
    pub(crate) arrived: Notify,
    /// How many meter events may be on their way at once.
    sending: Semaphore,
    gates: CustomerGates,
}

impl App {
    pub(crate) fn new(
        db: DatabaseConnection,
        stripe: Stripe,
        catalog: Catalog,
        deps: Deps,
        life: Lifecycle,
        webhook_secrets: Vec<SecretString>,
        concurrency_max: usize,
    ) -> Self {
        let Deps { clock, ids } = deps;
        Self {
            db,
            stripe,
            catalog,
            clock,
            ids,
            life,
            changed: Notify::new(),
            webhook_secrets,
            arrived: Notify::new(),
            sending: Semaphore::new(concurrency_max),
            gates: CustomerGates::default(),
        }
    }
}
