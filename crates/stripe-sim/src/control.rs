//! The control plane under `/_sim/`. It is no part of Stripe, asks for no key and speaks JSON.
//!
//! | call | what it does |
//! | --- | --- |
//! | `GET /_sim/ledger?omit=meter_events,recent_requests` | everything taken in; large lists can be left out |
//! | `POST /_sim/reset` | forgets the account, the faults, the log and the clock's offset |
//! | `GET /_sim/clock` | `{"now": unix_s, "offset_ms": n}` |
//! | `POST /_sim/clock/advance` | `{"seconds": n}` moves it on, `{"to": unix_s}` sets it |
//! | `GET /_sim/settings` | how the account behaves: `invoice_grace_s`, `charges_succeed`, `summary_lag_s`, `meter_errors` (`refused` or `reported` later), `meter_error_delay_s`, `meter_error_samples` |
//! | `POST /_sim/settings` | changes those that it names |
//! | `GET /_sim/webhooks` | endpoints, deliveries (the last 10,000 and all that wait), and what goes wrong |
//! | `POST /_sim/webhooks` | `{"duplicate": p, "drop": p, "delay_ms": [min, max], "shuffle": bool, "retry_speedup": n, "signature_skew_s": n}`, any of them |
//! | `POST /_sim/webhooks/flush` | waits until all due deliveries were made; `{"all": true}` makes all that waits due, `timeout_ms` |
//! | `GET /_sim/faults` | the queue, with how often each has struck |
//! | `POST /_sim/faults` | queues one fault or a list of them |
//! | `DELETE /_sim/faults` | clears the queue |
//!
//! A fault names its `route` (`POST /v1/customers/{id}`, one object's path, or `*`), optionally
//! `count`, `probability` and `skip`, and exactly one effect:
//!
//! ```json
//! {"route": "*", "count": 1, "refuse": true}
//! {"route": "*", "count": 1, "timeout_before": {"hang_ms": 5000}}
//! {"route": "*", "count": 1, "timeout_after": true}
//! {"route": "*", "probability": 0.1, "cut_body": true}
//! {"route": "*", "delay_ms": 200}
//! {"route": "POST /v1/subscriptions", "count": 1, "skip": 2, "respond": {
//!     "status": 429, "retry_after_s": 2, "headers": {"Stripe-Should-Retry": "true"},
//!     "error": {"type": "invalid_request_error", "message": "…"},
//!     "after_effect": false, "saved": false}}
//! ```
//!
//! Without a `count` a fault strikes until it is cleared.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::control_webhooks;
use crate::faults::Fault;
use crate::ledger::Ledger;
use crate::reply::Reply;
use crate::sim::{Inbound, Inner, Sim};

pub(crate) async fn answer(sim: &Sim, inbound: &Inbound<'_>) -> Reply {
    let answer = match (inbound.method, inbound.path) {
        ("GET", "/_sim/ledger") => Ok(ledger(sim, inbound.query)),
        ("POST", "/_sim/reset") => {
            sim.reset();
            Ok(json!({ "reset": true }))
        }
        ("GET", "/_sim/clock") => Ok(clock(sim)),
        ("POST", "/_sim/clock/advance") => advance(sim, inbound.body),
        ("GET", "/_sim/settings") => Ok(json!(sim.lock().world.settings)),
        ("POST", "/_sim/settings") => settings(sim, inbound.body),
        ("GET", "/_sim/webhooks") => Ok(control_webhooks::show(sim)),
        ("POST", "/_sim/webhooks") => control_webhooks::change(sim, inbound.body),
        ("POST", "/_sim/webhooks/flush") => control_webhooks::flush(sim, inbound.body).await,
        ("GET", "/_sim/faults") => Ok(json!({ "faults": sim.lock().faults.to_value() })),
        ("POST", "/_sim/faults") => queue(sim, inbound.body),
        ("DELETE", "/_sim/faults") => {
            sim.lock().faults.clear();
            Ok(json!({ "faults": [] }))
        }
        (method, path) => {
            return Reply::json(
                404,
                &json!({ "error": format!("no such control: {method} {path}") }),
            );
        }
    };
    match answer {
        Ok(value) => Reply::json(200, &value),
        Err(problem) => Reply::json(400, &json!({ "error": problem })),
    }
}

/// `?omit=meter_events,customers` leaves the named lists empty.
fn ledger(sim: &Sim, query: &str) -> Value {
    let omitted: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "omit")
        .flat_map(|(_, names)| names.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let ledger = sim.ledger(|name| !omitted.iter().any(|omitted| omitted == name));
    serde_json::to_value(ledger).unwrap_or_default()
}

impl Sim {
    pub(crate) fn ledger(&self, wants: impl Fn(&str) -> bool) -> Ledger {
        let inner = self.settled();
        let Inner { world, log, .. } = &*inner;
        Ledger::of(world, log, self.clock.now(), wants)
    }
}

fn clock(sim: &Sim) -> Value {
    json!({ "now": sim.clock.now(), "offset_ms": sim.clock.offset_ms() })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Advance {
    Seconds(u64),
    To(i64),
}

fn advance(sim: &Sim, body: &[u8]) -> Result<Value, String> {
    let advance: Advance = serde_json::from_slice(body)
        .map_err(|error| format!("expected {{\"seconds\": n}} or {{\"to\": unix}}: {error}"))?;
    match advance {
        Advance::Seconds(seconds) => sim.clock.advance(Duration::from_secs(seconds)),
        Advance::To(unix_s) => sim.clock.set(unix_s),
    }
    drop(sim.settled());
    sim.touched();
    Ok(clock(sim))
}

fn settings(sim: &Sim, body: &[u8]) -> Result<Value, String> {
    let changes: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut inner = sim.settled();
    let settings = inner.world.settings.merged(&changes)?;
    let value = json!(settings);
    inner.world.settings = settings;
    drop(inner);
    sim.touched();
    Ok(value)
}

/// One fault, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct FaultList(Vec<Fault>);

fn queue(sim: &Sim, body: &[u8]) -> Result<Value, String> {
    let is_list = body.trim_ascii_start().starts_with(b"[");
    let FaultList(faults) = if is_list {
        serde_json::from_slice(body).map_err(|error| error.to_string())?
    } else {
        FaultList(vec![
            serde_json::from_slice(body).map_err(|error| error.to_string())?,
        ])
    };
    let mut inner = sim.lock();
    for fault in faults {
        inner
            .faults
            .queue(fault)
            .map_err(|error| error.to_string())?;
    }
    Ok(json!({ "faults": inner.faults.to_value() }))
}
