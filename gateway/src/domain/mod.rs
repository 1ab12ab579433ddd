//! What the gateway decides by itself, without asking anybody: how bodies are read, whose cookies
//! and origins are believed, what an organization is to an admin.
//!
//! Architecture invariant: nothing here is async, speaks tonic or HTTP, or does I/O. The words that
//! services share (deployment types, plans, statuses) are the contract's own enums: a second set
//! would only be a copy.

pub(crate) mod api_key;
pub(crate) mod api_tokens;
pub(crate) mod change_password_body;
pub(crate) mod csv;
pub(crate) mod fields;
pub(crate) mod link_terms;
pub(crate) mod notice;
pub(crate) mod organization;
pub(crate) mod organization_filter;
pub(crate) mod origin;
pub(crate) mod report_draft;
pub(crate) mod report_encoding;
pub(crate) mod report_signature;
pub(crate) mod reporting;
pub(crate) mod session_cookie;
pub(crate) mod sign_in_body;
pub(crate) mod subscription_change;
pub(crate) mod time_text;
pub(crate) mod trusted_proxies;
pub(crate) mod webhook_event;
pub(crate) mod words;
