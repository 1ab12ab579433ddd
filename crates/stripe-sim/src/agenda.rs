//! What is due to happen by itself, and when, on each timeline.
//!
//! A timeline is the simulator's own clock or one test clock. The agenda is an index: what is due is
//! decided by the objects, and everything here can be computed from them again.

use std::collections::{BTreeMap, BTreeSet};

/// None is the simulator's own clock; else the id of a test clock.
pub(crate) type Timeline = Option<String>;

/// What is due, in the order in which things of one moment happen: an object by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Invoice(usize),
    Subscription(usize),
    /// The next report of bad meter events.
    MeterErrors,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Agenda {
    by_timeline: BTreeMap<Timeline, BTreeSet<(i64, Task)>>,
}

impl Agenda {
    pub(crate) fn clear(&mut self) {
        self.by_timeline.clear();
    }

    /// Follows a change of when something is next due.
    pub(crate) fn moved(
        &mut self,
        timeline: &Timeline,
        task: Task,
        before: Option<i64>,
        after: Option<i64>,
    ) {
        if before == after {
            return;
        }
        let due = self.by_timeline.entry(timeline.clone()).or_default();
        if let Some(at) = before {
            due.remove(&(at, task));
        }
        due.extend(after.map(|at| (at, task)));
    }

    /// The first thing that is due on a timeline by `until`: when, and what.
    pub(crate) fn first_due(&self, timeline: &Timeline, until: i64) -> Option<(i64, Task)> {
        let first = self.by_timeline.get(timeline)?.first().copied();
        first.filter(|(at, _)| *at <= until)
    }
}
