//! The tables of ingest-svc, each with the functions that read and write it. What leaves this module
//! is a domain type.
//!
//! Functions take a connection or a transaction; the use case owns the transaction. One table is read
//! and written through its entity and scopes (`entities`); raw SQL, with named parameters, is for what
//! takes many rows at once, a lease, or several tables.

pub(crate) mod audit_events;
pub(crate) mod baselines;
pub(crate) mod conflicts;
mod day_rule;
pub(crate) mod delivery;
pub(crate) mod drains;
mod entities;
pub(crate) mod expired;
pub(crate) mod feed_cursors;
pub(crate) mod findings;
pub(crate) mod hold_groups;
pub(crate) mod holds;
pub(crate) mod ignored_organizations;
pub(crate) mod missed_invoices;
pub(crate) mod notices;
pub(crate) mod outbox;
pub(crate) mod reconciliation;
pub(crate) mod refusals;
pub(crate) mod reporting;
pub(crate) mod reports;
pub(crate) mod retries;
pub(crate) mod signing_keys;
pub(crate) mod sources;
pub(crate) mod spool;
pub(crate) mod summary;

use sea_orm::{DbBackend, Statement, Value};

/// A statement with its values.
fn sql(text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, text, values)
}

#[cfg(test)]
mod day_rule_tests;
#[cfg(test)]
mod drain_tests;
#[cfg(test)]
mod expired_tests;
#[cfg(test)]
mod notice_tests;
#[cfg(test)]
mod reconciliation_tests;
#[cfg(test)]
mod retry_tests;
#[cfg(test)]
mod silence_tests;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod tests;
