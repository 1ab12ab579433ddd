//! What this service decides, without touching anything.
//!
//! Architecture invariant: nothing here waits, reads or writes; no tonic, no sea_orm, no HTTP. What
//! comes from outside was parsed at the door and is one of these types.

pub(crate) mod call;
pub(crate) mod catalog;
pub(crate) mod catalog_diff;
pub(crate) mod catalog_file;
pub(crate) mod change;
pub(crate) mod ids;
pub(crate) mod invoice;
pub(crate) mod meter_error;
pub(crate) mod meter_event;
pub(crate) mod metered_invoice;
pub(crate) mod page;
pub(crate) mod preview;
#[cfg(test)]
mod properties;
pub(crate) mod provision;
pub(crate) mod refusal;
pub(crate) mod signature;
pub(crate) mod stored_event;
pub(crate) mod subscription;
pub(crate) mod terms;
pub(crate) mod token_bucket;
pub(crate) mod usage_days;
pub(crate) mod webhook_event;
