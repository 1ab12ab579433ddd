//! What every service stands on: configuration, telemetry, the server and client stacks, TLS and
//! caller identity, faults and their statuses, health, shutdown.
//!
//! Architecture invariant: no business noun stands here. Organizations, reports, admins' rights and
//! Stripe are the services' business. Nor is there a database: that is `billing_kit_db`, so that the
//! gateway can link this crate and still hold no data.

#[cfg(all(feature = "chaos", not(debug_assertions)))]
compile_error!("the feature `chaos` moves the clock: no release build has it");

pub mod accept;
pub mod access;
pub mod assertion;
pub mod client;
mod clock;
pub mod config;
pub mod context;
pub mod email;
pub mod fault;
pub mod health;
mod ids;
mod metrics;
pub mod process;
pub mod proto_time;
pub mod server;
pub mod telemetry;
pub mod text;
pub mod tls;

pub use clock::Clock;
pub use fault::{Fault, Violation};
pub use ids::Ids;
