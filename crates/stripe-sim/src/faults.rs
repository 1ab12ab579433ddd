//! Faults on demand: what a network or Stripe itself may do to a call, queued by tests.
//!
//! A fault never changes what a call means. It decides whether the effect happens, whether and how
//! the answer arrives, and how long either takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::Ids;
use crate::routes::{self, Route};

/// How long a connection hangs when the fault names no time.
const DEFAULT_HANG_MS: u64 = 30_000;
/// Faults in the queue at once.
const MAX_FAULTS: usize = 1_000;

/// An answer that a fault gives in place of the simulator's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultResponse {
    /// An HTTP status from 400 to 599.
    pub status: u16,
    /// The body's `error`; Stripe's usual one for the status when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Seconds for a `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Whether the call takes effect before this answer is given.
    #[serde(default)]
    pub after_effect: bool,
    /// Whether the idempotency key replays this answer. Unset: yes after the effect, as Stripe saves
    /// a 500 of a call that had begun; no before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<bool>,
}

impl FaultResponse {
    /// An answer with Stripe's usual error of this status, before any effect.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            error: None,
            headers: BTreeMap::new(),
            retry_after_s: None,
            after_effect: false,
            saved: None,
        }
    }

    pub(crate) fn is_saved(&self) -> bool {
        self.saved.unwrap_or(self.after_effect)
    }
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultEffect {
    /// The connection is closed without effect or answer.
    Refuse,
    /// Without effect, the connection hangs and is then closed.
    TimeoutBefore { hang_ms: u64 },
    /// The effect is done, then the connection hangs and is closed.
    TimeoutAfter { hang_ms: u64 },
    /// Another answer.
    Respond(FaultResponse),
    /// The effect is done, and the connection is closed in the middle of the answer.
    CutBody,
    /// Everything takes this much longer. It combines with the next fault of the route.
    DelayMs(u64),
}

/// A fault to queue for calls of a route.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "FaultText")]
pub struct Fault {
    /// `POST /v1/subscriptions`, `GET /v1/customers/{id}`, one object's path, or `*`.
    pub route: String,
    /// How often it strikes; none is until it is cleared.
    pub count: Option<u32>,
    /// Chance for each call, from 0 to 1.
    pub probability: f64,
    /// Calls that pass before it begins.
    pub skip: u32,
    pub effect: FaultEffect,
}

impl Fault {
    /// A fault that strikes the route's next call, once.
    pub fn once(route: impl Into<String>, effect: FaultEffect) -> Self {
        Self {
            route: route.into(),
            count: Some(1),
            probability: 1.0,
            skip: 0,
            effect,
        }
    }

    /// A fault that strikes every call until it is cleared.
    pub fn always(route: impl Into<String>, effect: FaultEffect) -> Self {
        Self {
            count: None,
            ..Self::once(route, effect)
        }
    }

    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self {
            count: Some(count),
            ..self
        }
    }

    #[must_use]
    pub fn with_probability(self, probability: f64) -> Self {
        Self {
            probability,
            ..self
        }
    }

    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

/// A fault that cannot be queued, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFault(String);

/// `true`, or the time to hang.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Hang {
    Flag(bool),
    Timed {
        #[serde(default)]
        hang_ms: Option<u64>,
    },
}

impl Hang {
    /// None if the fault is switched off by `false`.
    fn ms(&self) -> Option<u64> {
        match self {
            Self::Flag(on) => on.then_some(DEFAULT_HANG_MS),
            Self::Timed { hang_ms } => Some(hang_ms.unwrap_or(DEFAULT_HANG_MS)),
        }
    }
}

/// A fault as the control plane takes it: exactly one of the effects is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    route: String,
    count: Option<u32>,
    probability: Option<f64>,
    #[serde(default)]
    skip: u32,
    refuse: Option<bool>,
    timeout_before: Option<Hang>,
    timeout_after: Option<Hang>,
    respond: Option<FaultResponse>,
    cut_body: Option<bool>,
    delay_ms: Option<u64>,
}

impl TryFrom<FaultText> for Fault {
    type Error = InvalidFault;

    fn try_from(text: FaultText) -> Result<Self, InvalidFault> {
        let before = text.timeout_before.and_then(|hang| hang.ms());
        let after = text.timeout_after.and_then(|hang| hang.ms());
        let effects = [
            text.refuse.filter(|on| *on).map(|_| FaultEffect::Refuse),
            before.map(|hang_ms| FaultEffect::TimeoutBefore { hang_ms }),
            after.map(|hang_ms| FaultEffect::TimeoutAfter { hang_ms }),
            text.respond.map(FaultEffect::Respond),
            text.cut_body.filter(|on| *on).map(|_| FaultEffect::CutBody),
            text.delay_ms.map(FaultEffect::DelayMs),
        ];
        let mut named = effects.into_iter().flatten();
        let (Some(effect), None) = (named.next(), named.next()) else {
            return Err(InvalidFault(
                "name exactly one of refuse, timeout_before, timeout_after, respond, cut_body, \
                 delay_ms"
                    .to_owned(),
            ));
        };
        Ok(Self {
            route: text.route,
            count: text.count,
            probability: text.probability.unwrap_or(1.0),
            skip: text.skip,
            effect,
        })
    }
}

/// The calls that a fault strikes.
#[derive(Debug, Clone)]
enum Target {
    Any,
    Route(&'static Route),
    Path { method: String, path: String },
}

impl Target {
    fn parse(route: &str) -> Result<Self, InvalidFault> {
        if route == "*" {
            return Ok(Self::Any);
        }
        let unknown = || InvalidFault(format!("no route is `{route}`"));
        let (method, path) = route.split_once(' ').ok_or_else(unknown)?;
        if let Some(route) = routes::by_template(method, path) {
            return Ok(Self::Route(route));
        }
        routes::find(method, path).ok_or_else(unknown)?;
        Ok(Self::Path {
            method: method.to_owned(),
            path: path.to_owned(),
        })
    }

    fn is_hit(&self, route: &Route, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Route(target) => target.name() == route.name(),
            Self::Path {
                method,
                path: target,
            } => method == route.method && target == path,
        }
    }
}

#[derive(Debug)]
struct Queued {
    target: Target,
    fault: Fault,
    fired: u32,
}

impl Queued {
    fn is_spent(&self) -> bool {
        self.fault.count.is_some_and(|count| self.fired >= count)
    }
}

/// What the faults make of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) effect: Option<FaultEffect>,
}

impl Plan {
    /// Whether the call reaches the point where Stripe takes its idempotency key.
    pub(crate) fn begins(&self) -> bool {
        match &self.effect {
            Some(FaultEffect::Refuse | FaultEffect::TimeoutBefore { .. }) => false,
            Some(FaultEffect::Respond(response)) => response.after_effect || response.is_saved(),
            Some(
                FaultEffect::TimeoutAfter { .. } | FaultEffect::CutBody | FaultEffect::DelayMs(_),
            )
            | None => true,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    queue: Vec<Queued>,
}

impl Faults {
    pub(crate) fn queue(&mut self, fault: Fault) -> Result<(), InvalidFault> {
        let target = Target::parse(&fault.route)?;
        if !(0.0..=1.0).contains(&fault.probability) {
            return Err(InvalidFault("probability must be from 0 to 1".to_owned()));
        }
        if let FaultEffect::Respond(response) = &fault.effect
            && !(400..=599).contains(&response.status)
        {
            return Err(InvalidFault("status must be from 400 to 599".to_owned()));
        }
        self.queue.retain(|queued| !queued.is_spent());
        if self.queue.len() >= MAX_FAULTS {
            return Err(InvalidFault(format!(
                "at most {MAX_FAULTS} faults can wait"
            )));
        }
        self.queue.push(Queued {
            target,
            fault,
            fired: 0,
        });
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// The routes of faults with a count that calls have not used up.
    pub(crate) fn unspent(&self) -> Vec<String> {
        let waiting = |queued: &&Queued| queued.fault.count.is_some() && !queued.is_spent();
        self.queue
            .iter()
            .filter(waiting)
            .map(|queued| queued.fault.route.clone())
            .collect()
    }

    /// Delays add up until the first other fault that strikes, in the order of queueing.
    pub(crate) fn plan(&mut self, route: &Route, path: &str, ids: &mut Ids) -> Plan {
        let mut plan = Plan::default();
        for queued in &mut self.queue {
            if queued.is_spent() || !queued.target.is_hit(route, path) {
                continue;
            }
            if queued.fault.skip > 0 {
                queued.fault.skip -= 1;
                continue;
            }
            if queued.fault.probability < 1.0 && !ids.happens(queued.fault.probability) {
                continue;
            }
            queued.fired = queued.fired.saturating_add(1);
            if let FaultEffect::DelayMs(ms) = &queued.fault.effect {
                plan.delay = plan.delay.saturating_add(Duration::from_millis(*ms));
            } else {
                plan.effect = Some(queued.fault.effect.clone());
                break;
            }
        }
        plan
    }

    /// The queue, with how often each has struck.
    pub(crate) fn to_value(&self) -> Value {
        let faults = self.queue.iter().map(|queued| {
            json!({
                "route": queued.fault.route,
                "count": queued.fault.count,
                "probability": queued.fault.probability,
                "skip": queued.fault.skip,
                "fired": queued.fired,
                "effect": queued.fault.effect,
            })
        });
        Value::Array(faults.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fault, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_fault_names_exactly_one_effect() {
        let fault = parse(r#"{"route":"POST /v1/customers","count":1,"refuse":true}"#).unwrap();
        assert_eq!(
            fault,
            Fault::once("POST /v1/customers", FaultEffect::Refuse)
        );
        for bad in [
            r#"{"route":"*"}"#,
            r#"{"route":"*","refuse":true,"delay_ms":1}"#,
            r#"{"route":"*","refuse":true,"cuont":1}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_must_exist() {
        let mut faults = Faults::default();
        for route in ["*", "POST /v1/customers", "GET /v1/customers/{customer}"] {
            faults
                .queue(Fault::once(route, FaultEffect::Refuse))
                .unwrap();
        }
        for route in ["POST /v1/custmers", "customers", "DELETE /v1/customers"] {
            assert!(
                faults
                    .queue(Fault::once(route, FaultEffect::Refuse))
                    .is_err(),
                "{route}"
            );
        }
    }

    #[test]
    fn delays_combine_with_the_next_fault_and_counts_run_out() {
        let mut faults = Faults::default();
        let route = routes::find("POST", "/v1/customers").unwrap().0;
        faults
            .queue(Fault::once("POST /v1/customers", FaultEffect::DelayMs(5)))
            .unwrap();
        faults
            .queue(Fault::once("*", FaultEffect::CutBody).times(2).after(1))
            .unwrap();
        let mut ids = Ids::new(Some(1));
        let mut strike = || {
            let plan = faults.plan(route, "/v1/customers", &mut ids);
            (plan.delay.as_millis(), plan.effect.is_some())
        };
        assert_eq!(strike(), (5, false));
        assert_eq!(strike(), (0, true));
        assert_eq!(strike(), (0, true));
        assert_eq!(strike(), (0, false));
    }
}
