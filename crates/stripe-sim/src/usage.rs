//! Recorded usage, and what a meter makes of it.
//!
//! Architecture invariant: events are only ever added. Which of them count is computed, so that a
//! summary and, later, an invoice cannot disagree.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::customers::Customer;
use crate::meters::{Formula, Meter};
use crate::store::Store;

/// One accepted meter event. Its place among all events is the order of receipt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeterEvent {
    pub(crate) identifier: String,
    pub(crate) meter: String,
    pub(crate) customer: String,
    pub(crate) value: Decimal,
    /// When the usage happened, and when it was received. Unix seconds.
    pub(crate) timestamp: i64,
    pub(crate) received_at: i64,
    pub(crate) cancelled: bool,
}

/// A meter's and a customer's places in their stores: who used what.
type Series = (usize, usize);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Usage {
    events: Vec<MeterEvent>,
    #[serde(skip)]
    by_series: HashMap<Series, Vec<usize>>,
    #[serde(skip)]
    by_identifier: HashMap<String, usize>,
}

impl Usage {
    pub(crate) fn reindex(&mut self, meters: &Store<Meter>, customers: &Store<Customer>) {
        self.by_series.clear();
        self.by_identifier.clear();
        for (position, event) in self.events.iter().enumerate() {
            self.by_identifier
                .insert(event.identifier.clone(), position);
            let meter = meters.position(&event.meter);
            if let (Some(meter), Some(customer)) = (meter, customers.position(&event.customer)) {
                self.by_series
                    .entry((meter, customer))
                    .or_default()
                    .push(position);
            }
        }
    }

    pub(crate) fn record(&mut self, series: Series, event: MeterEvent) {
        let position = self.events.len();
        self.by_series.entry(series).or_default().push(position);
        self.by_identifier
            .insert(event.identifier.clone(), position);
        self.events.push(event);
    }

    pub(crate) fn events(&self) -> &[MeterEvent] {
        &self.events
    }

    /// The event received last under this identifier.
    pub(crate) fn identified(&self, identifier: &str) -> Option<&MeterEvent> {
        self.events.get(*self.by_identifier.get(identifier)?)
    }

    pub(crate) fn identified_mut(&mut self, identifier: &str) -> Option<&mut MeterEvent> {
        self.events.get_mut(*self.by_identifier.get(identifier)?)
    }

    /// The events that count, with their order of receipt: all that were not cancelled or, for a
    /// meter with a window, of each UTC window the one received last.
    fn counted(&self, meter: &Meter, series: Series, as_of: i64) -> Vec<(usize, &MeterEvent)> {
        let positions = self
            .by_series
            .get(&series)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let events = positions.iter().filter_map(|position| {
            let event = self.events.get(*position)?;
            (!event.cancelled && event.received_at <= as_of).then_some((*position, event))
        });
        let Some(window) = meter.event_time_window else {
            return events.collect();
        };
        let mut last: BTreeMap<i64, (usize, &MeterEvent)> = BTreeMap::new();
        for (position, event) in events {
            last.insert(
                event.timestamp.div_euclid(window.seconds()),
                (position, event),
            );
        }
        last.into_values().collect()
    }

    /// What the meter shows for the times of a range. None if nothing was used.
    ///
    /// Only what was received by `as_of` is known.
    ///
    /// A window belongs to the range that holds the timestamp of its counted event. `last` is the
    /// event with the greatest timestamp, of equal ones the one received last.
    pub(crate) fn aggregate(
        &self,
        meter: &Meter,
        series: Series,
        range: Range<i64>,
        as_of: i64,
    ) -> Option<Decimal> {
        let whole = i64::MAX;
        self.aggregate_by(meter, series, range, whole, as_of)
            .into_values()
            .next()
    }

    /// The same, for each piece of `grouping_s` seconds that has usage, keyed by its start.
    pub(crate) fn aggregate_by(
        &self,
        meter: &Meter,
        series: Series,
        range: Range<i64>,
        grouping_s: i64,
        as_of: i64,
    ) -> BTreeMap<i64, Decimal> {
        let mut groups: BTreeMap<i64, Vec<(usize, &MeterEvent)>> = BTreeMap::new();
        for (position, event) in self.counted(meter, series, as_of) {
            if range.contains(&event.timestamp) {
                let group = (event.timestamp - range.start) / grouping_s;
                let start = range.start + group * grouping_s;
                groups.entry(start).or_default().push((position, event));
            }
        }
        groups
            .into_iter()
            .map(|(start, events)| (start, formula(meter.formula, &events)))
            .collect()
    }
}

fn formula(formula: Formula, events: &[(usize, &MeterEvent)]) -> Decimal {
    match formula {
        Formula::Sum => events.iter().map(|(_, event)| event.value).sum(),
        Formula::Count => Decimal::from(events.len()),
        Formula::Last => events
            .iter()
            .max_by_key(|(position, event)| (event.timestamp, *position))
            .map(|(_, event)| event.value)
            .unwrap_or_default(),
    }
}
