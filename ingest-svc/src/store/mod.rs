//! The tables of ingest-svc, each with the functions that read and write it. What leaves this module
//! is a domain type.
//!
//! Functions take a connection or a transaction; the use case owns the transaction.

pub(crate) mod audit_events;
pub(crate) mod baselines;
pub(crate) mod conflicts;
mod day_rule;
pub(crate) mod delivery;
pub(crate) mod drains;
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

use std::fmt::Display;

use sea_orm::{DbBackend, DbErr, Statement, Value};

/// A statement with its values.
fn sql(text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, text, values)
}

/// A word in the database that the domain does not know: the schema's CHECKs and the code disagree.
fn unknown_word(column: &str, word: impl Display) -> DbErr {
    DbErr::Type(format!("{column} holds '{word}', which is not known"))
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
