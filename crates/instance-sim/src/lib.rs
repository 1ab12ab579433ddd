//! The instance's side of the contract: one VaultAI instance, or a fleet of them.
//!
//! It counts its users in the tables of the specification, and reports the count with the token that
//! all instances share, once a day and again until it is answered. `fleet` is the load generator and
//! `demo` fills a development system; both are made of the same reporter.
//!
//! Architecture invariant: it knows the billing service by its public doors only. No crate of the
//! billing side is linked here, so that what it sends is what the specification says and not what
//! we would like to receive. The one exception, and why, is at the top of `demo::backdate`.

pub mod cli;
mod clock;
pub mod cron;
pub mod database;
pub mod demo;
pub mod deterministic;
pub mod fleet;
pub mod histogram;
pub mod http_client;
pub mod organizations;
mod out;
pub mod report;
pub mod reporter;
pub mod retry;
pub mod signing;
mod target;

pub use clock::now;
