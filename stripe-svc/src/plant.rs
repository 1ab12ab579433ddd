//! Defects on purpose, which `cargo xtask chaos --plant` must find.
//!
//! They must never be part of what is shipped: a release build refuses them.

#[cfg(not(debug_assertions))]
compile_error!("these features plant defects: no release build has them");

#[cfg(feature = "plant-fresh-identifier")]
use crate::domain::{
    ids::{EventIdentifier, IdempotencyKey},
    stored_event::StoredEvent,
};

/// Another event to Stripe on every attempt (langfuse#15917).
#[cfg(feature = "plant-fresh-identifier")]
pub(crate) fn fresh(
    stored: &StoredEvent,
    key: &IdempotencyKey,
    id: uuid::Uuid,
) -> (StoredEvent, IdempotencyKey) {
    let id = id.simple();
    let mut stored = stored.clone();
    let identifier = format!("{}_{id}", stored.event.identifier);
    stored.event.identifier = EventIdentifier::new(identifier);
    (stored, IdempotencyKey::new(format!("{key}_{id}")))
}
