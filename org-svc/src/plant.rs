//! A defect on purpose, which `cargo xtask chaos --plant` must find.
//!
//! It must never be part of what is shipped: a release build refuses it.

#[cfg(not(debug_assertions))]
compile_error!("this feature plants a defect: no release build has it");

use billing_kit::Ids;

use crate::domain::link::LinkOperationId;

/// Begins the link anew on every attempt, where the operation should be resumed (gitpod#15246).
pub(crate) fn instead_of(_resumed: &LinkOperationId) -> LinkOperationId {
    LinkOperationId(Ids::random().next())
}
