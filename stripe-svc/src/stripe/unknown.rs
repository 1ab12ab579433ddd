//! An outcome that is not known.

use std::time::Duration;

use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use thiserror::Error;

/// When to come back where Stripe does not say.
const RETRY_DELAY_DEFAULT: Duration = Duration::from_secs(5);
/// When to come back to what a person must mend first.
const RETRY_DELAY_OURS: Duration = Duration::from_secs(60);
/// The longest wait that is believed.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(3600);

/// Why an outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownKind {
    /// No answer, or only a part of one.
    NoAnswer,
    /// Stripe asks to come again: 409, 424, 429.
    Later,
    /// Stripe failed while it worked, and may have done the work.
    Broken,
    /// Stripe failed, and saved that failure under the idempotency key: the key will never bring
    /// another answer.
    KeySpent,
    /// Stripe will not listen to us: our key, its rights, or an idempotency key of ours that was
    /// used for something else. Nobody's terms are at fault.
    Ours,
    /// Stripe did the work, and its answer cannot be read.
    Unreadable,
}

/// A request whose outcome is not known, or not now. The same request, under the same key, may be
/// sent again.
#[derive(Debug, Clone, Error)]
#[error("{message} (code {code}, request {})", request_id.as_deref().unwrap_or("unknown"))]
pub(crate) struct Unknown {
    pub(crate) kind: UnknownKind,
    /// Stripe's code or ours.
    pub(crate) code: String,
    /// A sentence for a person.
    pub(crate) message: String,
    /// Stripe's id of the request.
    pub(crate) request_id: Option<String>,
    /// When Stripe said to come again.
    pub(crate) retry_after: Option<Duration>,
}

impl Unknown {
    pub(crate) fn new(kind: UnknownKind, code: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.to_owned(),
            message: message.into(),
            request_id: None,
            retry_after: None,
        }
    }

    /// When to send it again.
    pub(crate) fn retry_delay(&self) -> Duration {
        let default = match self.kind {
            UnknownKind::NoAnswer
            | UnknownKind::Later
            | UnknownKind::Broken
            | UnknownKind::KeySpent => RETRY_DELAY_DEFAULT,
            UnknownKind::Ours | UnknownKind::Unreadable => RETRY_DELAY_OURS,
        };
        self.retry_after.unwrap_or(default).min(RETRY_DELAY_MAX)
    }
}

impl From<Unknown> for Fault {
    fn from(unknown: Unknown) -> Self {
        let (reason, message) = match unknown.kind {
            UnknownKind::NoAnswer => (
                ErrorReason::Unavailable,
                "Stripe did not answer; whether it did the work is not known yet.",
            ),
            UnknownKind::Later => (
                ErrorReason::Unavailable,
                "Stripe asks us to send this again later.",
            ),
            UnknownKind::Broken | UnknownKind::KeySpent => (
                ErrorReason::Unavailable,
                "Stripe failed; whether it did the work is not known yet.",
            ),
            UnknownKind::Ours => (
                ErrorReason::Unavailable,
                "Stripe does not accept this service's requests: its key, or the key's rights, are wrong.",
            ),
            UnknownKind::Unreadable => {
                (ErrorReason::Unavailable, "Stripe's answer cannot be read.")
            }
        };
        let mut fault = Self::new(reason, message).with("stripe_code", unknown.code.clone());
        fault.retry_after = Some(unknown.retry_delay());
        fault.caused_by(unknown)
    }
}
