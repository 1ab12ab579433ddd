//! The tables of this service: rows in, domain values out.
//!
//! Functions take any connection, so that the use case decides what is one transaction. Statements
//! stand beside the functions that run them; entities never leave this module.
//!
//! Architecture invariant: nothing is decided here. Locks, conflicts and order are SQL's part of a
//! decision and say so; what follows from a row is the domain's.

pub(crate) mod admins;
pub(crate) mod admissions;
pub(crate) mod api_keys;
pub(crate) mod audit_events;
pub(crate) mod better_auth;
pub(crate) mod expired;
pub(crate) mod feed_cursors;
pub(crate) mod ignored;
pub(crate) mod link_operations;
pub(crate) mod notices;
pub(crate) mod organization_changes;
mod organization_list;
pub(crate) mod organizations;
pub(crate) mod search_forms;
pub(crate) mod sign_in_budgets;
pub(crate) mod sign_in_failures;
pub(crate) mod unclaimed_subscriptions;

use billing_kit::Fault;
use sea_orm::{DbBackend, Statement, Value};

/// A statement of ours with its values.
fn statement(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

/// A stored word that this release does not know: somebody else wrote it, or a newer release.
fn unknown_word(column: &str, word: &str) -> Fault {
    Fault::internal(format!(
        "the column {column} holds '{word}', which is not known"
    ))
}
