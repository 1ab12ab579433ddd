//! What each assertion does. A check's name is its assertion's.

pub(crate) mod cancel;
pub(crate) mod errors;
pub(crate) mod idempotency;
pub(crate) mod invoices;
pub(crate) mod look_ups;
pub(crate) mod meter_events;
pub(crate) mod prices;
pub(crate) mod told;
pub(crate) mod trial;
