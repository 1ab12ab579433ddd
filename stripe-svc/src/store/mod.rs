//! The tables of stripe-svc, each with the functions that read and write it. What leaves this module
//! is a domain type.
//!
//! Functions take a connection or a transaction; the use case owns the transaction.

pub(crate) mod calls;
pub(crate) mod customers;
pub(crate) mod meter_events;
pub(crate) mod subscription_changes;
pub(crate) mod subscriptions;

use std::fmt::Display;

use sea_orm::{DbBackend, DbErr, Statement, Value};

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
