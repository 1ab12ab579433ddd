//! What the next report of a linked organization is compared with: the median of the UTC days before
//! it, or the count that an admin confirmed.
//!
//! A day counts with its last report that counts. Only a report that came within a day of its own
//! moment makes its day count. So a batch of old reports cannot raise the baseline for the rest of the
//! batch, and days that were sent again later do not change what a person has seen.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::report::Report;

/// The baseline is the median of so many counted days.
pub(crate) const DAYS: usize = 7;
/// So many days are kept: the seven before the latest one, and that.
pub(crate) const DAYS_KEPT: usize = DAYS + 1;
/// After a link the count that the admin saw rules until so many days have counted.
pub(crate) const LINK_DAYS: i16 = 3;
/// After a release the released count rules until so many later days have counted.
pub(crate) const RELEASE_DAYS: i16 = 7;
/// A report makes its day count if it came within this time of its own moment.
pub(crate) const TIMELY: TimeDelta = TimeDelta::hours(24);

/// The last report that counts of one UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountedDay {
    /// Number of users (seats).
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
}

impl CountedDay {
    fn day(self) -> NaiveDate {
        self.reported_at.date_naive()
    }
}

/// A count that an admin confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// Number of users (seats).
    pub(crate) user_count: i32,
    /// The start of the subscription, or the time of the released report.
    pub(crate) at: DateTime<Utc>,
    /// It rules until so many days have counted: [`LINK_DAYS`] from its own day on, or
    /// [`RELEASE_DAYS`] after it.
    pub(crate) days: i16,
}

impl Anchor {
    /// Whether it rules on this day.
    fn rules(self, day: NaiveDate, counted: &[CountedDay]) -> bool {
        let first = self.at.date_naive();
        let since_link = self.days == LINK_DAYS;
        let counts = |it: &&CountedDay| {
            it.day() < day && (it.day() > first || since_link && it.day() == first)
        };
        // Of a day older than all that are kept it is not known how many counted before.
        let is_forgotten = counted.len() == DAYS_KEPT && counted.iter().all(|it| it.day() > day);
        let counted = counted.iter().filter(counts).count();
        day >= first
            && !is_forgotten
            && i16::try_from(counted).is_ok_and(|counted| counted < self.days)
    }
}

/// What reports of an organization are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// The count of the latest report that counts.
    pub(crate) user_count: i32,
    /// Its time.
    pub(crate) reported_at: DateTime<Utc>,
    /// Where reports are expected from; none for one of an older database.
    pub(crate) instance_url: Option<String>,
    /// The last days that counted, the earliest first, at most [`DAYS_KEPT`].
    pub(crate) days: Vec<CountedDay>,
    pub(crate) anchor: Option<Anchor>,
    /// Since when its counts are low.
    pub(crate) low_since: Option<DateTime<Utc>>,
}

impl Baseline {
    /// What is compared with after the first report.
    pub(crate) fn first(report: &Report) -> Self {
        Self {
            user_count: report.content.user_count,
            reported_at: report.reported_at,
            instance_url: Some(report.content.instance_url.clone()),
            days: Vec::new(),
            anchor: None,
            low_since: None,
        }
    }

    /// The count that a report of this moment is compared with.
    pub(crate) fn user_count_for(&self, moment: DateTime<Utc>) -> i32 {
        let day = moment.date_naive();
        if let Some(anchor) = self.anchor.filter(|it| it.rules(day, &self.days)) {
            return anchor.user_count;
        }
        let before: Vec<_> = self.days.iter().filter(|it| it.day() < day).collect();
        let last = before.iter().rev().take(DAYS).map(|it| it.user_count);
        // Of a day older than all that are kept: the days after it say most.
        let after = self.days.iter().filter(|it| it.day() > day).take(DAYS);
        median(last.collect())
            .or_else(|| median(after.map(|it| it.user_count).collect()))
            .unwrap_or_else(|| self.anchor.map_or(self.user_count, |it| it.user_count))
    }

    /// Takes note of a report that counts. `makes_day` says whether its day counts by it.
    pub(crate) fn note(&mut self, report: &Report, makes_day: bool) {
        let counted = CountedDay {
            user_count: report.content.user_count,
            reported_at: report.reported_at,
        };
        if report.reported_at > self.reported_at {
            self.user_count = counted.user_count;
            self.reported_at = counted.reported_at;
            self.instance_url = Some(report.content.instance_url.clone());
        }
        if !makes_day {
            return;
        }
        match self.days.iter_mut().find(|it| it.day() == counted.day()) {
            Some(known) if counted.reported_at >= known.reported_at => *known = counted,
            Some(_) => {}
            None => {
                self.days.push(counted);
                self.days.sort_by_key(|it| it.reported_at);
                let surplus = self.days.len().saturating_sub(DAYS_KEPT);
                self.days.drain(..surplus);
            }
        }
    }
}

/// Whether a report that came then makes its day count.
pub(crate) fn is_timely(reported_at: DateTime<Utc>, received_at: DateTime<Utc>) -> bool {
    received_at - reported_at <= TIMELY
}

/// The middle one; of an even number the lower of the two in the middle, so that half of the days can
/// not raise it.
fn median(mut counts: Vec<i32>) -> Option<i32> {
    counts.sort_unstable();
    counts.get(counts.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::report::Content;

    fn at(day: i64, hour: i64) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        start + TimeDelta::days(day) + TimeDelta::hours(hour)
    }

    fn report(user_count: i32, reported_at: DateTime<Utc>) -> Report {
        Report {
            organization_id: Uuid::nil(),
            content: Content {
                organization_name: "Acme".to_owned(),
                instance_url: "acme.example".to_owned(),
                user_count,
            },
            reported_at,
            source: None,
            signature: None,
        }
    }

    /// Linked on day 0 at 45 users.
    fn linked() -> Baseline {
        Baseline {
            anchor: Some(Anchor {
                user_count: 45,
                at: at(0, 0),
                days: LINK_DAYS,
            }),
            ..Baseline::first(&report(45, at(-1, 3)))
        }
    }

    fn count(baseline: &mut Baseline, day: i64, user_count: i32) {
        baseline.note(&report(user_count, at(day, 3)), true);
    }

    #[test]
    fn the_count_at_the_link_rules_until_three_days_have_counted_and_then_the_median() {
        let mut baseline = linked();
        for (day, user_count, expected) in [
            (0, 60, 45),
            (1, 61, 45),
            (2, 62, 45),
            (3, 63, 61),
            (4, 64, 61),
            (5, 65, 62),
            (6, 66, 62),
            (7, 67, 63),
            (8, 68, 64),
        ] {
            assert_eq!(baseline.user_count_for(at(day, 3)), expected, "day {day}");
            count(&mut baseline, day, user_count);
        }
        assert_eq!(baseline.days.len(), DAYS_KEPT);
    }

    /// Several reports of one day do not lift what the next of that day is compared with.
    #[test]
    fn a_day_is_compared_with_the_days_before_it_and_counts_with_its_last_report() {
        let mut baseline = linked();
        for day in 0..7 {
            count(&mut baseline, day, 45);
        }
        for hour in 0..24 {
            assert_eq!(baseline.user_count_for(at(7, hour)), 45);
            baseline.note(&report(90, at(7, hour)), true);
        }
        baseline.note(&report(50, at(7, 1)), true);
        assert_eq!(baseline.days.last().unwrap().user_count, 90);
        // Midnight begins the next day; one day of seven does not move the median.
        assert_eq!(baseline.user_count_for(at(8, 0)), 45);
    }

    /// 45, then 80, then 150: each step is held against the days that counted, not against the last
    /// report, so three steps within a few days are not accepted, and over weeks they are.
    #[test]
    fn growth_over_weeks_moves_it_and_a_few_days_do_not() {
        let mut baseline = linked();
        for day in 0..10 {
            count(&mut baseline, day, 45);
        }
        for day in 10..13 {
            count(&mut baseline, day, 80);
        }
        assert_eq!(baseline.user_count_for(at(13, 3)), 45);
        count(&mut baseline, 13, 80);
        assert_eq!(baseline.user_count_for(at(14, 3)), 80);
    }

    /// A month of reports in one batch: none of them came within a day of its moment, so each is
    /// compared with what was known before the batch.
    #[test]
    fn a_batch_of_old_days_cannot_raise_what_it_is_compared_with() {
        let mut baseline = linked();
        for day in 0..8 {
            count(&mut baseline, day, 45);
        }
        let now = at(40, 0);
        for day in 8..40 {
            let old = report(90, at(day, 3));
            assert_eq!(baseline.user_count_for(old.reported_at), 45, "day {day}");
            baseline.note(&old, is_timely(old.reported_at, now));
        }
        assert_eq!(baseline.user_count, 90, "the latest report is shown");
        assert!(is_timely(at(39, 3), now) && !is_timely(at(38, 23), now));
    }

    #[test]
    fn a_released_count_rules_until_seven_later_days_have_counted() {
        let mut baseline = linked();
        for day in 0..8 {
            count(&mut baseline, day, 45);
        }
        baseline.anchor = Some(Anchor {
            user_count: 400,
            at: at(8, 3),
            days: RELEASE_DAYS,
        });
        // A day from before it is compared with the days before that.
        assert_eq!(baseline.user_count_for(at(7, 5)), 45);
        for day in 8..16 {
            assert_eq!(baseline.user_count_for(at(day, 3)), 400, "day {day}");
            count(&mut baseline, day, 300);
        }
        assert_eq!(baseline.user_count_for(at(16, 3)), 300);
    }

    #[test]
    fn a_day_older_than_all_is_compared_with_those_after_it() {
        let mut baseline = linked();
        for day in 10..20 {
            count(&mut baseline, day, 200);
        }
        assert_eq!(baseline.user_count_for(at(5, 3)), 200);
    }

    #[test]
    fn of_an_even_number_the_lower_one_is_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![9]), Some(9));
        assert_eq!(median(vec![9, 1]), Some(1));
        assert_eq!(median(vec![9, 1, 5, 7]), Some(5));
    }
}
