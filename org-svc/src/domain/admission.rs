//! How many new organizations a source network may bring on one UTC day.
//!
//! Architecture invariant: a cap is about unknown organizations alone. A report of a known one is never
//! refused because of it.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use chrono::{DateTime, Days, NaiveTime, Utc};

use super::observation::Observation;

/// The name under which organizations of an unknown network are counted.
pub(crate) const UNKNOWN_SOURCE: &str = "";

/// How many new organizations are admitted on one UTC day; `None` for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionCaps {
    /// From one source network.
    pub per_network: Option<NonZeroU32>,
    /// From unknown networks, all together.
    pub unknown_source: Option<NonZeroU32>,
}

impl AdmissionCaps {
    /// Whether nothing is capped.
    pub(crate) fn is_unlimited(self) -> bool {
        self.per_network.is_none() && self.unknown_source.is_none()
    }

    /// The cap of a network.
    fn of(self, network: &str) -> Option<u32> {
        let cap = if network == UNKNOWN_SOURCE {
            self.unknown_source
        } else {
            self.per_network
        };
        cap.map(NonZeroU32::get)
    }
}

/// The network under which an observation is counted.
pub(crate) fn source_of(observation: &Observation) -> &str {
    observation
        .source_network
        .as_ref()
        .map_or(UNKNOWN_SOURCE, |network| network.as_str())
}

/// Which of these unknown organizations are not admitted, given how many each network brought on this
/// day already.
pub(crate) fn decide<'a>(
    caps: AdmissionCaps,
    unknown: &[&'a Observation],
    admitted_today: &BTreeMap<String, i64>,
) -> Vec<&'a Observation> {
    let mut counts = admitted_today.clone();
    let mut refused = Vec::new();
    for observation in unknown {
        let network = source_of(observation);
        let count = counts.entry(network.to_owned()).or_default();
        if caps.of(network).is_some_and(|cap| *count >= cap.into()) {
            refused.push(*observation);
        } else {
            *count += 1;
        }
    }
    refused
}

/// After how long the next UTC day begins.
pub(crate) fn until_next_day(now: DateTime<Utc>) -> Duration {
    let next = now.date_naive().checked_add_days(Days::new(1));
    next.map(|day| day.and_time(NaiveTime::MIN).and_utc() - now)
        .and_then(|wait| wait.to_std().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::organization::{
        InstanceUrl, OrganizationId, OrganizationName, SourceNetwork,
    };

    fn observation(number: u128, network: Option<&str>) -> Observation {
        Observation {
            organization_id: OrganizationId(Uuid::from_u128(number)),
            name: OrganizationName::parse("Acme").unwrap(),
            instance_url: InstanceUrl::parse("a.eu").unwrap(),
            observed_at: DateTime::UNIX_EPOCH,
            is_outdated: false,
            source_network: network.map(|text| SourceNetwork::parse(text).unwrap()),
        }
    }

    fn caps(per_network: u32, unknown_source: u32) -> AdmissionCaps {
        AdmissionCaps {
            per_network: NonZeroU32::new(per_network),
            unknown_source: NonZeroU32::new(unknown_source),
        }
    }

    #[test]
    fn each_network_has_a_cap_and_the_unknown_ones_another() {
        let one = Some("203.0.113.0/24");
        let other = Some("198.51.100.0/24");
        let all = [
            observation(1, one),
            observation(2, one),
            observation(3, one),
            observation(4, other),
            observation(5, None),
            observation(6, None),
        ];
        let all: Vec<_> = all.iter().collect();
        let today = BTreeMap::from([("203.0.113.0/24".to_owned(), 1)]);
        let refused = |caps| -> Vec<u128> {
            let refused = decide(caps, &all, &today);
            refused
                .iter()
                .map(|o| o.organization_id.0.as_u128())
                .collect()
        };
        assert_eq!(refused(caps(2, 1)), [2, 3, 6]);
        assert_eq!(refused(caps(1, 2)), [1, 2, 3]);
        assert!(refused(caps(0, 0)).is_empty(), "no caps");
    }

    #[test]
    fn the_next_day_begins_at_midnight() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let wait = until_next_day(at("2026-12-31T23:59:30Z"));
        assert_eq!(wait, Duration::from_secs(30));
        let wait = until_next_day(at("2026-12-31T00:00:00Z"));
        assert_eq!(wait, Duration::from_secs(86_400));
    }
}
