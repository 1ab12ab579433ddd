//! Deliveries of events: at least once, in the order of the events unless a test wants disorder.
//!
//! An answer other than 2xx is tried again after growing waits, Stripe's of three days by default;
//! `retry_speedup` divides them. Times are milliseconds of the simulator's clock, so that moving it
//! moves the retries.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;
use crate::ids::Ids;
use crate::store::Store;
use crate::webhook_endpoints::{CONFIGURED, Endpoint};

/// The waits after each attempt that failed, in seconds. Guess: Stripe says "up to three days with
/// exponential backoff" and no more.
const WAITS_S: [i64; 9] = [
    300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200,
];
/// How far a shuffle moves a delivery at most.
const SHUFFLE_MS: i64 = 200;
/// Attempts in progress at one endpoint while deliveries are shuffled; otherwise it is one.
const MAX_AT_ONCE: usize = 8;
/// Ended deliveries that are remembered.
const MAX_ENDED: usize = 10_000;
/// The longest delay that can be asked for.
const MAX_DELAY_MS: i64 = 86_400_000;

/// What a test wants to go wrong on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Disorder {
    /// Chance that an event is delivered twice.
    duplicate: f64,
    /// Chance that it is never delivered.
    drop: f64,
    /// Every delivery waits for so long, from and to.
    delay_ms: (i64, i64),
    shuffle: bool,
    /// Divides the waits between attempts.
    retry_speedup: u32,
    /// Moves the time in signatures, which is the real time.
    pub(crate) signature_skew_s: i64,
}

impl Default for Disorder {
    fn default() -> Self {
        Self {
            duplicate: 0.0,
            drop: 0.0,
            delay_ms: (0, 0),
            shuffle: false,
            retry_speedup: 1,
            signature_skew_s: 0,
        }
    }
}

impl Disorder {
    /// This one with what `changes` names changed.
    pub(crate) fn merged(&self, changes: &Value) -> Result<Self, String> {
        let mut merged = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let fields = merged.as_object_mut().zip(changes.as_object());
        let (fields, changes) = fields.ok_or("expected an object")?;
        fields.extend(changes.clone());
        let merged: Self = serde_json::from_value(merged).map_err(|error| error.to_string())?;
        let chances = [merged.duplicate, merged.drop];
        if !chances.iter().all(|chance| (0.0..=1.0).contains(chance)) {
            return Err("duplicate and drop must be from 0 to 1".to_owned());
        }
        let (least, most) = merged.delay_ms;
        if least < 0 || most < least || most > MAX_DELAY_MS {
            return Err(format!("delay_ms must be [min, max], up to {MAX_DELAY_MS}"));
        }
        if merged.retry_speedup == 0 {
            return Err("retry_speedup must be at least 1".to_owned());
        }
        Ok(merged)
    }

    fn wait_ms(&self, attempts: usize) -> Option<i64> {
        let wait_s = WAITS_S.get(attempts.checked_sub(1)?)?;
        Some((wait_s * 1_000 / i64::from(self.retry_speedup)).max(1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    Waiting,
    Delivered,
    /// All attempts failed.
    Failed,
    /// A test wanted it to be lost.
    Dropped,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) number: u64,
    pub(crate) event: String,
    #[serde(rename = "type")]
    kind: String,
    pub(crate) thin: bool,
    pub(crate) endpoint: String,
    /// Whether it is the second one of an event.
    duplicate: bool,
    state: DeliveryState,
    attempts: usize,
    last_status: Option<u16>,
    last_error: Option<String>,
    /// When it is due. None until the worker, who has a clock, sees it.
    due_ms: Option<i64>,
    delay_ms: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Webhooks {
    pub(crate) endpoints: Store<Endpoint>,
    pub(crate) disorder: Disorder,
    next_number: u64,
    waiting: BTreeMap<u64, Delivery>,
    ended: VecDeque<Delivery>,
    /// Waiting deliveries without a time, and those with one by it.
    #[serde(skip)]
    fresh: Vec<u64>,
    #[serde(skip)]
    schedule: BTreeSet<(i64, u64)>,
    /// Attempts under way, by endpoint.
    #[serde(skip)]
    in_flight: HashMap<String, usize>,
    #[serde(skip)]
    pending: HashMap<String, usize>,
    #[serde(skip)]
    last_now_ms: i64,
}

impl Webhooks {
    pub(crate) fn new(config: &Config) -> Self {
        let mut webhooks = Self::default();
        webhooks.disorder.retry_speedup = config.webhook_retry_speedup.max(1);
        webhooks.configure(config);
        webhooks
    }

    /// Makes the endpoint that the configuration names what it says.
    pub(crate) fn configure(&mut self, config: &Config) {
        let named = config.webhook.as_ref();
        let named = named.map(|webhook| Endpoint::configured(&webhook.url, webhook.secret()));
        match (self.endpoints.get_mut(CONFIGURED), named) {
            (Some(endpoint), Some(named)) => *endpoint = named,
            (Some(endpoint), None) => endpoint.deleted = true,
            (None, Some(named)) => {
                self.endpoints.push(named);
            }
            (None, None) => {}
        }
    }

    /// Plans the deliveries of a new event.
    pub(crate) fn announce(&mut self, ids: &mut Ids, event: &str, kind: &str, thin: bool) {
        let endpoints = self.endpoints.as_slice().iter();
        let wanting = endpoints.filter(|endpoint| endpoint.wants(kind, thin));
        let wanting: Vec<String> = wanting.map(|endpoint| endpoint.id.clone()).collect();
        for endpoint in wanting {
            let dropped = self.disorder.drop > 0.0 && ids.happens(self.disorder.drop);
            let twice = self.disorder.duplicate > 0.0 && ids.happens(self.disorder.duplicate);
            let copies = if twice { 2 } else { 1 };
            for copy in 0..copies {
                let (least, most) = self.disorder.delay_ms;
                let delay_ms = ids.between(least, most);
                let shuffled_ms =
                    ids.between(0, if self.disorder.shuffle { SHUFFLE_MS } else { 0 });
                self.next_number += 1;
                let delivery = Delivery {
                    number: self.next_number,
                    event: event.to_owned(),
                    kind: kind.to_owned(),
                    thin,
                    endpoint: endpoint.clone(),
                    duplicate: copy > 0,
                    state: DeliveryState::Waiting,
                    attempts: 0,
                    last_status: None,
                    last_error: None,
                    due_ms: None,
                    delay_ms: delay_ms + shuffled_ms,
                };
                if dropped {
                    self.remember(delivery, DeliveryState::Dropped);
                } else {
                    self.fresh.push(delivery.number);
                    *self.pending.entry(delivery.event.clone()).or_default() += 1;
                    self.waiting.insert(delivery.number, delivery);
                }
            }
        }
    }

    /// Rebuilds what a state file leaves out. What was under way is to be made again.
    pub(crate) fn reindex(&mut self) {
        self.endpoints.reindex();
        self.pending.clear();
        for delivery in self.waiting.values_mut() {
            delivery.due_ms = None;
            *self.pending.entry(delivery.event.clone()).or_default() += 1;
        }
        self.fresh = self.waiting.keys().copied().collect();
        self.schedule.clear();
        self.in_flight.clear();
    }

    fn end(&mut self, delivery: Delivery, state: DeliveryState) {
        if let Some(count) = self.pending.get_mut(&delivery.event) {
            *count -= 1;
            if *count == 0 {
                self.pending.remove(&delivery.event);
            }
        }
        self.remember(delivery, state);
    }

    fn remember(&mut self, delivery: Delivery, state: DeliveryState) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(Delivery { state, ..delivery });
    }

    /// Takes what is due and may be sent now.
    pub(crate) fn take_due(&mut self, now_ms: i64) -> Vec<Delivery> {
        self.plan(now_ms);
        let most = if self.disorder.shuffle {
            MAX_AT_ONCE
        } else {
            1
        };
        let endpoints = self.endpoints.as_slice().len();
        let mut full: HashSet<&str> = HashSet::new();
        let mut taken = Vec::new();
        for (due_ms, number) in &self.schedule {
            if *due_ms > now_ms || full.len() >= endpoints {
                break;
            }
            let Some(delivery) = self.waiting.get(number) else {
                continue;
            };
            let busy = self.in_flight.entry(delivery.endpoint.clone()).or_default();
            if *busy < most {
                *busy += 1;
                taken.push(delivery.clone());
            } else {
                full.insert(&delivery.endpoint);
            }
        }
        for delivery in &taken {
            let due_ms = delivery.due_ms.unwrap_or_default();
            self.schedule.remove(&(due_ms, delivery.number));
        }
        taken
    }

    /// New deliveries get their time. What was planned on a clock that was set back is due.
    fn plan(&mut self, now_ms: i64) {
        if now_ms < self.last_now_ms {
            self.hurry(now_ms);
        }
        self.last_now_ms = now_ms;
        for number in std::mem::take(&mut self.fresh) {
            if let Some(delivery) = self.waiting.get_mut(&number) {
                let due_ms = now_ms + delivery.delay_ms;
                delivery.due_ms = Some(due_ms);
                self.schedule.insert((due_ms, number));
            }
        }
    }

    /// How long the worker may rest for what is not due yet. None if nothing waits.
    pub(crate) fn rest_ms(&self, now_ms: i64) -> Option<i64> {
        let mut later = self.schedule.range((now_ms + 1, 0)..);
        later.next().map(|(due_ms, _)| due_ms - now_ms)
    }

    /// Whether nothing is due and nothing under way.
    pub(crate) fn is_quiet(&mut self, now_ms: i64) -> bool {
        self.plan(now_ms);
        let due = self.schedule.first();
        self.in_flight.is_empty() && due.is_none_or(|(due_ms, _)| *due_ms > now_ms)
    }

    /// Makes everything that waits due now, delayed first attempts and retries alike.
    pub(crate) fn hurry(&mut self, now_ms: i64) {
        let planned = std::mem::take(&mut self.schedule);
        for (_, number) in planned {
            if let Some(delivery) = self.waiting.get_mut(&number) {
                delivery.due_ms = Some(now_ms);
                self.schedule.insert((now_ms, number));
            }
        }
        for number in &self.fresh {
            if let Some(delivery) = self.waiting.get_mut(number) {
                delivery.delay_ms = 0;
            }
        }
    }

    /// Ends the attempt of a delivery that was taken.
    fn land(&mut self, number: u64) -> Option<Delivery> {
        let delivery = self.waiting.remove(&number)?;
        if let Some(busy) = self.in_flight.get_mut(&delivery.endpoint) {
            *busy = busy.saturating_sub(1);
            if *busy == 0 {
                self.in_flight.remove(&delivery.endpoint);
            }
        }
        Some(delivery)
    }

    /// An attempt ended: with an answer, or with why there was none.
    pub(crate) fn attempted(&mut self, number: u64, outcome: Result<u16, String>, now_ms: i64) {
        let Some(mut delivery) = self.land(number) else {
            return;
        };
        delivery.attempts += 1;
        delivery.last_status = outcome.as_ref().ok().copied();
        delivery.last_error = outcome.as_ref().err().cloned();
        if outcome.is_ok_and(|status| (200..300).contains(&status)) {
            self.end(delivery, DeliveryState::Delivered);
            return;
        }
        match self.disorder.wait_ms(delivery.attempts) {
            None => self.end(delivery, DeliveryState::Failed),
            Some(wait_ms) => {
                let due_ms = now_ms + wait_ms;
                delivery.due_ms = Some(due_ms);
                self.schedule.insert((due_ms, number));
                self.waiting.insert(number, delivery);
            }
        }
    }

    /// Ends a delivery that can no longer be made: its endpoint or its event is gone.
    pub(crate) fn give_up(&mut self, number: u64) {
        if let Some(delivery) = self.land(number) {
            self.end(delivery, DeliveryState::Failed);
        }
    }

    pub(crate) fn pending_of(&self, event: &str) -> usize {
        self.pending.get(event).copied().unwrap_or_default()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn to_value(&self) -> Value {
        let deliveries: Vec<&Delivery> = self.ended.iter().chain(self.waiting.values()).collect();
        let endpoints = self.endpoints.as_slice().iter().filter(|it| !it.deleted);
        json!({
            "settings": self.disorder,
            "endpoints": endpoints.map(Endpoint::to_value).collect::<Vec<_>>(),
            "waiting": self.waiting.len(),
            "deliveries": deliveries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_for_three_days_and_end() {
        let disorder = Disorder::default();
        let waits: Vec<i64> = (1..).map_while(|it| disorder.wait_ms(it)).collect();
        assert!(waits.is_sorted() && waits.len() == WAITS_S.len());
        assert!(waits.iter().sum::<i64>() < 3 * 86_400_000);
        let quick = disorder.merged(&json!({ "retry_speedup": 1_000 })).unwrap();
        assert_eq!(quick.wait_ms(1), Some(300));
        for bad in [
            json!({ "duplicate": 2 }),
            json!({ "delay_ms": [5, 1] }),
            json!({ "retry_speedup": 0 }),
            json!({ "shuffel": true }),
        ] {
            assert!(disorder.merged(&bad).is_err(), "{bad}");
        }
    }
}
