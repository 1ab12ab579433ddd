//! The tables of stripe-svc, each with the functions that read and write it. What leaves this module
//! is a domain type.
//!
//! Functions take a connection or a transaction; the use case owns the transaction. One table is read
//! and written through its entity and scopes (`entities`); raw SQL, with named parameters, is for what
//! takes many rows at once, a lease, or several tables.

pub(crate) mod calls;
pub(crate) mod customers;
mod entities;
pub(crate) mod meter_errors;
pub(crate) mod meter_events;
pub(crate) mod subscription_changes;
pub(crate) mod subscriptions;
pub(crate) mod sweeps;
pub(crate) mod webhook_events;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A row that is this process's to work on, until then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) token: Uuid,
    pub(crate) until: DateTime<Utc>,
}
