//! A token bucket: an even pace, with a little saved up while nothing was taken.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// How many tokens a full bucket holds, in shares of a second's.
const BURST_DIVISOR: u32 = 10;

/// A bucket whose tokens come at an even pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    /// Between two tokens.
    interval: Duration,
    /// How long an empty bucket takes to be full.
    burst: Duration,
    /// When it was empty, or will be: a token is there an interval later.
    empty_at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        let burst = interval * (per_second.get() / BURST_DIVISOR).max(1);
        Self {
            interval,
            burst,
            empty_at: now.checked_sub(burst).unwrap_or(now),
        }
    }

    /// When the next token is there.
    pub(crate) fn ready_at(&self) -> Instant {
        self.empty_at + self.interval
    }

    /// Takes the next token, which is there by now.
    pub(crate) fn take(&mut self, now: Instant) {
        let fullest = now.checked_sub(self.burst).unwrap_or(self.empty_at);
        self.empty_at = self.empty_at.max(fullest) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes tokens as soon as they are there; says how long that took.
    fn drain(bucket: &mut TokenBucket, tokens: u32, start: Instant) -> Duration {
        let mut now = start;
        for _ in 0..tokens {
            now = now.max(bucket.ready_at());
            bucket.take(now);
        }
        now - start
    }

    #[test]
    fn a_backlog_goes_out_at_the_pace() {
        for (per_second, tokens, expected_ms) in [
            // A tenth of a second's is saved up, and at least one.
            (1_000, 100, 0),
            (1_000, 5_100, 5_000),
            (100, 510, 5_000),
            (25, 27, 1_000),
            (1, 1, 0),
            (1, 3, 2_000),
        ] {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(NonZeroU32::new(per_second).unwrap(), start);
            let took = drain(&mut bucket, tokens, start);
            assert_eq!(took, Duration::from_millis(expected_ms), "{per_second}");
        }
    }

    #[test]
    fn no_more_is_saved_up_than_a_full_bucket_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(NonZeroU32::new(100).unwrap(), start);
        assert_eq!(drain(&mut bucket, 10, start), Duration::ZERO);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(drain(&mut bucket, 110, later), Duration::from_secs(1));
        // A timer that is late is made up for, within what is saved up.
        let late = later + Duration::from_millis(1_050);
        assert_eq!(drain(&mut bucket, 5, late), Duration::ZERO);
    }
}
