//! What a developer's machine lacks: a private PostgreSQL cluster, a certificate authority, and
//! the variables that the services are started with.
//!
//! For `cargo xtask` and for tests, which hold the values of this crate for as long as they need
//! what stands behind them. Everything here blocks: call it before the work begins.
//!
//! Architecture invariant: no service and no production image links this crate.

pub mod files;
pub mod pki;
pub mod ports;
pub mod postgres;
pub mod wiring;
