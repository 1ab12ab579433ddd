//! The gateway over real HTTP and gRPC.
//!
//! What stands behind it are small servers that keep the contracts of ingest-svc, org-svc and
//! stripe-svc in memory: the gateway holds no data, and what the real ones do with it is tested with them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

mod admin_rest;
mod better_auth;
mod dashboard;
mod early_answers;
mod grpc;
mod headers;
mod ingest;
mod limits;
mod openapi;
mod openapi_kept;
mod org;
mod pending;
mod read_only;
mod reconciliation;
mod stripe;
mod stripe_objects;
mod subscription_changes;
mod usage_report;
mod webhooks;
mod world;
