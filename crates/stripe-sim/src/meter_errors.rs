//! Meter events that Stripe takes with 200 and finds to be bad afterwards.
//!
//! In this mode (`meter_errors` of `/_sim/settings`) what is wrong with an event itself is not
//! refused: it is reported later, in one thin event for each meter and window of ten seconds, with a
//! few samples only. What is wrong with the call, and a taken identifier, is refused as ever.
//!
//! Guess: a bad event does not take its identifier.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agenda::{Agenda, Task};
use crate::choice::choices;
use crate::errors::Refusal;
use crate::moment::Moment;
use crate::thin_events::{Related, rfc3339};
use crate::world::World;

/// Bad events are reported together by so many seconds.
const WINDOW_S: i64 = 10;
/// Bad events that wait to be reported; more are counted no more.
const MAX_WAITING: usize = 100_000;

choices! {
    /// How the account answers bad meter events.
    MeterErrors { Refused = "refused", Reported = "reported" }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct BadEvent {
    /// None where no meter has the event's name.
    meter: Option<String>,
    code: String,
    message: String,
    identifier: String,
}

/// The bad events of each window, by when they are reported.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BadEvents {
    windows: BTreeMap<i64, Vec<BadEvent>>,
}

impl BadEvents {
    fn due_at(&self) -> Option<i64> {
        self.windows.first_key_value().map(|(at, _)| *at)
    }

    pub(crate) fn reindex(&self, agenda: &mut Agenda) {
        agenda.moved(&None, Task::MeterErrors, None, self.due_at());
    }
}

/// The code of Stripe's reports for a refusal of the event itself. None for any other refusal.
fn code_of(refusal: &Refusal) -> Option<&'static str> {
    let param = refusal.param.as_deref().unwrap_or_default();
    match refusal.code? {
        "resource_missing" if param.starts_with("payload") => {
            Some("meter_event_customer_not_found")
        }
        code @ ("archived_meter"
        | "meter_event_invalid_value"
        | "meter_event_no_customer_defined"
        | "meter_event_value_not_found"
        | "meter_event_value_too_many_digits"
        | "no_meter"
        | "timestamp_in_future"
        | "timestamp_too_far_in_past") => Some(code),
        _ => None,
    }
}

/// Keeps a refusal for a later report. Gives it back where it is to be answered now.
pub(crate) fn report_later(
    world: &mut World,
    meter: Option<String>,
    identifier: &str,
    refusal: Refusal,
    now: i64,
) -> Result<(), Refusal> {
    let Some(code) = code_of(&refusal) else {
        return Err(refusal);
    };
    let start = now.div_euclid(WINDOW_S) * WINDOW_S;
    let at = start + WINDOW_S + world.settings.meter_error_delay_s;
    let before = world.bad_events.due_at();
    let window = world.bad_events.windows.entry(at).or_default();
    if window.len() < MAX_WAITING {
        window.push(BadEvent {
            meter,
            code: code.to_owned(),
            message: refusal.message,
            identifier: identifier.to_owned(),
        });
    }
    let after = world.bad_events.due_at();
    world.agenda.moved(&None, Task::MeterErrors, before, after);
    Ok(())
}

/// Reports the window that is due.
pub(crate) fn happen(moment: &mut Moment<'_>) {
    let world = &mut *moment.world;
    let before = world.bad_events.due_at();
    let Some((at, events)) = world.bad_events.windows.pop_first() else {
        return;
    };
    let after = world.bad_events.due_at();
    world.agenda.moved(&None, Task::MeterErrors, before, after);
    let end = at - world.settings.meter_error_delay_s;
    let mut by_meter: BTreeMap<Option<String>, Vec<BadEvent>> = BTreeMap::new();
    for event in events {
        by_meter.entry(event.meter.clone()).or_default().push(event);
    }
    for (meter, events) in by_meter {
        let data = report(&events, moment.world.settings.meter_error_samples, end);
        let kind = match &meter {
            Some(_) => "v1.billing.meter.error_report_triggered",
            None => "v1.billing.meter.no_meter_found",
        };
        let related = meter.map(|id| Related {
            url: format!("/v1/billing/meters/{id}"),
            kind: "billing.meter".to_owned(),
            id,
        });
        moment.tell_thin(kind, related, &data);
    }
}

fn report(events: &[BadEvent], samples: usize, end: i64) -> Value {
    let mut by_code: BTreeMap<&str, Vec<&BadEvent>> = BTreeMap::new();
    for event in events {
        by_code.entry(&event.code).or_default().push(event);
    }
    let types = by_code.into_iter().map(|(code, events)| {
        let shown = events.iter().take(samples).map(|event| {
            json!({
                "error_message": event.message,
                "request": { "identifier": event.identifier },
            })
        });
        json!({
            "code": code,
            "error_count": events.len(),
            "sample_errors": shown.collect::<Vec<_>>(),
        })
    });
    let count = events.len();
    let plural = if count == 1 { "event" } else { "events" };
    json!({
        "developer_message_summary": format!("There is {count} invalid {plural}"),
        "reason": { "error_count": count, "error_types": types.collect::<Vec<_>>() },
        "validation_end": rfc3339(end),
        "validation_start": rfc3339(end - WINDOW_S),
    })
}
