//! How long a session lasts, and when it is extended. Better Auth's rules with its default settings,
//! so that a session means the same to both.

use chrono::{DateTime, TimeDelta, Utc};

const LIFETIME: TimeDelta = TimeDelta::days(7);
const LIFETIME_SHORT: TimeDelta = TimeDelta::days(1);
/// A session is extended once it is this old.
const UPDATE_AGE: TimeDelta = TimeDelta::days(1);

/// The end of a session that begins now: in seven days, or in one if it shall not be remembered.
pub(crate) fn end_of_new(now: DateTime<Utc>, remember: bool) -> DateTime<Utc> {
    now + if remember { LIFETIME } else { LIFETIME_SHORT }
}

/// What becomes of a session that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has ended: its row goes.
    Expired,
    /// It is good as it is.
    Good,
    /// It is good, and its end moves here.
    Extended(DateTime<Utc>),
}

/// Looks at a session that ends at `expires_at`.
pub(crate) fn fate(expires_at: DateTime<Utc>, now: DateTime<Utc>, refresh: bool) -> Fate {
    if expires_at < now {
        Fate::Expired
    } else if refresh && expires_at - LIFETIME + UPDATE_AGE <= now {
        Fate::Extended(now + LIFETIME)
    } else {
        Fate::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_extended_when_six_days_or_less_are_left() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let moved = Fate::Extended(now + TimeDelta::days(7));
        let millisecond = TimeDelta::milliseconds(1);
        for (left, refresh, expected) in [
            (TimeDelta::days(7), true, Fate::Good),
            (TimeDelta::days(6) + millisecond, true, Fate::Good),
            (TimeDelta::days(6), true, moved),
            (TimeDelta::days(6), false, Fate::Good),
            // A session of one day is extended to seven: its keeper says so with `disable_refresh`.
            (TimeDelta::days(1), true, moved),
            (TimeDelta::zero(), true, moved),
            (TimeDelta::zero(), false, Fate::Good),
            (-millisecond, true, Fate::Expired),
            (-millisecond, false, Fate::Expired),
        ] {
            assert_eq!(fate(now + left, now, refresh), expected, "{left}");
        }
    }
}
