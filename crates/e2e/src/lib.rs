//! The whole system in one process, on real parts: PostgreSQL, gRPC over TCP with mutual TLS, the
//! Stripe client over HTTP against the simulator. Nothing is mocked.
//!
//! Each service has a runtime of its own, so that a test can end one as SIGKILL would: its tasks are
//! dropped where they stand, its connections closed, nothing drained.
//!
//! Architecture invariant: a service is configured here through the same variables as in production.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot have what it stands on fails by panicking"
)]

pub mod actors;
mod host;
mod system;

pub use host::Service;
pub use system::{ADMIN_EMAIL, ADMIN_PASSWORD, AUTH_SECRET, STRIPE_KEY, System, WEBHOOK_SECRET};
