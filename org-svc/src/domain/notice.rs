//! What the operator's own channel is told of: the words, and when an attempt is made again.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::organization::SubscriptionStatus;

/// How long a notice is tried to be sent: longer than a weekend that nobody looks at the channel.
pub(crate) const SEND_HORIZON: TimeDelta = TimeDelta::hours(72);

const DELAY_FIRST_MS: u64 = 10_000;
const DELAY_MAX_MS: u64 = 3_600_000;

/// What a notice tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    /// Organizations reported for the first time, and wait for an admin to link them.
    OrganizationsPending,
    /// A link, a change or a cancellation was refused.
    OperationRefused,
    /// A subscription is past due, unpaid or canceled now.
    SubscriptionStatusChanged,
}

impl NoticeKind {
    const ALL: [Self; 3] = [
        Self::OrganizationsPending,
        Self::OperationRefused,
        Self::SubscriptionStatusChanged,
    ];

    /// The word on the wire and in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationsPending => "organizations.pending",
            Self::OperationRefused => "operation.refused",
            Self::SubscriptionStatusChanged => "subscription.status_changed",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A notice. It is never changed, so that every attempt tells the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    /// By this the receiver tells a notice that it has already.
    pub(crate) id: Uuid,
    pub(crate) kind: NoticeKind,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) data: Value,
    pub(crate) created_at: DateTime<Utc>,
    /// Attempts so far, this one included.
    pub(crate) attempt_count: u32,
}

impl Notice {
    /// What is sent: JSON, as docs/OPERATIONS.md says.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = json!({
            "id": self.id,
            "type": self.kind.as_str(),
            "occurred_at": self.occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "data": self.data,
        });
        body.to_string().into_bytes()
    }

    /// After a failed attempt: the delays, in milliseconds, from which the next one is drawn at random;
    /// `None` where it was tried for long enough.
    pub(crate) fn next_delay_ms(&self, now: DateTime<Utc>) -> Option<RangeInclusive<u64>> {
        if now - self.created_at >= SEND_HORIZON {
            return None;
        }
        let doubled = 1_u64
            .checked_shl(self.attempt_count.saturating_sub(1))
            .map_or(DELAY_MAX_MS, |factor| DELAY_FIRST_MS.saturating_mul(factor));
        let longest = doubled.min(DELAY_MAX_MS);
        Some((longest / 2)..=longest)
    }
}

/// How long an attempt may be under way before another process may make it again: longer than an
/// attempt takes.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// Whether a status is one that somebody has to be told of: money does not come, or comes no more.
pub(crate) fn is_alarming(status: SubscriptionStatus) -> bool {
    match status {
        SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid | SubscriptionStatus::Canceled => {
            true
        }
        SubscriptionStatus::Pending
        | SubscriptionStatus::Trial
        | SubscriptionStatus::Active
        | SubscriptionStatus::Incomplete
        | SubscriptionStatus::IncompleteExpired
        | SubscriptionStatus::Paused => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(attempt_count: u32) -> Notice {
        Notice {
            id: Uuid::from_u128(1),
            kind: NoticeKind::OperationRefused,
            occurred_at: DateTime::UNIX_EPOCH,
            data: json!({"code": "x"}),
            created_at: DateTime::UNIX_EPOCH,
            attempt_count,
        }
    }

    #[test]
    fn delays_double_up_to_an_hour_and_end_after_three_days() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(71);
        for (attempts, range) in [
            (1, 5_000..=10_000),
            (2, 10_000..=20_000),
            (9, 1_280_000..=2_560_000),
            (10, 1_800_000..=3_600_000),
            (64, 1_800_000..=3_600_000),
            (u32::MAX, 1_800_000..=3_600_000),
        ] {
            assert_eq!(notice(attempts).next_delay_ms(now), Some(range));
        }
        let later = DateTime::UNIX_EPOCH + SEND_HORIZON;
        assert_eq!(notice(1).next_delay_ms(later), None);
    }

    #[test]
    fn words_read_back_and_the_body_is_as_documented() {
        for kind in NoticeKind::ALL {
            assert_eq!(NoticeKind::from_word(kind.as_str()), Some(kind));
        }
        let body: Value = serde_json::from_slice(&notice(1).body()).unwrap();
        assert_eq!(
            body,
            json!({"id": "00000000-0000-0000-0000-000000000001", "type": "operation.refused",
                "occurred_at": "1970-01-01T00:00:00.000Z", "data": {"code": "x"}})
        );
    }
}
