//! What an HTTP answer of Stripe's means.

use std::time::Duration;

use crate::{
    domain::refusal::Refusal,
    stripe::unknown::{Unknown, UnknownKind},
};

/// Characters of Stripe's message that are kept.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// What an answer says beside its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `Request-Id`.
    pub(crate) request_id: Option<String>,
    /// `Stripe-Should-Retry`.
    pub(crate) should_retry: Option<bool>,
    /// `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// `Idempotent-Replayed`: the answer was saved under the idempotency key.
    pub(crate) is_replay: bool,
}

/// What an answer means.
#[derive(Debug)]
pub(crate) enum Verdict {
    Done,
    /// Stripe would say the same again.
    Refused(Refusal),
    Unknown {
        unknown: Unknown,
        /// Whether to send the same request again at once (after a pause).
        repeat: bool,
    },
}

/// Stripe's error body; of a body that is none, every field is absent.
#[derive(Debug, Default, miniserde::Deserialize)]
struct ErrorBody {
    error: Option<ErrorDetails>,
}

#[derive(Debug, Default, miniserde::Deserialize)]
struct ErrorDetails {
    #[serde(rename = "type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    param: Option<String>,
}

/// Judges an answer.
pub(crate) fn judge(head: &Head, body: &[u8]) -> Verdict {
    if (200..300).contains(&head.status) {
        return Verdict::Done;
    }
    let details = std::str::from_utf8(body)
        .ok()
        .and_then(|text| miniserde::json::from_str::<ErrorBody>(text).ok())
        .and_then(|body| body.error)
        .unwrap_or_default();
    let is_idempotency_error = details.kind.as_deref() == Some("idempotency_error");
    let (kind, repeat) = match head.status {
        // Limits and locks come before everything else, so nothing was done. 409 is another request
        // under this key that is still under way.
        408 | 409 | 424 | 429 => (UnknownKind::Later, true),
        401 | 403 => (UnknownKind::Ours, false),
        400..=499 if is_idempotency_error => (UnknownKind::Ours, false),
        400..=499 if head.should_retry == Some(true) => (UnknownKind::Later, true),
        // Not in Stripe's words: a proxy between us, or an address that is not Stripe's.
        400..=499 if details.kind.is_none() => (UnknownKind::Broken, true),
        400..=499 => return Verdict::Refused(refusal(head, details)),
        _ if head.is_replay => {
            return Verdict::Unknown {
                unknown: unknown(UnknownKind::KeySpent, head, details),
                // The key brings the same for ever, whatever the headers say.
                repeat: false,
            };
        }
        _ => (UnknownKind::Broken, true),
    };
    Verdict::Unknown {
        unknown: unknown(kind, head, details),
        repeat: head.should_retry.unwrap_or(repeat),
    }
}

fn refusal(head: &Head, details: ErrorDetails) -> Refusal {
    let (code, message) = words(head, &details);
    Refusal {
        code,
        message,
        param: details.param,
        request_id: head.request_id.clone(),
    }
}

fn unknown(kind: UnknownKind, head: &Head, details: ErrorDetails) -> Unknown {
    let (code, message) = words(head, &details);
    Unknown {
        kind,
        code,
        message,
        request_id: head.request_id.clone(),
        retry_after: head.retry_after,
    }
}

fn words(head: &Head, details: &ErrorDetails) -> (String, String) {
    let code = details.code.clone().or_else(|| details.kind.clone());
    let message = details.message.as_deref().map(|message| {
        let short: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        short
    });
    (
        code.unwrap_or_else(|| format!("http_{}", head.status)),
        message.unwrap_or_else(|| format!("Stripe answered with status {}.", head.status)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"{"error":{"type":"card_error","code":"card_declined","message":"No.","param":"source"}}"#;
    const KEY_REUSED: &str =
        r#"{"error":{"type":"idempotency_error","message":"Other parameters."}}"#;
    const NO_CODE: &str = r#"{"error":{"type":"invalid_request_error","message":"An event already exists with identifier x."}}"#;

    fn word(status: u16, should_retry: Option<bool>, is_replay: bool, body: &str) -> String {
        let head = Head {
            status,
            should_retry,
            is_replay,
            ..Head::default()
        };
        match judge(&head, body.as_bytes()) {
            Verdict::Done => "done".to_owned(),
            Verdict::Refused(refusal) => format!("refused {}", refusal.code),
            Verdict::Unknown { unknown, repeat } => format!("{:?} {repeat}", unknown.kind),
        }
    }

    #[test]
    fn refused_is_final_and_unknown_is_not() {
        for (status, should_retry, is_replay, body, expected) in [
            (200, None, false, "", "done"),
            (200, Some(true), true, "", "done"),
            (402, None, false, CARD, "refused card_declined"),
            (402, None, true, CARD, "refused card_declined"),
            (400, None, false, NO_CODE, "refused invalid_request_error"),
            (404, Some(false), false, "no json", "Broken false"),
            // Stripe's word goes before the status, both ways.
            (400, Some(true), false, NO_CODE, "Later true"),
            (429, Some(false), false, "", "Later false"),
            (500, Some(false), false, "", "Broken false"),
            (409, None, false, KEY_REUSED, "Later true"),
            (424, None, false, "", "Later true"),
            (429, None, false, "", "Later true"),
            (500, None, false, "<html>", "Broken true"),
            (503, Some(true), false, "", "Broken true"),
            (302, None, false, "", "Broken true"),
            // Saved under the key: to repeat it is of no use.
            (500, None, true, "", "KeySpent false"),
            (500, Some(true), true, "", "KeySpent false"),
            // Ours to mend, and no reason to tell the customer no.
            (400, None, false, KEY_REUSED, "Ours false"),
            (401, None, false, "", "Ours false"),
            (403, None, false, CARD, "Ours false"),
        ] {
            assert_eq!(
                word(status, should_retry, is_replay, body),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn a_refusal_keeps_what_stripe_said() {
        let head = Head {
            status: 402,
            request_id: Some("req_1".to_owned()),
            ..Head::default()
        };
        let Verdict::Refused(refusal) = judge(&head, CARD.as_bytes()) else {
            panic!("it is refused");
        };
        assert_eq!(
            (refusal.message.as_str(), refusal.param.as_deref()),
            ("No.", Some("source"))
        );
        assert_eq!(refusal.request_id.as_deref(), Some("req_1"));
    }
}
