//! What we read of Stripe's objects: no more than we use, so that nothing else can be missing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    domain::ids::OperationId,
    stripe::unknown::{Unknown, UnknownKind},
};

/// A page of a list.
#[derive(Debug, miniserde::Deserialize)]
pub(crate) struct ListOf<T> {
    pub(crate) data: Vec<T>,
    pub(crate) has_more: Option<bool>,
}

/// Anything that was made, found or changed.
#[derive(Debug, miniserde::Deserialize)]
pub(crate) struct CreatedObject {
    pub(crate) id: String,
}

/// Something that has a status.
#[derive(Debug, miniserde::Deserialize)]
pub(crate) struct StatusObject {
    pub(crate) status: String,
}

/// Something with metadata of ours.
#[derive(Debug, miniserde::Deserialize)]
pub(crate) struct MarkedObject {
    pub(crate) id: String,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

impl MarkedObject {
    /// Whether this operation of ours made it.
    pub(crate) fn is_of(&self, operation: OperationId) -> bool {
        let operation = operation.to_string();
        self.metadata
            .as_ref()
            .and_then(|metadata| metadata.get(super::customers::OPERATION_ID))
            == Some(&operation)
    }
}

/// A subscription as it was answered.
#[derive(Debug, miniserde::Deserialize)]
pub(crate) struct SubscriptionObject {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) status: String,
    /// Unix seconds.
    pub(crate) trial_end: Option<i64>,
    /// Unix seconds.
    pub(crate) start_date: i64,
}

/// Reads an object from the JSON text of it.
///
/// # Errors
/// A field that is needed is missing: what Stripe did is not known to us.
pub(crate) fn from_text<T: miniserde::Deserialize>(text: &[u8]) -> Result<T, Unknown> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| miniserde::json::from_str(text).ok())
        .ok_or_else(|| {
            Unknown::new(
                UnknownKind::Unreadable,
                "unreadable_answer",
                "Stripe's answer lacks a required field.",
            )
        })
}

/// Reads an object from a stored response.
///
/// # Errors
/// As [`from_text`].
pub(crate) fn from_json<T: miniserde::Deserialize>(response: &Value) -> Result<T, Unknown> {
    from_text(response.to_string().as_bytes())
}
