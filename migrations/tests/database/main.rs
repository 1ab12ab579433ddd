//! The migrations on real databases.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod adoption;
mod better_auth;
mod binary;
mod fresh;
mod roles;
mod support;
mod upgrade;
