//! What a holder of the shared token can still add: the arithmetic of the documented rule.
//!
//! The attacker reports once a UTC day, at the highest count that is not held, before the instance
//! does, stamped up to five minutes ahead: so the instance's own report is the older one of its day.
//! On the first day the attacker raises the day before as well. Nobody looks for all these days. No key is pinned.

/// A report is held when it is above this many times the baseline
const FACTOR: u64 = 2;
/// and above the baseline by more than this many seats.
const SEATS: u64 = 20;
/// The baseline is the median of so many counted days.
const DAYS: usize = 7;
/// Before so many have counted it is the count that the admin saw.
const LINK_DAYS: usize = 3;

/// The highest count that is not held.
pub(super) fn limit(baseline: u64) -> u64 {
    (FACTOR * baseline).max(baseline + SEATS)
}

/// The forged counts of an organization.
#[derive(Debug)]
pub(super) struct Creep {
    users: u64,
    /// What the day before the first is raised to; `None` where it was not billed.
    yesterday: Option<u64>,
    days: Vec<u64>,
}

impl Creep {
    /// The seat-days that are added in so many days.
    pub(super) fn added(&self, days: usize) -> u64 {
        let forged = self.yesterday.iter().chain(self.days.iter().take(days));
        forged.map(|count| count - self.users).sum()
    }
}

/// The forged count of each day, for an organization that reported `users` on so many days before. On the
/// first day the one before is raised, too; older ones are held.
pub(super) fn creep(users: u64, days_before: usize, days: usize) -> Creep {
    let mut counted = vec![users; days_before];
    let yesterday = counted.last_mut().map(|count| {
        *count = limit(users);
        *count
    });
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
    Creep {
        users,
        yesterday,
        days: forged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lets_the_limit_double_every_four_days() {
        assert_eq!(limit(45), 90);
        assert_eq!(limit(5), 25);
        let creep = creep(45, 7, 9);
        assert_eq!(creep.days, [90, 90, 90, 180, 180, 180, 180, 360, 360]);
        for (days, added) in [(1, 90), (4, 315), (7, 720)] {
            assert_eq!(creep.added(days), added, "{days} days");
        }
    }

    #[test]
    fn after_a_link_the_count_that_the_admin_saw_rules_for_three_days() {
        let creep = creep(45, 0, 5);
        assert_eq!(creep.days, [90, 90, 90, 180, 180]);
        assert_eq!(creep.added(1), 45);
    }
}
