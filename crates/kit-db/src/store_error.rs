//! The error of the stores.

use std::fmt::Display;

use billing_kit::Fault;
use sea_orm::DbErr;

use crate::fault::fault_of;

/// Why a store function failed. `?` makes it of a database error, and a [`Fault`] of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused the statement or cannot be reached.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// A stored value that this release does not know: the schema and the code disagree, or a newer
    /// release wrote it.
    #[error("{column} holds '{value}', which is not known")]
    UnknownValue {
        /// The column, with its table where the name alone is not clear.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// What a statement has just written, or a caller knows to be stored, is not there.
    #[error("no row of {0}")]
    Missing(String),
}

impl StoreError {
    /// A column holds a value that the domain does not know.
    pub fn unknown(column: &'static str, value: impl Display) -> Self {
        Self::UnknownValue {
            column,
            value: value.to_string(),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => fault_of(error),
            error @ (StoreError::UnknownValue { .. } | StoreError::Missing(_)) => {
                Self::internal(error)
            }
        }
    }
}

/// For a step of a use case that runs several statements and is mapped to a fault as a whole.
impl From<StoreError> for DbErr {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error,
            error @ StoreError::UnknownValue { .. } => Self::Type(error.to_string()),
            error @ StoreError::Missing(_) => Self::RecordNotFound(error.to_string()),
        }
    }
}
