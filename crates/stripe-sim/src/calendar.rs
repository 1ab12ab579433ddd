//! Billing periods: calendar arithmetic on an anchor, in UTC.

use chrono::{DateTime, Months};

use crate::choice::choices;

choices! {
    /// How often a recurring price bills.
    Interval { Day = "day", Week = "week", Month = "month", Year = "year" }
}

pub(crate) const DAY_S: i64 = 86_400;

/// The time `count` intervals after `anchor`. Months keep the anchor's day where the month has it.
fn after(anchor: i64, interval: Interval, count: i64) -> i64 {
    let months = |months: i64| {
        let months = u32::try_from(months).unwrap_or(u32::MAX);
        DateTime::from_timestamp(anchor, 0)
            .and_then(|time| time.checked_add_months(Months::new(months)))
            .map_or(i64::MAX, |time| time.timestamp())
    };
    match interval {
        Interval::Day => anchor.saturating_add(count.saturating_mul(DAY_S)),
        Interval::Week => anchor.saturating_add(count.saturating_mul(7 * DAY_S)),
        Interval::Month => months(count),
        Interval::Year => months(count.saturating_mul(12)),
    }
}

/// The first period boundary after `time` on the grid that `anchor` lays.
pub(crate) fn next_boundary(anchor: i64, interval: Interval, every: i64, time: i64) -> i64 {
    if anchor > time {
        return anchor;
    }
    // Counting from below keeps the anchor's day of the month: Jan 31, Feb 28, Mar 31.
    let shortest_s = match interval {
        Interval::Day => DAY_S,
        Interval::Week => 7 * DAY_S,
        Interval::Month => 31 * DAY_S,
        Interval::Year => 366 * DAY_S,
    };
    let step = every.max(1);
    let mut count = (time - anchor) / (shortest_s * step) * step;
    loop {
        let boundary = after(anchor, interval, count);
        if boundary > time {
            return boundary;
        }
        count += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn months_keep_the_day_of_the_anchor() {
        let anchor = unix("2026-01-31T12:00:00Z");
        let february = next_boundary(anchor, Interval::Month, 1, anchor);
        assert_eq!(february, unix("2026-02-28T12:00:00Z"));
        let march = next_boundary(anchor, Interval::Month, 1, february);
        assert_eq!(march, unix("2026-03-31T12:00:00Z"));
        let far = next_boundary(anchor, Interval::Month, 1, unix("2031-05-31T12:00:00Z"));
        assert_eq!(far, unix("2031-06-30T12:00:00Z"));
    }

    #[test]
    fn an_anchor_ahead_is_the_first_boundary() {
        assert_eq!(next_boundary(100, Interval::Day, 1, 50), 100);
        assert_eq!(next_boundary(100, Interval::Week, 2, 100), 100 + 14 * DAY_S);
    }
}
