//! Many instances that report at once: the load generator.
//!
//! Day by day, as in life: every instance reports a day before any reports the next. Each worker has
//! one report under way, on a connection that is kept.
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::header::HeaderValue;
use tokio::task::JoinSet;

use crate::deterministic;
use crate::histogram::Histogram;
use crate::reporter::{Outcome, Reporter};

/// The most instances of a fleet.
pub const MAX_INSTANCES: u64 = 1_000_000;
/// The most days that a fleet reports.
pub const MAX_DAYS: u64 = 400;
/// The most reports under way at once.
pub const MAX_CONCURRENCY: u64 = 4_096;

/// What a fleet does.
#[derive(Debug, Clone)]
pub struct FleetPlan {
    /// How many instances.
    pub instances: u64,
    /// How many days each reports; the last is the latest whose 03:00 is over.
    pub days: u64,
    /// How many reports are under way at once.
    pub concurrency: u64,
    /// Says which fleet it is: ids and counts follow from it.
    pub seed: u64,
    /// Whether each instance names an address of its own in `X-Forwarded-For`.
    pub forwarded_for: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct FleetTotals {
    /// Reports that the service has.
    pub recorded: u64,
    /// Reports that it refused.
    pub refused: u64,
    /// Reports whose attempts were used up.
    pub gave_up: u64,
    /// Attempts beyond the first of a report.
    pub retries: u64,
    /// From a report's first attempt to the end of its answer, waits included.
    pub latency: Histogram,
    /// The first thing that went wrong.
    pub first_trouble: Option<String>,
    /// How long it all took.
    pub elapsed: Duration,
}

impl FleetTotals {
    fn merge(&mut self, other: Self) {
        let Self {
            recorded,
            refused,
            gave_up,
            retries,
            latency,
            first_trouble,
            elapsed: _,
        } = other;
        self.recorded += recorded;
        self.refused += refused;
        self.gave_up += gave_up;
        self.retries += retries;
        self.latency.merge(&latency);
        self.first_trouble = self.first_trouble.take().or(first_trouble);
    }

    /// Whether every report is recorded.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.refused == 0 && self.gave_up == 0
    }

    /// The lines that a person reads.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let Self {
            recorded,
            refused,
            gave_up,
            retries,
            latency,
            first_trouble,
            elapsed,
        } = self;
        let elapsed_ms = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = recorded.saturating_mul(1000) / elapsed_ms;
        let ms = |permille| milliseconds(latency.quantile(permille));
        let mut lines = vec![
            format!(
                "reports   {recorded} recorded, {refused} refused, {gave_up} given up, {retries} retries"
            ),
            format!(
                "rate      {rate} reports/s over {}.{:03} s",
                elapsed_ms / 1000,
                elapsed_ms % 1000
            ),
            format!(
                "latency   p50 {} ms, p90 {} ms, p99 {} ms, p99.9 {} ms, max {} ms",
                ms(500),
                ms(900),
                ms(990),
                ms(999),
                milliseconds(latency.max())
            ),
        ];
        lines.extend(
            first_trouble
                .iter()
                .map(|trouble| format!("trouble   {trouble}")),
        );
        lines
    }
}

fn milliseconds(latency: Duration) -> String {
    let us = latency.as_micros();
    format!("{}.{:01}", us / 1000, us % 1000 / 100)
}

/// Has the whole fleet report, and waits for the last answer.
pub async fn run(
    reporter: &Reporter,
    plan: &FleetPlan,
    now: DateTime<Utc>,
) -> anyhow::Result<FleetTotals> {
    for (what, value, most) in [
        ("instances", plan.instances, MAX_INSTANCES),
        ("days", plan.days, MAX_DAYS),
        ("concurrency", plan.concurrency, MAX_CONCURRENCY),
    ] {
        if !(1..=most).contains(&value) {
            bail!("--{what} must be 1 to {most}");
        }
    }
    let next = Arc::new(AtomicU64::new(0));
    let last_day = last_day(now);
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..plan.concurrency.min(plan.instances * plan.days) {
        workers.spawn(work(
            reporter.clone(),
            plan.clone(),
            last_day,
            Arc::clone(&next),
        ));
    }
    let mut totals = FleetTotals::default();
    while let Some(worker) = workers.join_next().await {
        totals.merge(worker.context("a worker died")??);
    }
    totals.elapsed = start.elapsed();
    Ok(totals)
}

/// 03:00 UTC of the latest day on which all of the fleet's timestamps are past.
fn last_day(now: DateTime<Utc>) -> DateTime<Utc> {
    let at = NaiveTime::from_hms_opt(3, 0, 0).unwrap_or(NaiveTime::MIN);
    let today = now.date_naive().and_time(at).and_utc();
    if today + TimeDelta::minutes(1) <= now {
        today
    } else {
        today - TimeDelta::days(1)
    }
}

async fn work(
    reporter: Reporter,
    plan: FleetPlan,
    last_day: DateTime<Utc>,
    next: Arc<AtomicU64>,
) -> anyhow::Result<FleetTotals> {
    let mut totals = FleetTotals::default();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= plan.instances * plan.days {
            return Ok(totals);
        }
        let (day, instance) = (index / plan.instances, index % plan.instances);
        let days_ago = i64::try_from(plan.days - 1 - day)?;
        let body = body(&plan, instance, last_day - TimeDelta::days(days_ago))?;
        let address = plan.forwarded_for.then(|| address(instance)).transpose()?;
        let start = Instant::now();
        let outcome = reporter.send(body, address).await;
        totals.latency.record(start.elapsed());
        match outcome {
            Outcome::Recorded {
                answer: _,
                attempts,
            } => {
                totals.recorded += 1;
                totals.retries += u64::from(attempts - 1);
            }
            Outcome::Refused { status, detail } => {
                totals.refused += 1;
                totals
                    .first_trouble
                    .get_or_insert_with(|| format!("HTTP {status}: {detail}"));
            }
            Outcome::GaveUp { attempts, last } => {
                totals.gave_up += 1;
                totals.retries += u64::from(attempts - 1);
                totals.first_trouble.get_or_insert(last);
            }
        }
    }
}

/// The report's JSON, written straight into the buffer that is sent: names and hosts of a fleet need
/// no escaping.
fn body(plan: &FleetPlan, instance: u64, day: DateTime<Utc>) -> anyhow::Result<Bytes> {
    let traits = deterministic::number(plan.seed ^ 0x5EED, instance);
    let at = day + TimeDelta::seconds(i64::try_from(traits % 60)?);
    let workday = u64::try_from(day.timestamp() / 86_400)?;
    // Between 3 and about 250 users, a few more or less from day to day.
    let users = 3 + (traits >> 8) % 240 + (traits >> 16).wrapping_add(workday) % 7;
    let mut body = Vec::with_capacity(256);
    write!(
        body,
        r#"{{"organization_id":"{}","organization_name":"Fleet {}-{instance}","instance_url":"fleet-{}-{instance}.vaultai.example","user_count":{users},"timestamp":"{}"}}"#,
        deterministic::organization_id(plan.seed, instance),
        plan.seed,
        plan.seed,
        at.format("%Y-%m-%dT%H:%M:%SZ"),
    )?;
    Ok(Bytes::from(body))
}

/// An address of 10.0.0.0/8 for each instance of the greatest fleet.
pub(crate) fn address(instance: u64) -> anyhow::Result<HeaderValue> {
    let (a, b, c) = (instance >> 16 & 0xFF, instance >> 8 & 0xFF, instance & 0xFF);
    HeaderValue::try_from(format!("10.{a}.{b}.{c}")).context("an address is a header value")
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn a_fleets_reports_are_the_same_on_every_run() {
        let plan = FleetPlan {
            instances: 9,
            days: 2,
            concurrency: 3,
            seed: 7,
            forwarded_for: false,
        };
        let day = Utc.with_ymd_and_hms(2026, 10, 1, 3, 0, 0).unwrap();
        let report = body(&plan, 4, day).unwrap();
        assert_eq!(report, body(&plan, 4, day).unwrap());
        assert_ne!(report, body(&plan, 5, day).unwrap());
        let json: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let fields: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields.len(), 5, "{fields:?}");
        assert_eq!(json["organization_name"], "Fleet 7-4");
        assert!(
            json["timestamp"]
                .as_str()
                .unwrap()
                .starts_with("2026-10-01T03:00:")
        );
        assert!((3..260).contains(&json["user_count"].as_u64().unwrap()));
    }

    #[test]
    fn no_report_of_a_fleet_is_from_the_future() {
        let at = |d, h, m| Utc.with_ymd_and_hms(2026, 10, d, h, m, 0).unwrap();
        assert_eq!(last_day(at(2, 3, 0)), at(1, 3, 0));
        assert_eq!(last_day(at(2, 3, 1)), at(2, 3, 0));
    }
}
