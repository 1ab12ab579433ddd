//! When an attempt of unknown outcome is made again.

use std::{ops::RangeInclusive, time::Duration};

const DELAY_FIRST_MS: u64 = 1_000;
/// Short: an admin waits for a link, and there are never many at once.
const DELAY_MAX: Duration = Duration::from_secs(8);

/// The delays, in milliseconds, from which the next one is drawn at random after this many attempts:
/// they double up to eight seconds, and are spread so that not everything comes back at once.
pub(crate) fn delay_range_ms(attempt_count: u32) -> RangeInclusive<u64> {
    let cap = u64::try_from(DELAY_MAX.as_millis()).unwrap_or(u64::MAX);
    let doubled = 1_u64
        .checked_shl(attempt_count.saturating_sub(1))
        .map_or(cap, |factor| DELAY_FIRST_MS.saturating_mul(factor));
    let longest = doubled.min(cap);
    (longest / 2)..=longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        for (attempts, range) in [
            (0, 500..=1_000),
            (1, 500..=1_000),
            (2, 1_000..=2_000),
            (4, 4_000..=8_000),
            (5, 4_000..=8_000),
            (64, 4_000..=8_000),
            (u32::MAX, 4_000..=8_000),
        ] {
            assert_eq!(delay_range_ms(attempts), range, "{attempts}");
        }
    }
}
