//! What a holder of the shared token can still add: the arithmetic of the documented rule.
//!
//! The attacker reports once a UTC day, at the highest count that is not held, before the instance
//! does, stamped up to five minutes ahead: so the instance's own report is the older one of its day.
//! Nobody looks for all these days. No key is pinned.

/// A report above so many times the baseline is held,
const FACTOR: u64 = 2;
/// and one above so many more seats than the baseline, whichever is more.
const SEATS: u64 = 20;
/// The baseline is the median of so many counted days.
const DAYS: usize = 7;
/// Before so many have counted it is the count that the admin saw.
const LINK_DAYS: usize = 3;

/// The highest count that is not held.
pub(super) fn limit(baseline: u64) -> u64 {
    (FACTOR * baseline).max(baseline + SEATS)
}

/// The forged count of each day, for an organization that reported `users` on so many days before.
pub(super) fn creep(users: u64, days_before: usize, days: usize) -> Vec<u64> {
    let mut counted = vec![users; days_before];
    let mut forged = Vec::with_capacity(days);
    for _ in 0..days {
        let baseline = if counted.len() < LINK_DAYS {
            users
        } else {
            let first = counted.len().saturating_sub(DAYS);
            let mut last: Vec<_> = counted.iter().skip(first).copied().collect();
            last.sort_unstable();
            let middle = (last.len().saturating_sub(1)) / 2;
            last.get(middle).copied().unwrap_or(users)
        };
        let count = limit(baseline);
        forged.push(count);
        counted.push(count);
    }
    forged
}

/// The seat-days that these forged counts add.
pub(super) fn added(users: u64, forged: &[u64]) -> u64 {
    forged.iter().map(|count| count - users).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lets_the_limit_double_every_four_days() {
        assert_eq!(limit(45), 90);
        assert_eq!(limit(5), 25);
        let forged = creep(45, 7, 9);
        assert_eq!(forged, [90, 90, 90, 90, 180, 180, 180, 180, 360]);
        assert_eq!(added(45, &forged[..1]), 45);
        assert_eq!(added(45, &forged[..4]), 180);
        assert_eq!(added(45, &forged[..8]), 720);
    }

    #[test]
    fn after_a_link_the_count_that_the_admin_saw_rules_for_three_days() {
        assert_eq!(creep(45, 0, 5), [90, 90, 90, 180, 180]);
    }
}
