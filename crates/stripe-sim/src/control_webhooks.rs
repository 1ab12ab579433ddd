//! `/_sim/webhooks`: what goes wrong with deliveries, which there were, and waiting for them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::Sim;

/// How often waiting looks again.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const DEFAULT_TIMEOUT_MS: u64 = 30_000;
const MAX_TIMEOUT_MS: u64 = 600_000;

pub(crate) fn show(sim: &Sim) -> Value {
    sim.settled().world.webhooks.to_value()
}

pub(crate) fn change(sim: &Sim, body: &[u8]) -> Result<Value, String> {
    let changes: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut inner = sim.settled();
    let disorder = inner.world.webhooks.disorder.merged(&changes)?;
    let value = json!({ "settings": disorder });
    inner.world.webhooks.disorder = disorder;
    drop(inner);
    sim.touched();
    Ok(value)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Flush {
    /// Also what is delayed and what waits to be tried again is tried now, once.
    all: bool,
    timeout_ms: Option<u64>,
}

/// Waits until nothing is due and nothing under way; says whether that came in time.
pub(crate) async fn flush(sim: &Sim, body: &[u8]) -> Result<Value, String> {
    let flush: Flush = if body.is_empty() {
        Flush::default()
    } else {
        serde_json::from_slice(body).map_err(|error| error.to_string())?
    };
    let timeout_ms = flush.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
    let timeout = Duration::from_millis(timeout_ms.min(MAX_TIMEOUT_MS));
    if flush.all {
        let now_ms = sim.clock.now_ms();
        sim.settled().world.webhooks.hurry(now_ms);
        sim.touched();
    }
    let quiet = tokio::time::timeout(timeout, quiet(sim)).await.is_ok();
    let waiting = sim.lock().world.webhooks.waiting();
    Ok(json!({ "flushed": quiet, "waiting": waiting }))
}

pub(crate) async fn quiet(sim: &Sim) {
    loop {
        let now_ms = sim.clock.now_ms();
        if sim.settled().world.webhooks.is_quiet(now_ms) {
            return;
        }
        sim.wake.notify_one();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
