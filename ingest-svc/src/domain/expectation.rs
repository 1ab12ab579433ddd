//! Whether an instance reports as it should: it does once a day.
//!
//! Nothing is stored of it. Silence is what the clock says of the last report, so no worker has to run
//! for it to be true.

use chrono::{DateTime, TimeDelta, Utc};

/// How an instance that is expected to report does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportingState {
    OnTime,
    Late,
    Silent,
}

/// When an instance is late, and when it is silent: after so long without a report, or since its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A day and a grace.
    pub late_after: TimeDelta,
    /// Longer than that.
    pub silent_after: TimeDelta,
}

/// A state as times of the last report, or of the link where there was none since: from `from`,
/// where there is one, and before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Patience {
    /// The state of an instance whose last report, or link, was at this time.
    pub(crate) fn state(self, since: DateTime<Utc>, now: DateTime<Utc>) -> ReportingState {
        if since < now - self.silent_after {
            ReportingState::Silent
        } else if since < now - self.late_after {
            ReportingState::Late
        } else {
            ReportingState::OnTime
        }
    }

    /// The times of a state.
    pub(crate) fn span(self, state: ReportingState, now: DateTime<Utc>) -> Span {
        let (late, silent) = (now - self.late_after, now - self.silent_after);
        let (from, until) = match state {
            ReportingState::OnTime => (Some(late), None),
            ReportingState::Late => (Some(silent), Some(late)),
            ReportingState::Silent => (None, Some(silent)),
        };
        Span { from, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_with_its_grace_is_late_and_two_are_silence() {
        let patience = Patience {
            late_after: TimeDelta::hours(27),
            silent_after: TimeDelta::hours(51),
        };
        let now: DateTime<Utc> = "2026-03-31T12:00:00Z".parse().unwrap();
        let second = TimeDelta::seconds(1);
        for (ago, expected) in [
            (-TimeDelta::minutes(5), ReportingState::OnTime),
            (TimeDelta::zero(), ReportingState::OnTime),
            (TimeDelta::hours(27), ReportingState::OnTime),
            (TimeDelta::hours(27) + second, ReportingState::Late),
            (TimeDelta::hours(51), ReportingState::Late),
            (TimeDelta::hours(51) + second, ReportingState::Silent),
            (TimeDelta::days(400), ReportingState::Silent),
        ] {
            let since = now - ago;
            assert_eq!(patience.state(since, now), expected, "{ago}");
            for state in [
                ReportingState::OnTime,
                ReportingState::Late,
                ReportingState::Silent,
            ] {
                let Span { from, until } = patience.span(state, now);
                let is_in = from.is_none_or(|from| from <= since)
                    && until.is_none_or(|until| since < until);
                assert_eq!(is_in, state == expected, "{ago} {state:?}");
            }
        }
    }
}
