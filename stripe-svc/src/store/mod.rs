//! The tables of stripe-svc, each with the functions that read and write it. What leaves this module
//! is a domain type.
//!
//! Functions take a connection or a transaction; the use case owns the transaction.

pub(crate) mod calls;
pub(crate) mod customers;
pub(crate) mod meter_errors;
pub(crate) mod meter_events;
pub(crate) mod subscription_changes;
pub(crate) mod subscriptions;
pub(crate) mod sweeps;
pub(crate) mod webhook_events;

use std::fmt::Display;

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, DbErr, Statement, Value};
use uuid::Uuid;

/// A row that is this process's to work on, until then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) token: Uuid,
    pub(crate) until: DateTime<Utc>,
}

/// A statement with its values.
fn sql(text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, text, values)
}

/// One column of many rows, for `unnest`.
fn column<T, C>(items: &[T], of: impl Fn(&T) -> C) -> Vec<C> {
    items.iter().map(of).collect()
}

/// A value that the schema's CHECKs allow and the domain does not know: they disagree.
fn unknown_value(column: &str, value: impl Display) -> DbErr {
    DbErr::Type(format!("{column} holds '{value}', which is not known"))
}
