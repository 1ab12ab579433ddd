//! Where PostgreSQL is, for every program that reads `DATABASE_URL`.
//!
//! The address is read here and not by the driver. The driver takes a `#` or `/` in a password for the
//! end of the host, ignores parameters that it does not know, and logs them.
//!
//! Architecture invariant: no message of this crate contains a part of the address, except the names of
//! known parameters.

mod address;
mod parameters;
mod server;

pub use address::{Address, Policy};
pub use server::{StartError, check_session};

/// The exit code for a configuration that is wrong (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;
/// The variable that allows a connection without TLS to another machine.
pub const ALLOW_PLAINTEXT: &str = "DATABASE_ALLOW_PLAINTEXT";
/// The variable with the schema of our tables.
pub const SCHEMA: &str = "DATABASE_SCHEMA";
/// The schema where the variable is not set.
pub const SCHEMA_DEFAULT: &str = "public";
