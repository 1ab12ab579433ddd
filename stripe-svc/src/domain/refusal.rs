//! A no that is final.

/// Why a request will not be carried out, however often it is sent.
///
/// It is an answer, not an error: it is stored, kept and shown to a person. What may still go well
/// is never told as a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Stripe's code, or its type where it gives none, or one of ours.
    pub(crate) code: String,
    /// A sentence for a person.
    pub(crate) message: String,
    /// The parameter at fault as Stripe names it.
    pub(crate) param: Option<String>,
    /// Stripe's id of the request.
    pub(crate) request_id: Option<String>,
}

impl Refusal {
    /// A refusal of ours, without a word from Stripe.
    pub(crate) fn ours(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            param: None,
            request_id: None,
        }
    }

    /// Whether Stripe says that what the request names is not there.
    pub(crate) fn is_resource_missing(&self) -> bool {
        self.code == "resource_missing"
    }
}
