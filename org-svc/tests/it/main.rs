//! org-svc on a real PostgreSQL, called over real gRPC.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

mod admins;
mod api_keys;
mod audit;
mod changes;
mod command_line;
mod doors;
mod feed;
mod guesses;
mod links;
mod lists;
mod notices;
mod observations;
mod passwords;
mod pending_flood;
mod search_forms;
mod starts;
mod subscriptions;
mod support;
mod unlink;
mod variants;
