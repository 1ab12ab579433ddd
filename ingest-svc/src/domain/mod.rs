//! The rules of usage reports and their delivery: pure, without I/O or time of its own.

pub(crate) mod audit;
pub(crate) mod baseline;
pub(crate) mod delivery;
pub(crate) mod expectation;
pub(crate) mod finding;
pub(crate) mod hold;
pub(crate) mod invoiced;
pub(crate) mod notice;
pub(crate) mod place;
#[cfg(test)]
mod properties;
pub(crate) mod reconciliation;
pub(crate) mod refusal;
pub(crate) mod replacement;
pub(crate) mod report;
pub(crate) mod retry;
pub(crate) mod signing;
pub(crate) mod source;
pub(crate) mod standing;
