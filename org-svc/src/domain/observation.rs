//! What a usage report says of its organization, and what that changes.

use std::collections::BTreeMap;

use billing_kit::text::is_same;
use chrono::{DateTime, Utc};

use super::organization::{
    InstanceUrl, Organization, OrganizationId, OrganizationName, SourceNetwork,
};

/// How many observations one request may carry.
pub(crate) const OBSERVATIONS_MAX: usize = 1_000;

/// What a report says of its organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) organization_id: OrganizationId,
    pub(crate) name: OrganizationName,
    pub(crate) instance_url: InstanceUrl,
    pub(crate) observed_at: DateTime<Utc>,
    /// Whether who tells it knows a later one. We do not where that changed nothing.
    pub(crate) is_outdated: bool,
    /// Where the report came from.
    pub(crate) source_network: Option<SourceNetwork>,
}

/// Of several observations of one organization the latest, and of equally late ones the last.
///
/// They come out sorted by id: whoever locks rows in this order never waits in a circle.
pub(crate) fn latest_by_organization(
    observations: &[Observation],
) -> BTreeMap<OrganizationId, &Observation> {
    let mut latest: BTreeMap<OrganizationId, &Observation> = BTreeMap::new();
    for observation in observations {
        let kept = latest
            .entry(observation.organization_id)
            .or_insert(observation);
        if observation.observed_at >= kept.observed_at {
            *kept = observation;
        }
    }
    latest
}

/// The organization as it is after an observation, or `None` where the observation changes nothing.
///
/// `observed_at` moves together with a real change alone: the daily report of an organization that
/// is as it was writes nothing.
pub(crate) fn after(
    organization: &Organization,
    observation: &Observation,
) -> Option<Organization> {
    let is_older = organization
        .observed_at
        .is_some_and(|observed_at| observation.observed_at < observed_at);
    if is_older || observation.is_outdated {
        return None;
    }
    let name_differs = !is_same(organization.name.as_str(), observation.name.as_str());
    let url_differs = !organization
        .instance_url
        .as_ref()
        .is_some_and(|url| is_same(url.as_str(), observation.instance_url.as_str()));
    let mut changed = organization.clone();
    if organization.is_linked() {
        // What is invoiced keeps the name that it was linked under; a person sees the difference.
        changed.reported_name = name_differs.then(|| observation.name.clone());
        changed.reported_instance_url = url_differs.then(|| observation.instance_url.clone());
    } else {
        // Shown as it was sent first: what reads the same is not changed.
        if name_differs {
            changed.name = observation.name.clone();
        }
        if url_differs {
            changed.instance_url = Some(observation.instance_url.clone());
        }
        changed.reported_name = None;
        changed.reported_instance_url = None;
    }
    (changed != *organization).then(|| {
        changed.observed_at = Some(observation.observed_at);
        changed
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::organization::tests::{linked, pending};

    fn observation(name: &str, url: &str, seconds_later: i64) -> Observation {
        Observation {
            organization_id: pending().id,
            name: OrganizationName::parse(name).unwrap(),
            instance_url: InstanceUrl::parse(url).unwrap(),
            observed_at: pending().observed_at.unwrap() + TimeDelta::seconds(seconds_later),
            is_outdated: false,
            source_network: None,
        }
    }

    #[test]
    fn a_pending_organization_takes_the_newer_name() {
        let changed = after(&pending(), &observation("Acme SA", "a.eu", 1)).unwrap();
        assert_eq!(changed.name.as_str(), "Acme SA");
        assert_eq!(changed.instance_url.unwrap().as_str(), "a.eu");
        assert_eq!(
            changed.observed_at,
            pending().observed_at.map(|t| t + TimeDelta::seconds(1))
        );
    }

    #[test]
    fn an_older_observation_changes_nothing() {
        assert_eq!(after(&pending(), &observation("Old", "old.eu", -1)), None);
        assert_eq!(after(&linked(), &observation("Old", "old.eu", -1)), None);
    }

    #[test]
    fn what_is_older_than_a_later_one_that_changed_nothing_changes_nothing() {
        let outdated = Observation {
            is_outdated: true,
            ..observation("Old", "old.eu", 1)
        };
        assert_eq!(after(&pending(), &outdated), None);
        assert_eq!(after(&linked(), &outdated), None);
    }

    #[test]
    fn the_same_again_changes_nothing_not_even_the_time() {
        let same = observation("Acme Corp", "acme.vaultai.eu", 86_400);
        assert_eq!(after(&pending(), &same), None);
        assert_eq!(after(&linked(), &same), None);
    }

    #[test]
    fn the_same_letters_put_together_otherwise_change_nothing() {
        let composed = Organization {
            name: OrganizationName::parse("Société").unwrap(),
            ..pending()
        };
        let decomposed = observation("Socie\u{301}te\u{301}", "acme.vaultai.eu", 1);
        assert_eq!(after(&composed, &decomposed), None);
        let linked = Organization {
            name: composed.name.clone(),
            ..linked()
        };
        assert_eq!(after(&linked, &decomposed), None);
        let renamed = after(&composed, &observation("Societe", "acme.vaultai.eu", 1));
        assert_eq!(renamed.unwrap().name.as_str(), "Societe");
    }

    #[test]
    fn a_linked_organization_is_never_renamed() {
        let changed = after(&linked(), &observation("Other", "other.eu", 1)).unwrap();
        assert_eq!(changed.name.as_str(), "Acme Corp");
        assert_eq!(changed.reported_name.as_ref().unwrap().as_str(), "Other");
        assert_eq!(
            changed.reported_instance_url.as_ref().unwrap().as_str(),
            "other.eu"
        );

        // The same difference again is nothing new; the old name again clears it.
        assert_eq!(after(&changed, &observation("Other", "other.eu", 2)), None);
        let back = after(&changed, &observation("Acme Corp", "acme.vaultai.eu", 3)).unwrap();
        assert_eq!(back.reported_name, None);
        assert_eq!(back.reported_instance_url, None);
    }

    #[test]
    fn of_several_in_a_batch_the_latest_counts() {
        let batch = [
            observation("Second", "b.eu", 2),
            observation("First", "a.eu", 1),
            observation("Second again", "b.eu", 2),
        ];
        let latest = latest_by_organization(&batch);
        assert_eq!(latest.len(), 1);
        assert_eq!(latest[&pending().id].name.as_str(), "Second again");
    }
}
