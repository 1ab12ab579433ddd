//! A stateful simulator of Stripe's HTTP API, for the development and the tests of what bills by it.
//!
//! It keeps one account in memory, on a clock that tests can move, and answers as Stripe does, its
//! refusals and its rules of idempotency included; faults can be queued on any route.
//!
//! It refuses every parameter that it does not simulate, so no test can pass on one that had no
//! effect. It must never be part of a production image, and it never talks to Stripe.
//!
//! Time passes on its own clock and on Stripe's test clocks; what that makes due (trials, periods,
//! invoices, reports) happens in order and each at its own time. Every change makes an event, and
//! events are delivered to webhooks. Where Stripe's behaviour is not known, the module that decides
//! says `Guess`.
//!
//! [`Simulator::start`] gives a [`Handle`]; the same controls are served under `/_sim/`.

mod agenda;
mod auth;
mod billing;
mod calendar;
mod choice;
mod clock;
mod config;
mod control;
mod control_webhooks;
mod customers;
mod errors;
mod events;
mod exchange;
mod expand;
mod faults;
mod fields;
mod idempotency;
mod ids;
mod invoice_calls;
mod invoice_lines;
mod invoices;
mod ledger;
mod lifecycle;
mod limiter;
mod metadata;
mod meter_errors;
mod meter_events;
mod meters;
mod moment;
mod page;
mod params;
mod portal;
mod prices;
mod products;
mod reply;
mod routes;
mod search;
mod server;
mod settings;
mod sim;
mod state_file;
mod store;
mod subscription_change;
mod subscription_create;
mod subscription_items;
mod subscription_list;
mod subscriptions;
mod summaries;
mod test_clocks;
mod thin_events;
mod usage;
mod webhook_endpoints;
mod webhook_queue;
mod webhook_worker;
mod world;

pub use crate::config::{Config, RateLimits, WebhookConfig};
pub use crate::faults::{Fault, FaultEffect, FaultResponse, InvalidFault};
pub use crate::ledger::{Ledger, LedgerEvent, RequestRecord, RouteCount};
pub use crate::server::{Handle, Simulator, StartError};
pub use crate::state_file::StateFileError;
