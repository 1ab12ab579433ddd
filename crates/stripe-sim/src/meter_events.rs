//! `/v1/billing/meter_events` and `/v1/billing/meter_event_adjustments`

use std::collections::BTreeMap;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::json;

use crate::calendar::DAY_S;
use crate::choice::choices;
use crate::errors::Refusal;
use crate::meter_errors::{self, MeterErrors};
use crate::meters::{self, Formula, Meter};
use crate::params::{Node, Tree};
use crate::usage::MeterEvent;
use crate::world::{Answer, Call, World};

/// How long an identifier stays taken, and how long its event can be cancelled.
const IDENTIFIER_TAKEN_S: i64 = DAY_S;
const OLDEST_S: i64 = 35 * DAY_S;
const EARLIEST_S: i64 = 5 * 60;
const MAX_SIGNIFICANT_DIGITS: usize = 15;
/// Keys of a payload: the customer, the value and Stripe's dimensions.
const MAX_PAYLOAD_KEYS: usize = 10;

choices! {
    AdjustmentType { Cancel = "cancel" }
}

/// The customer and meter that a call occupies while it runs: Stripe takes one at a time of each.
pub(crate) fn lock_of(world: &World, tree: &Tree) -> Option<String> {
    let text = |node: Option<&Node>| match node {
        Some(Node::Text(text)) => Some(text.clone()),
        Some(Node::Branch(_)) | None => None,
    };
    let (_, meter) = meters::active(&world.meters, &text(tree.get("event_name"))?)?;
    let customer = match tree.get("payload") {
        Some(Node::Branch(payload)) => text(payload.get(&meter.customer_key))?,
        Some(Node::Text(_)) | None => return None,
    };
    Some(format!("{} {customer}", meter.id))
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let event_name = fields.need_text("event_name", 100);
    let identifier = fields.text("identifier", 100);
    let timestamp = fields.timestamp("timestamp");
    let payload = fields.map("payload");
    let payload = fields.need("payload", payload);
    if payload.len() > MAX_PAYLOAD_KEYS {
        fields.violate("payload", None, "The payload has too many keys.");
    }
    fields.finish()?;
    let now = call.now;
    let world = call.world;
    let identifier = identifier.unwrap_or_else(|| call.ids.event_identifier());
    let mut sent = Sent {
        event_name,
        identifier,
        timestamp,
        payload,
    };
    match accept(world, &sent, now) {
        Ok((series, event)) => {
            sent.timestamp = Some(event.timestamp);
            world.usage.record(series, event);
        }
        Err(refusal) if world.settings.meter_errors == MeterErrors::Reported => {
            let meter = named(world, &sent.event_name).map(|meter| meter.id.clone());
            meter_errors::report_later(world, meter, &sent.identifier, refusal, now)?;
        }
        Err(refusal) => return Err(refusal),
    }
    Ok(json!({
        "object": "billing.meter_event",
        "created": now,
        "event_name": sent.event_name,
        "identifier": sent.identifier,
        "livemode": false,
        "payload": sent.payload,
        "timestamp": sent.timestamp.unwrap_or(now),
    }))
}

/// A meter event as it was sent.
#[derive(Debug)]
struct Sent {
    event_name: String,
    identifier: String,
    timestamp: Option<i64>,
    payload: BTreeMap<String, String>,
}

/// The event as it is to be recorded, and of whom.
fn accept(world: &World, sent: &Sent, now: i64) -> Result<((usize, usize), MeterEvent), Refusal> {
    let Sent {
        event_name,
        identifier,
        timestamp,
        payload,
    } = sent;
    let (meter_at, meter) = meters::active(&world.meters, event_name).ok_or_else(|| {
        let code = match named(world, event_name) {
            Some(_) => "archived_meter",
            None => "no_meter",
        };
        let message = format!("No active meter found for event name {event_name}.");
        Refusal::refused(Some("event_name"), Some(code), message)
    })?;
    let before = world.usage.identified(identifier);
    if before.is_some_and(|before| now - before.received_at < IDENTIFIER_TAKEN_S) {
        return Err(Refusal::refused(
            Some("identifier"),
            None,
            format!("An event already exists with identifier {identifier}."),
        ));
    }
    let customer_at = find_customer(world, meter, payload)?;
    // Guess: usage of a customer on a test clock is timed by that clock; the identifier is not.
    let payer = world.customers.at(customer_at);
    let payer_now = payer.map_or(now, |it| world.time_on(&it.test_clock, now));
    let timestamp = timestamp.unwrap_or(payer_now);
    check_time(timestamp, payer_now)?;
    let event = MeterEvent {
        identifier: identifier.clone(),
        meter: meter.id.clone(),
        customer: payload
            .get(&meter.customer_key)
            .cloned()
            .unwrap_or_default(),
        value: read_value(meter, payload)?,
        timestamp,
        received_at: now,
        cancelled: false,
    };
    Ok(((meter_at, customer_at), event))
}

fn check_time(timestamp: i64, now: i64) -> Result<(), Refusal> {
    let (code, message) = if timestamp < now - OLDEST_S {
        (
            "timestamp_too_far_in_past",
            "The timestamp must be within the past 35 calendar days.",
        )
    } else if timestamp > now + EARLIEST_S {
        (
            "timestamp_in_future",
            "The timestamp must not be more than 5 minutes in the future.",
        )
    } else {
        return Ok(());
    };
    Err(Refusal::refused(Some("timestamp"), Some(code), message))
}

/// The meter of this name, active or not.
fn named<'w>(world: &'w World, event_name: &str) -> Option<&'w Meter> {
    let mut meters = world.meters.as_slice().iter().rev();
    meters.find(|meter| meter.event_name == event_name)
}

fn find_customer(
    world: &World,
    meter: &Meter,
    payload: &BTreeMap<String, String>,
) -> Result<usize, Refusal> {
    let key = &meter.customer_key;
    let param = format!("payload[{key}]");
    let Some(id) = payload.get(key).filter(|id| !id.is_empty()) else {
        return Err(Refusal::refused(
            Some(&param),
            Some("meter_event_no_customer_defined"),
            format!("The payload has no customer: the key `{key}` is missing."),
        ));
    };
    let living = world
        .customers
        .get(id)
        .is_some_and(|customer| !customer.deleted);
    let position = world.customers.position(id).filter(|_| living);
    position.ok_or_else(|| Refusal::no_such_in(&param, "customer", id))
}

fn read_value(meter: &Meter, payload: &BTreeMap<String, String>) -> Result<Decimal, Refusal> {
    let key = &meter.value_key;
    let param = format!("payload[{key}]");
    let Some(text) = payload.get(key) else {
        return match meter.formula {
            Formula::Count => Ok(Decimal::ONE),
            Formula::Sum | Formula::Last => Err(Refusal::refused(
                Some(&param),
                Some("meter_event_value_not_found"),
                format!("The payload has no value: the key `{key}` is missing."),
            )),
        };
    };
    if significant_digits(text) > MAX_SIGNIFICANT_DIGITS {
        return Err(Refusal::refused(
            Some(&param),
            Some("meter_event_value_too_many_digits"),
            format!("The value must have at most {MAX_SIGNIFICANT_DIGITS} significant digits."),
        ));
    }
    let is_plain = text
        .strip_prefix('-')
        .unwrap_or(text)
        .starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    Decimal::from_str(text)
        .ok()
        .filter(|_| is_plain)
        .ok_or_else(|| {
            Refusal::refused(
                Some(&param),
                Some("meter_event_invalid_value"),
                format!("Invalid value: `{text}` is not a number."),
            )
        })
}

/// Digits from the first that is not zero; trailing zeros are counted, the stricter reading.
fn significant_digits(text: &str) -> usize {
    text.bytes()
        .filter(u8::is_ascii_digit)
        .skip_while(|digit| *digit == b'0')
        .count()
}

/// Cancels an event that was received less than a day ago.
pub(crate) fn adjust(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let event_name = fields.need_text("event_name", 100);
    let kind: AdjustmentType = fields.need_choice("type");
    let identifier = fields.need_object("cancel", |cancel| cancel.need_text("identifier", 100));
    fields.finish()?;
    let world = call.world;
    let meters = &world.meters;
    let refused = |message: String| Refusal::refused(Some("cancel[identifier]"), None, message);
    let event = world.usage.identified_mut(&identifier);
    let event = event
        .filter(|event| {
            meters
                .get(&event.meter)
                .is_some_and(|it| it.event_name == event_name)
        })
        .ok_or_else(|| refused(format!("No event exists with identifier {identifier}.")))?;
    if call.now - event.received_at >= IDENTIFIER_TAKEN_S {
        return Err(refused(
            "An event can only be cancelled within 24 hours.".to_owned(),
        ));
    }
    event.cancelled = true;
    Ok(json!({
        "object": "billing.meter_event_adjustment",
        "cancel": { "identifier": identifier },
        "event_name": event_name,
        "livemode": false,
        "status": "pending",
        "type": kind,
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_counted_from_the_first_that_matters() {
        for (text, digits) in [
            ("0", 0),
            ("-007", 1),
            ("0.0012", 2),
            ("120", 3),
            ("1.50", 3),
        ] {
            assert_eq!(super::significant_digits(text), digits, "{text}");
        }
    }
}
