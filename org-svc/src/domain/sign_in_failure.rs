//! An attempt at a password that failed, as it is counted for the audit trail.

use std::net::IpAddr;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{account::UserId, address::network_of};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedAction {
    SignIn,
    PasswordChange,
}

impl FailedAction {
    const ALL: [Self; 2] = [Self::SignIn, Self::PasswordChange];

    /// The action's word in the trail.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in.failed",
            Self::PasswordChange => "password_change.failed",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) action: FailedAction,
    /// Whose password it was; `None` for an address that no account has.
    pub(crate) user_id: Option<&'a UserId>,
    /// Where it came from; `None` where that is not known.
    pub(crate) address: Option<IpAddr>,
    /// Whether it came too often to be looked at.
    pub(crate) is_refused: bool,
    pub(crate) at: DateTime<Utc>,
}

impl Failure<'_> {
    /// The hour that it is counted in.
    pub(crate) fn hour_at(&self) -> DateTime<Utc> {
        self.at
            .duration_trunc(TimeDelta::hours(1))
            .unwrap_or(self.at)
    }

    /// The network that it is counted under.
    pub(crate) fn network(&self) -> String {
        self.address.map_or_else(String::new, network_of)
    }
}
