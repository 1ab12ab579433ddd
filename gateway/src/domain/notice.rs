//! What the operator's own channel was not told, as it is shown to admins.

use billing_kit::Violation;
use billing_proto::common::v1::NoticeState;

/// The word of a state; unspecified is none.
pub(crate) fn notice_state_word(state: NoticeState) -> &'static str {
    match state {
        NoticeState::Unspecified => "",
        NoticeState::Queued => "queued",
        NoticeState::GivenUp => "given_up",
    }
}

/// Reads a filter; an empty one picks both.
pub(crate) fn parse_notice_state(text: &str, violations: &mut Vec<Violation>) -> NoticeState {
    let all = [
        NoticeState::Unspecified,
        NoticeState::Queued,
        NoticeState::GivenUp,
    ];
    let found = all.into_iter().find(|it| notice_state_word(*it) == text);
    found.unwrap_or_else(|| {
        violations.push(Violation::new("state", "It must be queued or given_up."));
        NoticeState::Unspecified
    })
}
