//! Names that were looked up a moment ago.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use billing_kit::Clock;
use chrono::{DateTime, TimeDelta, Utc};

/// How long a look-up is believed.
const LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// How many are kept: the catalog has a handful of names.
const ENTRIES_MAX: usize = 100;

/// What Stripe last said each name stands for. That a name stands for nothing is never remembered:
/// whoever mends it should not have to wait.
#[derive(Debug)]
pub(crate) struct Remembered<T> {
    clock: Clock,
    entries: Mutex<BTreeMap<String, (DateTime<Utc>, T)>>,
}

impl<T: Clone> Remembered<T> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<T> {
        let now = self.clock.now();
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = entries.get(name)?;
        (now - *at < LIFETIME).then(|| value.clone())
    }

    pub(crate) fn put(&self, name: &str, value: T) {
        let now = self.clock.now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(name.to_owned(), (now, value));
    }

    pub(crate) fn forget(&self, name: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_believed_for_a_minute() {
        let (time, clock) = Clock::manual(DateTime::UNIX_EPOCH);
        let names = Remembered::new(clock);
        names.put("a", 1);
        time.send_modify(|now| *now += TimeDelta::seconds(59));
        assert_eq!((names.get("a"), names.get("b")), (Some(1), None));
        time.send_modify(|now| *now += TimeDelta::seconds(1));
        assert_eq!(names.get("a"), None);
        names.put("a", 2);
        names.forget("a");
        assert_eq!(names.get("a"), None);
    }
}
