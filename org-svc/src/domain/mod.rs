//! What organizations, links and admins are, and what is decided about them.
//!
//! Architecture invariant: everything here is pure. Nothing waits, nothing reads a database, a clock
//! or a source of randomness, and neither tonic nor sea_orm is named: what a decision needs comes in
//! as a value, and what follows from it goes out as one.

pub(crate) mod account;
pub(crate) mod address;
pub(crate) mod admission;
pub(crate) mod api_key;
pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod change;
pub(crate) mod device;
pub(crate) mod email;
pub(crate) mod ignoring;
pub(crate) mod keyset;
pub(crate) mod link;
#[cfg(test)]
mod link_properties;
pub(crate) mod notice;
pub(crate) mod observation;
pub(crate) mod organization;
pub(crate) mod page;
pub(crate) mod password;
pub(crate) mod retry;
pub(crate) mod session;
pub(crate) mod sign_in_failure;
pub(crate) mod subscription;
pub(crate) mod unlink;
