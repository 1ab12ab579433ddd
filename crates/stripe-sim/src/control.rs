//! The control plane under `/_sim/`. It is no part of Stripe and asks for no key.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::faults::Fault;
use crate::ledger::Ledger;
use crate::reply::Reply;
use crate::sim::{Inbound, Inner, Sim};

pub(crate) fn answer(sim: &Sim, inbound: &Inbound<'_>) -> Reply {
    let answer = match (inbound.method, inbound.path) {
        ("GET", "/_sim/ledger") => Ok(ledger(sim, inbound.query)),
        ("POST", "/_sim/reset") => {
            sim.reset();
            Ok(json!({ "reset": true }))
        }
        ("GET", "/_sim/clock") => Ok(clock(sim)),
        ("POST", "/_sim/clock/advance") => advance(sim, inbound.body),
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
    sim.changed.notify_one();
    Ok(clock(sim))
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
