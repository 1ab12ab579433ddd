//! The tables of stripe-svc as entities: each states its mapping once, and the scopes that its queries
//! chain. They never leave the store.

pub(super) mod calls;
pub(super) mod customers;
pub(super) mod meter_errors;
pub(super) mod meter_events;
pub(super) mod subscription_changes;
pub(super) mod subscriptions;
pub(super) mod sweeps;
pub(super) mod webhook_events;
