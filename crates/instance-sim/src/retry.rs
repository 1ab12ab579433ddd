//! When to send a report again. Pure: the caller brings the roll of the dice and does the waiting.
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How often, and how long in between.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// The upper bound of the first wait; it doubles with each attempt.
    pub base: Duration,
    /// The upper bound of every wait of our own choice.
    pub cap: Duration,
    /// The longest `Retry-After` that is waited for; a longer one ends the attempts.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    /// Eight attempts over about two minutes.
    fn default() -> Self {
        Self {
            max_attempts: 8,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(60),
            max_retry_after: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after this many attempts; `None` when it was the last. `roll` is a random
    /// number.
    ///
    /// Without a `Retry-After` the wait is somewhere in the upper half of the exponential bound, so
    /// that instances that failed together do not come back together. With one it is never
    /// earlier, for the same reason a little later.
    #[must_use]
    pub fn wait(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        roll: u64,
    ) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(20);
        let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
        let half = bound / 2;
        let half_us = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(roll % half_us.saturating_add(1));
        match retry_after {
            Some(asked) if asked > self.max_retry_after => None,
            Some(asked) => Some(asked + jitter),
            None => Some(half + jitter),
        }
    }
}

/// Reads a `Retry-After`: seconds, or a date.
#[must_use]
pub fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?;
    Some(
        (at.with_timezone(&Utc) - now)
            .to_std()
            .unwrap_or(Duration::ZERO),
    )
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn waits_grow_are_spread_and_end() {
        let policy = RetryPolicy {
            max_attempts: 4,
            ..RetryPolicy::default()
        };
        for (attempts, low, high) in [(1, 250, 500), (2, 500, 1000), (3, 1000, 2000)] {
            for roll in [0, 77_777, u64::MAX] {
                let wait = policy.wait(attempts, None, roll).unwrap().as_millis();
                assert!((low..=high).contains(&wait), "{attempts}: {wait} ms");
            }
        }
        assert_eq!(policy.wait(4, None, 0), None);
        let patient = RetryPolicy {
            max_attempts: 100,
            ..policy
        };
        assert!(patient.wait(60, None, u64::MAX).unwrap() <= patient.cap);
    }

    #[test]
    fn a_retry_after_is_never_undercut() {
        let policy = RetryPolicy::default();
        for roll in [0, 1, u64::MAX] {
            let wait = policy.wait(1, Some(Duration::from_secs(7)), roll).unwrap();
            assert!(
                wait >= Duration::from_secs(7) && wait < Duration::from_secs(8),
                "{wait:?}"
            );
        }
        assert_eq!(policy.wait(1, Some(Duration::from_secs(301)), 0), None);
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let now = Utc.with_ymd_and_hms(2024, 11, 3, 3, 0, 0).unwrap();
        let seconds = |text| parse_retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("12"), Some(12));
        assert_eq!(seconds("Sun, 03 Nov 2024 03:00:30 GMT"), Some(30));
        assert_eq!(seconds("Sun, 03 Nov 2024 02:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
