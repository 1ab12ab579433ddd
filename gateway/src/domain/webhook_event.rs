//! What Stripe sent, as it is shown to admins.

use billing_kit::Violation;
use billing_proto::common::v1::WebhookEventState;

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
