//! Numbers and ids that are a function of a seed, so that a second run of a fleet is the same fleet.
//! Not for secrets.
use uuid::{Builder, Uuid};

/// One well mixed number for each pair of seed and index (SplitMix64).
#[must_use]
pub fn number(seed: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0xD134_2543_DE82_EF95)
        .wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The id of the instance's organization with this index.
#[must_use]
pub fn organization_id(seed: u64, index: u64) -> Uuid {
    let high = u128::from(number(seed, index));
    let low = u128::from(number(!seed, index));
    Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_is_a_fleet() {
        let fleet = |seed| {
            (0..10_000)
                .map(|i| organization_id(seed, i))
                .collect::<HashSet<_>>()
        };
        assert_eq!(fleet(1).len(), 10_000);
        assert_eq!(fleet(1), fleet(1));
        assert!(fleet(1).is_disjoint(&fleet(2)));
        assert_eq!(organization_id(1, 0).get_version_num(), 4);
    }
}
