//! What the operator's own channel is told of: the words, and when an attempt is made again.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::organization::{OrganizationId, SubscriptionStatus};

/// How long a notice is tried to be sent: longer than a weekend that nobody looks at the channel.
pub(crate) const SEND_HORIZON: TimeDelta = TimeDelta::hours(72);

/// The longest key of another service's notice, in characters.
const KEY_CHARS_MAX: usize = 200;
/// The longest facts of one, in bytes.
const DATA_BYTES_MAX: usize = 16 * 1024;
/// PostgreSQL keeps no such character, and one notice must not keep its batch from being stored.
const NUL_ESCAPED: &str = "\\u0000";

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
    /// An instance has not reported for too long.
    InstanceSilent,
    /// A report is held until an admin releases or discards it.
    ReportHeld,
    /// The invoice that held reports belong on is soon final.
    HoldEnding,
    /// Stripe refused a report.
    DeliveryRefused,
    /// Stripe's books differ from ours.
    FindingOpened,
}

impl NoticeKind {
    const ALL: [Self; 8] = [
        Self::OrganizationsPending,
        Self::OperationRefused,
        Self::SubscriptionStatusChanged,
        Self::InstanceSilent,
        Self::ReportHeld,
        Self::HoldEnding,
        Self::DeliveryRefused,
        Self::FindingOpened,
    ];

    /// The word on the wire and in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationsPending => "organizations.pending",
            Self::OperationRefused => "operation.refused",
            Self::SubscriptionStatusChanged => "subscription.status_changed",
            Self::InstanceSilent => "instance.silent",
            Self::ReportHeld => "report.held",
            Self::HoldEnding => "hold.ending",
            Self::DeliveryRefused => "delivery.refused",
            Self::FindingOpened => "finding.opened",
        }
    }

    /// Whether another service knows of it, and tells us.
    fn is_told_to_us(self) -> bool {
        match self {
            Self::InstanceSilent
            | Self::ReportHeld
            | Self::HoldEnding
            | Self::DeliveryRefused
            | Self::FindingOpened => true,
            Self::OrganizationsPending
            | Self::OperationRefused
            | Self::SubscriptionStatusChanged => false,
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What became of a notice that is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeState {
    /// It is to be sent.
    Queued,
    /// Nobody took it for three days.
    GivenUp,
}

impl NoticeState {
    /// The word in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::GivenUp => "given_up",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Queued, Self::GivenUp]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A notice that is not sent, as an admin sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenNotice {
    pub(crate) notice: Notice,
    pub(crate) state: NoticeState,
    pub(crate) next_attempt_at: DateTime<Utc>,
    /// When it was given up.
    pub(crate) settled_at: Option<DateTime<Utc>>,
    pub(crate) error: Option<String>,
}

/// What another service calls a notice of its own, so that it is stored once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NoticeKey(String);

impl NoticeKey {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let chars = text.chars().count();
        if chars == 0 || chars > KEY_CHARS_MAX || text.contains('\0') {
            return Err("It must have 1 to 200 characters, none of them zero.");
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What another service knows of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) key: NoticeKey,
    pub(crate) kind: NoticeKind,
    pub(crate) organization_id: OrganizationId,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) facts: Map<String, Value>,
}

/// The kind behind a word of another service.
pub(crate) fn parse_told_kind(word: &str) -> Result<NoticeKind, &'static str> {
    NoticeKind::from_word(word)
        .filter(|kind| kind.is_told_to_us())
        .ok_or("It is no type that another service tells of.")
}

/// The facts of another service's notice.
pub(crate) fn parse_facts(text: &str) -> Result<Map<String, Value>, &'static str> {
    if text.len() > DATA_BYTES_MAX {
        return Err("It is longer than 16 KiB.");
    }
    if text.contains(NUL_ESCAPED) {
        return Err("It has a character that cannot be stored.");
    }
    serde_json::from_str(text).map_err(|_| "It is no JSON object.")
}

impl Told {
    /// What is sent of it: its facts and whom they are about.
    pub(crate) fn data(&self, name: Option<&str>) -> Value {
        let mut data = self.facts.clone();
        data.insert("organization_id".to_owned(), json!(self.organization_id.0));
        data.insert("organization_name".to_owned(), json!(name));
        Value::Object(data)
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
        for state in [NoticeState::Queued, NoticeState::GivenUp] {
            assert_eq!(NoticeState::from_word(state.as_str()), Some(state));
        }
        let body: Value = serde_json::from_slice(&notice(1).body()).unwrap();
        assert_eq!(
            body,
            json!({"id": "00000000-0000-0000-0000-000000000001", "type": "operation.refused",
                "occurred_at": "1970-01-01T00:00:00.000Z", "data": {"code": "x"}})
        );
    }

    #[test]
    fn another_services_notice_is_of_its_own_kinds_and_of_bounded_size() {
        assert!(parse_told_kind("report.held").is_ok());
        for bad in [
            "operation.refused",
            "organizations.pending",
            "report.lost",
            "",
        ] {
            assert!(parse_told_kind(bad).is_err(), "{bad}");
        }
        assert!(parse_facts(r#"{"user_count": 5}"#).is_ok());
        let long = format!(r#"{{"message": "{}"}}"#, "x".repeat(DATA_BYTES_MAX));
        for bad in ["", "[]", "5", "{", r#"{"message": "\u0000"}"#, &long] {
            assert!(parse_facts(bad).is_err(), "{bad}");
        }
        assert!(NoticeKey::parse(&"é".repeat(KEY_CHARS_MAX)).is_ok());
        for bad in ["", "a\0", &"é".repeat(KEY_CHARS_MAX + 1)] {
            assert!(NoticeKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whom_it_is_about_is_not_what_the_facts_say() {
        let told = Told {
            key: NoticeKey::parse("a").unwrap(),
            kind: NoticeKind::ReportHeld,
            organization_id: OrganizationId(Uuid::from_u128(7)),
            occurred_at: DateTime::UNIX_EPOCH,
            facts: parse_facts(r#"{"organization_name": "Forged", "user_count": 5}"#).unwrap(),
        };
        let id = "00000000-0000-0000-0000-000000000007";
        for name in [Some("Acme Corp"), None] {
            let expected =
                json!({"organization_id": id, "organization_name": name, "user_count": 5});
            assert_eq!(told.data(name), expected);
        }
    }
}
