//! Latencies in fixed memory, however many there are: each power of two of microseconds is cut into
//! 32 buckets, so a percentile is at most 3.2 % too high and never too low.
use std::time::Duration;

const BUCKETS_PER_OCTAVE: u64 = 32;
const OCTAVES: usize = 40;
const BUCKETS: usize = OCTAVES * 32;

/// Counts of latencies.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max_us: 0,
        }
    }
}

/// The bucket of a latency, and the greatest latency that shares it.
fn bucket(us: u64) -> (usize, u64) {
    if us < BUCKETS_PER_OCTAVE {
        return (usize::try_from(us).unwrap_or(0), us);
    }
    let shift = us.ilog2() - BUCKETS_PER_OCTAVE.ilog2();
    let mantissa = us >> shift; // 32..=63
    let index = u64::from(shift) * BUCKETS_PER_OCTAVE + mantissa;
    let ceiling = ((mantissa + 1) << shift) - 1;
    (
        usize::try_from(index)
            .unwrap_or(BUCKETS - 1)
            .min(BUCKETS - 1),
        ceiling,
    )
}

impl Histogram {
    /// Adds one latency.
    pub fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros())
            .unwrap_or(u64::MAX >> 1)
            .min(u64::MAX >> 25);
        if let Some(count) = self.counts.get_mut(bucket(us).0) {
            *count += 1;
        }
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Adds everything that another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many latencies there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency that this many of a thousand do not exceed; zero when there is none.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Duration {
        let rank = (self.total * permille.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(ceiling_of(index).min(self.max_us));
            }
        }
        Duration::from_micros(self.max_us)
    }

    /// The greatest latency.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }
}

/// The inverse of `bucket`.
fn ceiling_of(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < 2 * BUCKETS_PER_OCTAVE {
        return index;
    }
    let shift = index / BUCKETS_PER_OCTAVE - 1;
    let mantissa = index - shift * BUCKETS_PER_OCTAVE;
    ((mantissa + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_knows_its_ceiling() {
        for us in (0..5_000).chain([99_999, 1 << 20, (1 << 30) + 12_345]) {
            let (index, ceiling) = bucket(us);
            assert_eq!(ceiling_of(index), ceiling, "{us}");
            assert!(ceiling >= us && ceiling - us <= us / 31, "{us} {ceiling}");
        }
    }

    #[test]
    fn quantiles_are_of_the_latencies_that_were_recorded() {
        let mut one = Histogram::default();
        let mut other = Histogram::default();
        (1..=500).for_each(|ms| one.record(Duration::from_millis(ms)));
        (501..=1000).for_each(|ms| other.record(Duration::from_millis(ms)));
        one.merge(&other);
        assert_eq!(one.total(), 1000);
        for (permille, ms) in [(500, 500), (990, 990), (1000, 1000)] {
            let got = one.quantile(permille).as_millis();
            assert!(got >= ms && got <= ms + ms / 30, "p{permille}: {got} ms");
        }
        assert_eq!(one.max(), Duration::from_secs(1));
        assert_eq!(Histogram::default().quantile(990), Duration::ZERO);
    }
}
