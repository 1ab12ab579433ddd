//! The proof that nothing is lost and nobody is billed twice: the real binaries under faults.
//!
//! A run builds a world of its own (PostgreSQL, the Stripe simulator, two replicas of ingest-svc and
//! org-svc, stripe-svc, the gateway, a proxy on every way between them), lets a fleet report, admins
//! link and unlink, and somebody change subscriptions in Stripe, while faults strike by a schedule
//! that follows from the seed; then heals everything, waits for quiet, and has checkers hold three
//! records against one another.
//!
//! Architecture invariant: no crate of the billing side is linked here. What is checked is checked by
//! rules that are written down a second time, and read by SQL and HTTP of our own.

mod admins;
mod check;
mod dashboard;
mod database;
mod fleet;
mod forger;
mod inject;
mod journal;
mod logs;
mod proxy;
mod records;
mod recovery;
mod run;
pub mod schedule;
mod stripe;
mod world;

pub use run::{Options, run};
