//! What Stripe sent, as it is shown to admins.

use billing_kit::Violation;
use billing_proto::stripe::v1::WebhookEventState;
use chrono::{DateTime, Utc};

use super::organization::Trouble;

/// An event in the inbox.
#[derive(Debug, Clone)]
pub(crate) struct WebhookEvent {
    /// Stripe's id of it.
    pub id: String,
    /// Stripe's word for what happened.
    pub kind: String,
    /// What became of it, as a word.
    pub state: &'static str,
    /// How often it was tried.
    pub attempt_count: i32,
    /// When it first came.
    pub received_at: DateTime<Utc>,
    /// When it is tried next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was processed, ignored or given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the latest attempt failed.
    pub error: Option<Trouble>,
}

/// Usage that Stripe took and then did not count, for one reason.
#[derive(Debug, Clone)]
pub(crate) struct MeterError {
    /// Its id.
    pub id: String,
    /// The event that told it.
    pub event_id: String,
    /// The meter; none where Stripe knows none of the usage's name.
    pub meter_id: Option<String>,
    /// Stripe's reason.
    pub error: Trouble,
    /// How many meter events are at fault.
    pub count: i64,
    /// The identifiers of some of them.
    pub sample_identifiers: Vec<String>,
    /// When we were told.
    pub found_at: DateTime<Utc>,
}

/// The word of a state; unspecified is none.
pub(crate) fn state_word(state: WebhookEventState) -> &'static str {
    match state {
        WebhookEventState::Unspecified => "",
        WebhookEventState::Queued => "queued",
        WebhookEventState::Processed => "processed",
        WebhookEventState::Ignored => "ignored",
        WebhookEventState::Dead => "dead",
    }
}

/// Reads a filter; an empty one picks all.
pub(crate) fn parse_state(text: &str, violations: &mut Vec<Violation>) -> WebhookEventState {
    let all = [
        WebhookEventState::Unspecified,
        WebhookEventState::Queued,
        WebhookEventState::Processed,
        WebhookEventState::Ignored,
        WebhookEventState::Dead,
    ];
    let found = all.into_iter().find(|state| state_word(*state) == text);
    found.unwrap_or_else(|| {
        violations.push(Violation::new(
            "state",
            "It must be queued, processed, ignored or dead.",
        ));
        WebhookEventState::Unspecified
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_word_of_the_inbox() {
        let mut violations = Vec::new();
        assert_eq!(
            parse_state("dead", &mut violations),
            WebhookEventState::Dead
        );
        assert_eq!(
            parse_state("", &mut violations),
            WebhookEventState::Unspecified
        );
        assert!(violations.is_empty());
        parse_state("DEAD", &mut violations);
        assert_eq!(violations.len(), 1);
    }
}
