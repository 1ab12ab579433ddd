//! Which organizations a request names: by their ids, or by the network that they came from.

use billing_kit::{Fault, proto_time};
use prost_types::Timestamp;

use super::door::Door;
use crate::domain::{
    ignoring::{IDS_MAX, Selection},
    organization::{OrganizationId, SourceNetwork},
};

/// Ids, or a network up to a moment: one of the two.
pub(super) fn read(
    ids: &[String],
    network: &str,
    until: Option<&Timestamp>,
) -> Result<Selection, Fault> {
    if network.is_empty() && until.is_none() {
        return self::ids(ids, IDS_MAX).map(Selection::of_ids);
    }
    let mut door = Door::new();
    let alone = ids
        .is_empty()
        .then_some(())
        .ok_or("It must be empty when source_network is set.");
    let alone = door.check("organization_ids", alone);
    let network = door.check("source_network", SourceNetwork::parse(network));
    let until = until.map(|time| proto_time::from_proto(time).ok_or("It is not a time."));
    let until = door.check("until_time", until.transpose());
    let parsed = alone.zip(network).zip(until);
    door.pass(parsed.map(|(((), network), until)| Selection::Network(network, until)))
}

/// From 1 to `max` ids.
pub(super) fn ids(ids: &[String], max: usize) -> Result<Vec<OrganizationId>, Fault> {
    let mut door = Door::new();
    let count = (1..=max)
        .contains(&ids.len())
        .then_some(())
        .ok_or_else(|| format!("It must have from 1 to {max} entries."));
    let count = door.check("organization_ids", count);
    let ids: Vec<_> = ids
        .iter()
        .enumerate()
        .filter_map(|(at, id)| {
            let field = format!("organization_ids[{at}]");
            door.check(field, OrganizationId::parse(id))
        })
        .collect();
    door.pass(count.map(|()| ids))
}
