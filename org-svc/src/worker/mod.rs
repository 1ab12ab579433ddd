//! What runs by itself.

pub(crate) mod link_operations;
pub(crate) mod subscriptions;
