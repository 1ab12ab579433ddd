//! What the operator's own channel was not told, as it is shown to admins.

use billing_kit::Violation;
use billing_proto::org::v1::NoticeState;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A notice that is not sent.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// Its id, as the receiver gets it.
    pub id: Uuid,
    /// What it tells of, as a word.
    pub kind: String,
    /// When that happened.
    pub occurred_at: DateTime<Utc>,
    /// What became of it.
    pub state: NoticeState,
    /// How often it was tried.
    pub attempt_count: i32,
    /// When it is tried next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the latest attempt failed.
    pub error_message: Option<String>,
    /// The facts: a JSON object, as text.
    pub data: String,
}

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
