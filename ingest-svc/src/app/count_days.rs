//! Counts users in all, by UTC day: again for each day of which reports came.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use billing_kit::Fault;
use billing_kit_db::{StoreError, db_fault};
use chrono::{DateTime, Days, NaiveDate, Utc};
use sea_orm::TransactionTrait;

use crate::{Parts, domain::delivery::AGE_MAX, store::summary};

/// How many days are counted, today included.
pub(crate) const DAYS_MAX: u64 = 30;

/// The days of which reports came since they were counted. They are this process's own: whoever
/// records a report counts its day, and whoever starts counts all.
#[derive(Debug, Default)]
pub(crate) struct TouchedDays(Mutex<BTreeSet<NaiveDate>>);

impl TouchedDays {
    /// Takes note of reports of these times.
    pub(crate) fn note(&self, times: impl Iterator<Item = DateTime<Utc>>, now: DateTime<Utc>) {
        let first = first_day(now);
        let days = times
            .map(|time| time.date_naive())
            .filter(|day| *day >= first);
        self.days().extend(days);
    }

    /// Takes note of all days.
    pub(crate) fn note_all(&self, now: DateTime<Utc>) {
        let days = first_day(now).iter_days();
        let days = days.take_while(|day| *day <= now.date_naive());
        self.days().extend(days);
    }

    /// The latest of them, which is noted no more.
    fn take(&self) -> Option<NaiveDate> {
        self.days().pop_last()
    }

    fn days(&self) -> MutexGuard<'_, BTreeSet<NaiveDate>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_day(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive() - Days::new(DAYS_MAX - 1)
}

/// Counts one day that was touched, the latest first. Answers how many were counted; 0 when there is
/// nothing to do.
pub(crate) async fn count_days(parts: &Parts) -> Result<usize, Fault> {
    let Some(day) = parts.touched_days.take() else {
        return Ok(0);
    };
    match count(parts, day).await {
        Ok(()) => Ok(1),
        Err(error) => {
            parts.touched_days.days().insert(day);
            Err(db_fault(error))
        }
    }
}

async fn count(parts: &Parts, day: NaiveDate) -> Result<(), StoreError> {
    let now = parts.deps.clock.now();
    let txn = parts.db.begin().await?;
    summary::count_day(&txn, day, now - AGE_MAX, now).await?;
    txn.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thirty_days_are_counted_the_latest_first() {
        let now: DateTime<Utc> = "2026-03-31T00:00:00Z".parse().unwrap();
        let touched = TouchedDays::default();
        let days_ago = |days| now - Days::new(days);
        touched.note([29, 30, 0, 0].map(days_ago).into_iter(), now);
        let taken: Vec<_> = std::iter::from_fn(|| touched.take()).collect();
        assert_eq!(taken, [0, 29].map(|days| days_ago(days).date_naive()));
        touched.note_all(now);
        assert_eq!(std::iter::from_fn(|| touched.take()).count(), 30);
    }
}
