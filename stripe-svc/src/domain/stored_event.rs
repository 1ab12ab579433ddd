//! A meter event as it stands in our table, and what may be done with it.

use chrono::{DateTime, Utc};

use crate::domain::{
    call::REPEAT_HORIZON,
    ids::{EventIdentifier, IdempotencyKey},
    meter_event::{EventOutcome, MeterEvent},
    refusal::Refusal,
};

/// What is known of a stored event's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventState {
    Open,
    Accepted,
    Refused(Refusal),
}

/// A stored event, this attempt counted in.
#[derive(Debug, Clone)]
pub(crate) struct StoredEvent {
    pub(crate) event: MeterEvent,
    /// The meter's event name when it was first stored.
    pub(crate) event_name: String,
    pub(crate) state: EventState,
    /// 1 the first time.
    pub(crate) attempt_count: i32,
    pub(crate) first_sent_at: DateTime<Utc>,
    /// How often it was opened again: the meter was seen not to count it, or a person mended what it was
    /// refused for.
    pub(crate) resend_count: i32,
}

/// What is done with an event of a request.
#[derive(Debug, Clone)]
pub(crate) enum EventMove {
    /// The answer is known.
    Answer(EventOutcome),
    /// Its identifier stands for other content: an answer too, and a fault on our side.
    Reused(Refusal),
    /// Send it.
    Send(StoredEvent),
    /// Sent so long ago that Stripe may have forgotten its identifier, or settled once and to be sent
    /// again: compare with the meter first.
    Compare(StoredEvent),
}

/// Decides what is done with `asked`, which is stored as `stored`.
pub(crate) fn next_move(asked: &MeterEvent, stored: StoredEvent, now: DateTime<Utc>) -> EventMove {
    if stored.event != *asked {
        let message = format!(
            "The identifier {} was used before for another customer, value or time.",
            asked.identifier
        );
        return EventMove::Reused(Refusal::ours("identifier_reused", message));
    }
    match stored.state {
        EventState::Accepted => EventMove::Answer(EventOutcome::Accepted { request_id: None }),
        EventState::Refused(refusal) => EventMove::Answer(EventOutcome::Refused(refusal)),
        EventState::Open
            if stored.resend_count > 0 || now - stored.first_sent_at >= REPEAT_HORIZON =>
        {
            EventMove::Compare(stored)
        }
        EventState::Open => EventMove::Send(stored),
    }
}

/// The key that an event is sent under, a function of its identifier.
pub(crate) fn key(identifier: &EventIdentifier) -> IdempotencyKey {
    IdempotencyKey::new(format!("meter-event-{identifier}"))
}

/// The key for an event whose first key cannot be used any more: Stripe saved a failure under it, or
/// forgot it. A function of the stored attempt; that it is another key can count nothing twice,
/// because the identifier stays, and past Stripe's memory of that the meter's day window counts one
/// event a day.
pub(crate) fn next_key(identifier: &EventIdentifier, attempt_count: i32) -> IdempotencyKey {
    IdempotencyKey::new(format!("meter-event-{identifier}-{attempt_count}"))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{ids::CustomerId, meter_event::SeatCount};

    fn event(seats: i64) -> MeterEvent {
        MeterEvent {
            identifier: EventIdentifier::new("report-1"),
            customer_id: CustomerId::new("cus_1"),
            seats: SeatCount::new(seats).unwrap(),
            event_at: DateTime::UNIX_EPOCH,
        }
    }

    fn stored(state: EventState, age: TimeDelta) -> StoredEvent {
        StoredEvent {
            event: event(45),
            event_name: "seats".to_owned(),
            state,
            attempt_count: 2,
            first_sent_at: DateTime::UNIX_EPOCH - age,
            resend_count: 0,
        }
    }

    fn word(next: &EventMove) -> &'static str {
        match next {
            EventMove::Answer(_) => "answer",
            EventMove::Reused(_) => "reused",
            EventMove::Send(_) => "send",
            EventMove::Compare(_) => "compare",
        }
    }

    #[test]
    fn what_is_settled_is_answered_and_what_is_old_is_compared() {
        let refused = EventState::Refused(Refusal::ours("c", "m"));
        for (seats, state, hours, expected) in [
            (45, EventState::Open, 0, "send"),
            (45, EventState::Open, 22, "send"),
            (45, EventState::Open, 23, "compare"),
            (45, EventState::Accepted, 99, "answer"),
            (45, refused.clone(), 0, "answer"),
            (46, EventState::Accepted, 0, "reused"),
            (46, EventState::Open, 0, "reused"),
        ] {
            let stored = stored(state, TimeDelta::hours(hours));
            let next = next_move(&event(seats), stored, DateTime::UNIX_EPOCH);
            assert_eq!(word(&next), expected, "{seats} after {hours} h");
        }
    }

    #[test]
    fn what_was_accepted_once_is_compared_and_never_sent_blindly() {
        let resent = StoredEvent {
            resend_count: 1,
            ..stored(EventState::Open, TimeDelta::zero())
        };
        let next = next_move(&event(45), resent, DateTime::UNIX_EPOCH);
        assert_eq!(word(&next), "compare");
    }
}
