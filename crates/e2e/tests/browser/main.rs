//! Goal: what a person meets in a browser works: with script and without, by mouse and by keyboard,
//! in both languages and in the dark, and whatever strangers call themselves.
//! Method: a headless Chromium before a whole system. In each test it is also watched: it may ask
//! nobody but the gateway, and nothing may be wrong with a page's script or against its policy.
//!
//! `cargo xtask ci browser` installs what is needed and names it in `BROWSER_TOOLS_DIR`. Without it
//! the tests say that they prove nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says so where it proves nothing"
)]

mod accessibility;
mod audit;
mod browser;
mod chromium;
mod decisions;
mod grpc_web;
mod keyboard;
mod links;
mod lists;
mod preferences;
mod sign_in;
mod strangers;
mod subscriptions;
