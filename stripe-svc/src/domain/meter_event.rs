//! A number of seats at a moment, on its way to Stripe's meter.

use std::{collections::BTreeSet, time::Duration};

use billing_kit::Violation;
use chrono::{DateTime, Utc};

use crate::domain::{
    ids::{CustomerId, EventIdentifier},
    refusal::Refusal,
};

/// Events in one request.
pub(crate) const EVENTS_MAX: usize = 500;
/// Characters of an identifier.
pub(crate) const IDENTIFIER_CHARS_MAX: usize = 100;

/// When to try again what needs a person, such as a meter that is missing in Stripe.
pub(crate) const RETRY_DELAY_CONFIG: Duration = Duration::from_secs(60);
/// When to send an event again whose moment Stripe's clock has not reached.
const RETRY_DELAY_FUTURE: Duration = Duration::from_secs(30);

/// A number of seats, 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeatCount(i64);

impl SeatCount {
    /// `None` for a negative number.
    pub(crate) fn new(count: i64) -> Option<Self> {
        (count >= 0).then_some(Self(count))
    }

    pub(crate) fn get(self) -> i64 {
        self.0
    }
}

/// An event to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeterEvent {
    pub(crate) identifier: EventIdentifier,
    pub(crate) customer_id: CustomerId,
    pub(crate) seats: SeatCount,
    /// To the microsecond, as it is stored; Stripe takes its whole seconds.
    pub(crate) event_at: DateTime<Utc>,
}

/// An event as a caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedEvent {
    pub(crate) event: MeterEvent,
    /// How often it was found missing from the meter; 0 at first.
    pub(crate) resend_count: i32,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventOutcome {
    /// Stripe has it.
    Accepted { request_id: Option<String> },
    /// Stripe will not have it, ever.
    Refused(Refusal),
    /// Not known, or not now.
    Retry(EventRetry),
}

/// Why an event is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventRetry {
    /// Not before this long.
    pub(crate) delay: Duration,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// When to send the second event of a customer that a request has two of.
const RETRY_DELAY_TURN: Duration = Duration::from_secs(1);

impl EventRetry {
    /// Of an event behind another one of its customer in the same request: Stripe takes one at a time
    /// of each, and in their order, so this one comes after the first has its outcome.
    pub(crate) fn not_its_turn() -> Self {
        Self {
            delay: RETRY_DELAY_TURN,
            code: "not_its_turn".to_owned(),
            message: "Another event of this request is for the same customer.".to_owned(),
        }
    }
}

/// Checks what a request's events must be to one another: each identifier once.
pub(crate) fn check_batch<'a>(
    identifiers: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), Vec<Violation>> {
    let count = identifiers.len();
    if count == 0 || count > EVENTS_MAX {
        let message = format!("There are {count} events; a request has 1 to {EVENTS_MAX}.");
        return Err(vec![Violation::new("events", message)]);
    }
    let mut known = BTreeSet::new();
    let mut violations = Vec::new();
    for (index, identifier) in identifiers.enumerate() {
        if !known.insert(identifier) {
            violations.push(Violation::new(
                format!("events[{index}].identifier"),
                "Another event of this request has the same identifier.",
            ));
        }
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations)
    }
}

/// What Stripe's 4xx to an event means. Not every one is a no to this event.
pub(crate) fn judge_refusal(
    event: &MeterEvent,
    refusal: Refusal,
    now: DateTime<Utc>,
) -> EventOutcome {
    let retry = |delay, code: &str, message| {
        EventOutcome::Retry(EventRetry {
            delay,
            code: code.to_owned(),
            message,
        })
    };
    let param = refusal.param.as_deref();
    if is_duplicate(&refusal) {
        // langfuse#16292: taken for an error, this answer stopped all metering. It proves delivery.
        EventOutcome::Accepted {
            request_id: refusal.request_id,
        }
    } else if param == Some("event_name")
        || matches!(refusal.code.as_str(), "no_meter" | "archived_meter")
    {
        // A gap in our setup is no fault of the customer's usage, which would be lost.
        let message = format!(
            "{} Run `stripe-svc catalog apply` with the catalog that stripe-svc runs with.",
            refusal.message
        );
        retry(RETRY_DELAY_CONFIG, "no_meter", message)
    } else if param == Some("timestamp") && event.event_at > now {
        retry(RETRY_DELAY_FUTURE, &refusal.code, refusal.message.clone())
    } else if is_about_the_event(&refusal) {
        EventOutcome::Refused(refusal)
    } else {
        // A no that is not known to be about this event (a wrong address, a parameter that Stripe has
        // dropped) says something of our setup. Final, it would end a night of reports.
        retry(RETRY_DELAY_CONFIG, &refusal.code, refusal.message.clone())
    }
}

/// Whether Stripe would say the same of this event however it is sent.
fn is_about_the_event(refusal: &Refusal) -> bool {
    const CODES: [&str; 4] = [
        "timestamp_too_far_in_past",
        "timestamp_in_future",
        "missing_dimension_payload_keys",
        // The customer: the meter has its own code.
        "resource_missing",
    ];
    let code = refusal.code.as_str();
    let param = refusal.param.as_deref().unwrap_or_default();
    CODES.contains(&code)
        || code.starts_with("meter_event_")
        || param.starts_with("payload")
        || matches!(param, "timestamp" | "identifier")
}

fn is_duplicate(refusal: &Refusal) -> bool {
    if cfg!(feature = "plant-duplicate-is-error") {
        return false;
    }
    refusal.code == "duplicate_meter_event"
        || refusal
            .message
            .to_ascii_lowercase()
            .contains("already exists with identifier")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn event() -> MeterEvent {
        MeterEvent {
            identifier: EventIdentifier::new("report-1"),
            customer_id: CustomerId::new("cus_1"),
            seats: SeatCount::new(45).unwrap(),
            event_at: DateTime::UNIX_EPOCH,
        }
    }

    fn refusal(code: &str, param: Option<&str>, message: &str) -> Refusal {
        Refusal {
            param: param.map(str::to_owned),
            ..Refusal::ours(code, message)
        }
    }

    fn word(outcome: &EventOutcome) -> &'static str {
        match outcome {
            EventOutcome::Accepted { .. } => "accepted",
            EventOutcome::Refused(_) => "refused",
            EventOutcome::Retry(_) => "retry",
        }
    }

    #[test]
    fn not_every_4xx_is_a_no_to_the_event() {
        let late = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let early = DateTime::UNIX_EPOCH - TimeDelta::minutes(6);
        for (code, param, message, now, expected) in [
            (
                "invalid_request_error",
                Some("identifier"),
                "An event already exists with identifier report-1.",
                late,
                "accepted",
            ),
            (
                "resource_missing",
                Some("payload[stripe_customer_id]"),
                "No such customer: 'cus_1'",
                late,
                "refused",
            ),
            (
                "no_meter",
                Some("event_name"),
                "No active meter found.",
                late,
                "retry",
            ),
            ("archived_meter", None, "Archived.", late, "retry"),
            (
                "timestamp_too_far_in_past",
                Some("timestamp"),
                "Too old.",
                late,
                "refused",
            ),
            (
                "resource_missing",
                None,
                "No such customer: 'cus_1'",
                late,
                "refused",
            ),
            (
                "invalid_request_error",
                None,
                "Unrecognized request URL.",
                late,
                "retry",
            ),
            (
                "parameter_unknown",
                Some("identifer"),
                "Received unknown parameter",
                late,
                "retry",
            ),
            (
                "timestamp_in_future",
                Some("timestamp"),
                "Too early.",
                early,
                "retry",
            ),
        ] {
            let outcome = judge_refusal(&event(), refusal(code, param, message), now);
            assert_eq!(word(&outcome), expected, "{code}");
        }
    }

    #[test]
    fn a_batch_names_every_event_that_is_there_twice() {
        let batch = |identifiers: &[&'static str]| {
            check_batch(identifiers.iter().copied()).map_err(|violations| violations.len())
        };
        assert_eq!(batch(&["a", "b"]), Ok(()));
        assert_eq!(batch(&[]), Err(1));
        assert_eq!(batch(&["a", "a", "b", "a"]), Err(2));
        assert_eq!(batch(&["a"; EVENTS_MAX + 1]), Err(1));
    }
}
