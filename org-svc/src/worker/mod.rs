//! What runs by itself.

pub(crate) mod link_operations;
pub(crate) mod notices;
pub(crate) mod search_forms;
pub(crate) mod subscriptions;
