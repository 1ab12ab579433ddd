//! An event that Stripe sent, and what it hints at.
//!
//! What an event says of an object is never believed: events come late, twice and in any order. It
//! only says what to fetch.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::domain::ids::{CustomerId, EventId, SubscriptionId};

/// The largest body that is taken, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 512 * 1024;
/// How often an event is tried before it is given up: over about three hours. What it was about is
/// found by the sweep too.
pub(crate) const ATTEMPTS_MAX: u32 = 12;
/// The wait after the first failure, and twice as much after each further one.
const BACKOFF_FIRST: TimeDelta = TimeDelta::seconds(5);
const BACKOFF_MAX: TimeDelta = TimeDelta::hours(1);
/// Characters of a name of Stripe's.
const NAME_CHARS_MAX: usize = 255;

/// An event as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WebhookEvent {
    pub(crate) id: EventId,
    /// Stripe's word for what happened.
    pub(crate) kind: String,
    /// Whether it holds no object at all, only where to fetch more.
    pub(crate) is_thin: bool,
    pub(crate) payload: Value,
    /// By Stripe's clock.
    pub(crate) created_at: Option<DateTime<Utc>>,
}

/// What to look at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    Subscription(SubscriptionId),
    /// The subscription of an invoice: it, and how far it is invoiced.
    Invoices(SubscriptionId),
    /// It was deleted, and its subscriptions have ended with it.
    DeletedCustomer(CustomerId),
    /// Usage was taken and then not counted; the event itself has more to tell.
    MeterErrors(EventId),
    /// Nothing that we keep.
    Nothing,
}

impl WebhookEvent {
    /// Reads a body; `None` where it is no event.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let payload: Value = serde_json::from_slice(payload).ok()?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let id = text("id").filter(|id| is_name(id)).map(EventId::new)?;
        let kind = text("type")
            .filter(|kind| (1..=NAME_CHARS_MAX).contains(&kind.len()))?
            .to_owned();
        let is_thin = text("object") == Some("v2.core.event");
        let created = payload.get("created");
        let created_at = match created.and_then(Value::as_i64) {
            Some(seconds) => DateTime::from_timestamp(seconds, 0),
            None => created
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok()),
        };
        Some(Self {
            id,
            kind,
            is_thin,
            payload,
            created_at,
        })
    }

    /// What it is about.
    pub(crate) fn hint(&self) -> Hint {
        match self.kind.as_str() {
            "v1.billing.meter.error_report_triggered" | "v1.billing.meter.no_meter_found" => {
                Hint::MeterErrors(self.id.clone())
            }
            "customer.deleted" | "v1.customer.deleted" => {
                self.object_id().map_or(Hint::Nothing, |id| {
                    Hint::DeletedCustomer(CustomerId::new(id))
                })
            }
            kind if kind.starts_with("customer.subscription.")
                || kind.starts_with("v1.customer.subscription.") =>
            {
                self.object_id().map_or(Hint::Nothing, |id| {
                    Hint::Subscription(SubscriptionId::new(id))
                })
            }
            kind if kind.starts_with("invoice.") => self
                .invoiced()
                .map_or(Hint::Nothing, |id| Hint::Invoices(SubscriptionId::new(id))),
            _ => Hint::Nothing,
        }
    }

    /// The object that it is about.
    fn object_id(&self) -> Option<&str> {
        let path = if self.is_thin {
            "/related_object/id"
        } else {
            "/data/object/id"
        };
        self.name_at(path)
    }

    /// The subscription of an invoice; older versions of Stripe's API have it in another place.
    fn invoiced(&self) -> Option<&str> {
        self.name_at("/data/object/parent/subscription_details/subscription")
            .or_else(|| self.name_at("/data/object/subscription"))
    }

    /// A name, or that of the object that stands in its place. It becomes part of a path.
    fn name_at(&self, path: &str) -> Option<&str> {
        let value = self.payload.pointer(path)?;
        let name = value.as_str().or_else(|| value.get("id")?.as_str());
        name.filter(|name| is_name(name))
    }
}

/// Whether a text is made as Stripe makes its ids.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventState {
    Queued,
    Processed,
    Ignored,
    Dead,
}

impl EventState {
    const ALL: [Self; 4] = [Self::Queued, Self::Processed, Self::Ignored, Self::Dead];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processed => "processed",
            Self::Ignored => "ignored",
            Self::Dead => "dead",
        }
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What is shown of an event.
#[derive(Debug, Clone)]
pub(crate) struct InboxEntry {
    pub(crate) id: EventId,
    pub(crate) kind: String,
    pub(crate) state: EventState,
    pub(crate) attempt_count: i32,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) next_attempt_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
}

/// When an event is tried again after this attempt failed; `None` after the last.
pub(crate) fn next_attempt(attempt: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let doublings = attempt.saturating_sub(1).min(16);
    let wait = BACKOFF_FIRST * 2_i32.saturating_pow(doublings);
    Some(now + wait.min(BACKOFF_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, object: &Value) -> WebhookEvent {
        let body = json!({"id": "evt_1", "object": "event", "type": kind, "created": 1_800_000_000,
            "data": {"object": object}});
        WebhookEvent::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_event_hints_at_what_to_fetch() {
        let subscription = || Hint::Subscription(SubscriptionId::new("sub_1"));
        let invoices = || Hint::Invoices(SubscriptionId::new("sub_1"));
        let customer = || Hint::DeletedCustomer(CustomerId::new("cus_1"));
        let details =
            json!({"id": "in_1", "parent": {"subscription_details": {"subscription": "sub_1"}}});
        for (kind, object, expected) in [
            (
                "customer.subscription.updated",
                json!({"id": "sub_1", "status": "nonsense"}),
                subscription(),
            ),
            (
                "customer.subscription.trial_will_end",
                json!({"id": "sub_1"}),
                subscription(),
            ),
            ("invoice.paid", details, invoices()),
            (
                "invoice.paid",
                json!({"id": "in_1", "subscription": {"id": "sub_1"}}),
                invoices(),
            ),
            (
                "invoice.paid",
                json!({"id": "in_1", "parent": null}),
                Hint::Nothing,
            ),
            ("customer.deleted", json!({"id": "cus_1"}), customer()),
            ("customer.updated", json!({"id": "cus_1"}), Hint::Nothing),
            (
                "radar.early_fraud_warning.created",
                json!({"id": "issfr_1"}),
                Hint::Nothing,
            ),
            // It becomes part of a path.
            (
                "customer.subscription.updated",
                json!({"id": "../customers"}),
                Hint::Nothing,
            ),
            ("customer.subscription.updated", json!(null), Hint::Nothing),
        ] {
            assert_eq!(event(kind, &object).hint(), expected, "{kind} {object}");
        }
    }

    #[test]
    fn a_thin_event_only_names_what_it_is_about() {
        let body = json!({"id": "evt_test_65", "object": "v2.core.event",
            "type": "v1.billing.meter.error_report_triggered", "created": "2026-03-02T12:00:00.000Z",
            "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"}});
        let event = WebhookEvent::read(body.to_string().as_bytes()).unwrap();
        assert!(event.is_thin && event.created_at.is_some());
        assert_eq!(event.hint(), Hint::MeterErrors(EventId::new("evt_test_65")));
    }

    #[test]
    fn what_is_no_event_is_not_taken_for_one() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"id":"evt 1","type":"x"}"#,
            r#"{"id":"evt_1"}"#,
        ] {
            assert_eq!(WebhookEvent::read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn an_event_is_tried_for_hours_and_then_given_up() {
        let start = DateTime::UNIX_EPOCH;
        let mut now = start;
        for attempt in 1..ATTEMPTS_MAX {
            let next = next_attempt(attempt, now).unwrap();
            assert!(next - now >= BACKOFF_FIRST && next - now <= BACKOFF_MAX);
            now = next;
        }
        assert!(now - start > TimeDelta::hours(2), "{}", now - start);
        assert_eq!(next_attempt(ATTEMPTS_MAX, now), None);
    }
}
