//! Stripe's error bodies, and what idempotency must know about each of them.
//!
//! A refusal is made here or nowhere: its texts are Stripe's own where they are known, and each
//! carries whether execution had begun, because only then does Stripe save it under the
//! idempotency key.

use serde_json::{Map, Value, json};

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    /// Whether execution had begun, so that the same idempotency key replays this answer.
    pub(crate) saved: bool,
}

const INVALID_REQUEST: &str = "invalid_request_error";

impl Refusal {
    /// A parameter that is wrong in itself. Nothing began, so nothing is saved.
    pub(crate) fn violation(
        param: impl Into<String>,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status: 400,
            kind: INVALID_REQUEST,
            code,
            message: message.into(),
            param: Some(param.into()),
            saved: false,
        }
    }

    /// A request that is well formed and cannot be carried out.
    pub(crate) fn refused(
        param: Option<&str>,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status: 400,
            kind: INVALID_REQUEST,
            code,
            message: message.into(),
            param: param.map(str::to_owned),
            saved: true,
        }
    }

    /// An object named by a parameter does not exist: 400, as Stripe answers it.
    pub(crate) fn no_such_in(param: &str, noun: &str, id: &str) -> Self {
        Self::refused(
            Some(param),
            Some("resource_missing"),
            format!("No such {noun}: '{id}'"),
        )
    }

    /// The object named by the path does not exist: 404.
    pub(crate) fn no_such(noun: &str, id: &str) -> Self {
        Self {
            status: 404,
            ..Self::no_such_in("id", noun, id)
        }
    }

    pub(crate) fn no_such_url(method: &str, path: &str) -> Self {
        Self {
            status: 404,
            saved: false,
            ..Self::refused(
                None,
                None,
                format!(
                    "Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs \
                     or we can help at https://support.stripe.com/."
                ),
            )
        }
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self {
            status: 401,
            saved: false,
            ..Self::refused(None, None, message)
        }
    }

    pub(crate) fn lock_timeout() -> Self {
        Self {
            status: 429,
            saved: false,
            ..Self::refused(
                None,
                Some("lock_timeout"),
                "This object cannot be accessed right now because another API request or Stripe \
                 process is currently accessing it. If you see this error intermittently, retry the \
                 request. If you see this error frequently and are making multiple concurrent \
                 requests to a single object, make your requests serially or at a lower rate.",
            )
        }
    }

    pub(crate) fn rate_limited() -> Self {
        Self {
            status: 429,
            saved: false,
            ..Self::refused(
                None,
                Some("rate_limit"),
                "Request rate limit exceeded. Learn more about rate limits here: \
                 https://stripe.com/docs/rate-limits.",
            )
        }
    }

    pub(crate) fn key_in_use(key: &str) -> Self {
        Self {
            status: 409,
            kind: "idempotency_error",
            saved: false,
            ..Self::refused(
                None,
                Some("idempotency_key_in_use"),
                format!(
                    "There is currently another in-progress request using this Idempotent Key (that \
                     probably means you submitted twice, and the other request is still going \
                     through): {key}. Please try again later."
                ),
            )
        }
    }

    pub(crate) fn key_reused(key: &str) -> Self {
        Self {
            kind: "idempotency_error",
            saved: false,
            ..Self::refused(
                None,
                None,
                format!(
                    "Keys for idempotent requests can only be used with the same parameters they \
                     were first used with. Try using a key other than '{key}' if you meant to execute \
                     a different request."
                ),
            )
        }
    }

    pub(crate) fn server_error(status: u16) -> Self {
        Self {
            status,
            kind: "api_error",
            ..Self::refused(None, None, "An unknown error occurred")
        }
    }

    /// The body, which names the request as Stripe's does.
    pub(crate) fn to_body(&self, request_id: &str) -> Value {
        let mut error = Map::new();
        if let Some(code) = self.code {
            error.insert("code".to_owned(), json!(code));
            let page = code.replace('_', "-");
            error.insert(
                "doc_url".to_owned(),
                json!(format!("https://stripe.com/docs/error-codes/{page}")),
            );
        }
        error.insert("message".to_owned(), json!(self.message));
        if let Some(param) = &self.param {
            error.insert("param".to_owned(), json!(param));
        }
        error.insert(
            "request_log_url".to_owned(),
            json!(format!(
                "https://dashboard.stripe.com/test/logs/{request_id}"
            )),
        );
        error.insert("type".to_owned(), json!(self.kind));
        json!({ "error": error })
    }
}
