//! What the operator's own channel is told of: the words, and when an attempt is made again.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

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

/// The fact that names several organizations.
const INSTANCES: &str = "instances";

const DELAY_FIRST_MS: u64 = 10_000;
const DELAY_MAX_MS: u64 = 3_600_000;

/// What a notice tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    /// Organizations reported for the first time, and wait for an admin to link them.
    OrganizationsPending,
    /// A source network brought more new organizations on a day than are admitted.
    OrganizationsNotAdmitted,
    /// A link, a change or a cancellation was refused.
    OperationRefused,
    /// A subscription is past due, unpaid or canceled now.
    SubscriptionStatusChanged,
    /// The collection of a subscription was paused in Stripe.
    CollectionPaused,
    /// Instances have not reported for too long.
    InstancesSilent,
    /// A report is held until an admin releases or discards it.
    ReportHeld,
    /// A report was refused because another count is recorded for its time.
    ReportConflict,
    /// The invoice that held reports belong on is soon final.
    HoldEnding,
    /// Stripe refused a report.
    DeliveryRefused,
    /// Stripe's books differ from ours.
    FindingOpened,
    /// Somebody tries passwords at an account.
    SignInBurst,
    /// The counts of an organization are below half of what they were.
    CountLow,
}

impl NoticeKind {
    const ALL: [Self; 13] = [
        Self::OrganizationsPending,
        Self::OrganizationsNotAdmitted,
        Self::OperationRefused,
        Self::SubscriptionStatusChanged,
        Self::CollectionPaused,
        Self::InstancesSilent,
        Self::ReportHeld,
        Self::ReportConflict,
        Self::HoldEnding,
        Self::DeliveryRefused,
        Self::FindingOpened,
        Self::SignInBurst,
        Self::CountLow,
    ];

    /// The word on the wire and in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationsPending => "organizations.pending",
            Self::OrganizationsNotAdmitted => "organizations.not_admitted",
            Self::OperationRefused => "operation.refused",
            Self::SubscriptionStatusChanged => "subscription.status_changed",
            Self::CollectionPaused => "subscription.collection_paused",
            Self::InstancesSilent => "instances.silent",
            Self::ReportHeld => "report.held",
            Self::ReportConflict => "report.conflict",
            Self::HoldEnding => "hold.ending",
            Self::DeliveryRefused => "delivery.refused",
            Self::FindingOpened => "finding.opened",
            Self::SignInBurst => "sign_in.burst",
            Self::CountLow => "count.low",
        }
    }

    /// Whether another service knows of it, and tells us.
    fn is_told_to_us(self) -> bool {
        match self {
            Self::InstancesSilent
            | Self::ReportHeld
            | Self::ReportConflict
            | Self::HoldEnding
            | Self::DeliveryRefused
            | Self::FindingOpened
            | Self::CountLow => true,
            Self::OrganizationsPending
            | Self::OrganizationsNotAdmitted
            | Self::OperationRefused
            | Self::SubscriptionStatusChanged
            | Self::SignInBurst
            | Self::CollectionPaused => false,
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
            return Err("It must have 1 to 200 characters, and no zero character.");
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
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) about: About,
}

/// Whom another service's notice is about, and its facts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum About {
    /// An organization.
    One(OrganizationId, Map<String, Value>),
    /// Those of the facts' `instances`, and the facts of each.
    Several(
        Vec<(OrganizationId, Map<String, Value>)>,
        Map<String, Value>,
    ),
}

/// The kind behind a word of another service.
pub(crate) fn parse_told_kind(word: &str) -> Result<NoticeKind, &'static str> {
    NoticeKind::from_word(word)
        .filter(|kind| kind.is_told_to_us())
        .ok_or("It is not a type that another service may publish.")
}

/// The facts of another service's notice.
pub(crate) fn parse_facts(text: &str) -> Result<Map<String, Value>, &'static str> {
    if text.len() > DATA_BYTES_MAX {
        return Err("It is longer than 16 KiB.");
    }
    if text.contains(NUL_ESCAPED) {
        return Err("It has a character that cannot be stored.");
    }
    serde_json::from_str(text).map_err(|_| "It is not a JSON object.")
}

impl About {
    /// Reads whom a kind's facts are about; `id` is empty where they name several.
    pub(crate) fn parse(
        kind: NoticeKind,
        id: &str,
        mut facts: Map<String, Value>,
    ) -> Result<Self, &'static str> {
        match kind {
            NoticeKind::InstancesSilent => {
                if !id.is_empty() {
                    return Err("The organizations belong in its facts.");
                }
                let Some(Value::Array(instances)) = facts.remove(INSTANCES) else {
                    return Err("Its facts do not name organizations.");
                };
                let instances = instances.into_iter().map(parse_instance);
                Ok(Self::Several(instances.collect::<Result<_, _>>()?, facts))
            }
            NoticeKind::OrganizationsPending
            | NoticeKind::OrganizationsNotAdmitted
            | NoticeKind::OperationRefused
            | NoticeKind::SubscriptionStatusChanged
            | NoticeKind::CollectionPaused
            | NoticeKind::ReportHeld
            | NoticeKind::ReportConflict
            | NoticeKind::HoldEnding
            | NoticeKind::DeliveryRefused
            | NoticeKind::FindingOpened
            | NoticeKind::SignInBurst
            | NoticeKind::CountLow => Ok(Self::One(OrganizationId::parse(id)?, facts)),
        }
    }

    /// The organizations that it names.
    pub(crate) fn organization_ids(&self) -> Vec<OrganizationId> {
        match self {
            Self::One(id, _) => vec![*id],
            Self::Several(instances, _) => instances.iter().map(|(id, _)| *id).collect(),
        }
    }

    /// What is sent of it: its facts, and whom they are about by their names.
    pub(crate) fn data(self, names: &HashMap<OrganizationId, &str>) -> Value {
        match self {
            Self::One(id, facts) => named(id, facts, names),
            Self::Several(instances, mut facts) => {
                let instances = instances
                    .into_iter()
                    .map(|(id, facts)| named(id, facts, names));
                facts.insert(INSTANCES.to_owned(), instances.collect());
                Value::Object(facts)
            }
        }
    }
}

fn parse_instance(instance: Value) -> Result<(OrganizationId, Map<String, Value>), &'static str> {
    let Value::Object(facts) = instance else {
        return Err("One of its instances is not a JSON object.");
    };
    let id = facts.get("organization_id").and_then(Value::as_str);
    let id = OrganizationId::parse(id.unwrap_or_default())?;
    Ok((id, facts))
}

fn named(
    id: OrganizationId,
    mut facts: Map<String, Value>,
    names: &HashMap<OrganizationId, &str>,
) -> Value {
    facts.insert("organization_id".to_owned(), json!(id.0));
    facts.insert("organization_name".to_owned(), json!(names.get(&id)));
    Value::Object(facts)
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
        let facts = r#"{"organization_name": "Forged", "user_count": 5}"#;
        let facts = parse_facts(facts).unwrap();
        let id = "00000000-0000-0000-0000-000000000007";
        let known = OrganizationId(Uuid::from_u128(7));
        for names in [HashMap::from([(known, "Acme Corp")]), HashMap::new()] {
            let about = About::parse(NoticeKind::ReportHeld, id, facts.clone()).unwrap();
            assert_eq!(about.organization_ids(), [known]);
            let expected = json!({"organization_id": id, "organization_name": names.get(&known),
                "user_count": 5});
            assert_eq!(about.data(&names), expected);
        }
        assert!(About::parse(NoticeKind::ReportHeld, "", facts).is_err());
    }

    #[test]
    fn each_of_several_is_named() {
        let [one, other] = [1, 2].map(|number| OrganizationId(Uuid::from_u128(number)));
        let facts = |instances: Value| {
            Map::from_iter([
                ("instance_count".to_owned(), json!(12)),
                (INSTANCES.to_owned(), instances),
            ])
        };
        let instances = json!([
            {"organization_id": one.0, "user_count": 5},
            {"organization_id": other.0, "organization_name": "Forged"},
        ]);
        let kind = NoticeKind::InstancesSilent;
        let about = About::parse(kind, "", facts(instances.clone())).unwrap();
        assert_eq!(about.organization_ids(), [one, other]);
        let expected = json!({"instance_count": 12, "instances": [
            {"organization_id": one.0, "organization_name": "Acme Corp", "user_count": 5},
            {"organization_id": other.0, "organization_name": null},
        ]});
        assert_eq!(about.data(&HashMap::from([(one, "Acme Corp")])), expected);
        let id = one.0.to_string();
        assert!(About::parse(kind, &id, facts(instances)).is_err());
        for bad in [
            json!(null),
            json!([5]),
            json!([{}]),
            json!([{"organization_id": 5}]),
        ] {
            assert!(About::parse(kind, "", facts(bad)).is_err());
        }
        assert!(About::parse(kind, "", Map::new()).is_err());
    }
}
