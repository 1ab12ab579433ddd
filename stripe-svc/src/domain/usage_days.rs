//! Which days of a meter are asked for.

use chrono::{DateTime, NaiveTime, Utc};

/// Stripe's page of summaries holds a hundred: more is nobody's question.
const DAYS_MAX: i64 = 100;

/// A range of whole UTC days, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsageDays {
    pub(crate) start: DateTime<Utc>,
    /// After the last day.
    pub(crate) end: DateTime<Utc>,
}

impl UsageDays {
    /// `None` where one of the two is not a UTC day's first moment, or they are not 1 to
    /// [`DAYS_MAX`] days apart.
    pub(crate) fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        let are_midnights = [start, end].iter().all(|at| at.time() == NaiveTime::MIN);
        let is_fit = are_midnights && (1..=DAYS_MAX).contains(&(end - start).num_days());
        is_fit.then_some(Self { start, end })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn days_are_whole_and_at_most_a_hundred() {
        let start = DateTime::UNIX_EPOCH;
        let day = TimeDelta::days(1);
        for (end, good) in [
            (start, false),
            (start - day, false),
            (start + day, true),
            (start + day + TimeDelta::seconds(1), false),
            (start + day * 100, true),
            (start + day * 101, false),
        ] {
            assert_eq!(UsageDays::new(start, end).is_some(), good, "{end}");
        }
        let noon = start + TimeDelta::hours(12);
        assert_eq!(UsageDays::new(noon, noon + day), None);
    }
}
