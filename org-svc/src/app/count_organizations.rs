//! CountOrganizations: how many there are, pending and linked.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use billing_kit::Fault;
use chrono::TimeDelta;

use super::Organizations;
use crate::{domain::organization::Counts, store::organizations};

/// Up to so many organizations are counted with every call.
const COUNTED_EACH_TIME_MAX: i64 = 50_000;
/// Of more the numbers are given again for so long, and then once more while the next are counted.
const KEPT_FRESH: TimeDelta = TimeDelta::seconds(10);
/// Numbers that are older than this are given no more: the call waits for new ones.
const KEPT_MAX: TimeDelta = TimeDelta::minutes(5);

/// The last count of this process. To count a million rows takes a third of a second, which is too
/// long for every page of every admin; when it was is told with it.
#[derive(Debug, Default)]
pub(crate) struct KeptCounts {
    latest: Mutex<Option<Counts>>,
    is_counting: AtomicBool,
}

/// Counts all organizations.
pub(crate) async fn count_organizations(app: &Arc<Organizations>) -> Result<Counts, Fault> {
    let kept = &app.counts;
    let Some((counts, age)) = kept.get(app.clock.now()) else {
        return count(app).await;
    };
    if age > KEPT_FRESH && !kept.is_counting.swap(true, Ordering::AcqRel) {
        let app = Arc::clone(app);
        app.life.clone().spawn(async move {
            if let Err(fault) = count(&app).await {
                fault.log();
            }
            app.counts.is_counting.store(false, Ordering::Release);
        });
    }
    Ok(counts)
}

async fn count(app: &Organizations) -> Result<Counts, Fault> {
    let counts = organizations::count(&app.db, app.clock.now()).await?;
    app.counts.keep(&counts);
    Ok(counts)
}

impl KeptCounts {
    /// The last count and its age, where it is worth giving again.
    fn get(&self, now: chrono::DateTime<chrono::Utc>) -> Option<(Counts, TimeDelta)> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = latest.as_ref()?;
        let age = now - counts.counted_at;
        let is_kept = counts.total() > COUNTED_EACH_TIME_MAX && age < KEPT_MAX;
        is_kept.then(|| (counts.clone(), age))
    }

    fn keep(&self, counts: &Counts) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(counts.clone());
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::domain::organization::SubscriptionStatus;

    #[test]
    fn only_what_takes_long_to_count_is_kept_and_not_for_ever() {
        let at = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap();
        let counts = |linked| Counts {
            pending: 1,
            ignored: 0,
            linked: vec![(SubscriptionStatus::Active, linked)],
            collection_paused: 0,
            counted_at: at,
        };
        let kept = KeptCounts::default();
        assert_eq!(kept.get(at), None);
        kept.keep(&counts(COUNTED_EACH_TIME_MAX - 1));
        assert_eq!(kept.get(at), None);
        let many = counts(COUNTED_EACH_TIME_MAX);
        kept.keep(&many);
        assert_eq!(kept.get(at), Some((many.clone(), TimeDelta::zero())));
        assert!(kept.get(at + KEPT_FRESH).is_some());
        assert_eq!(kept.get(at + KEPT_MAX), None);
    }
}
