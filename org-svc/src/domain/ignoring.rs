//! Which pending organizations are ignored or restored in one step, and how they are grouped.

use chrono::{DateTime, Utc};

use super::organization::{OrganizationId, SourceNetwork};

/// A network with so many pending organizations is a group.
pub(crate) const GROUP_MIN: i64 = 10;
/// How many groups are shown.
pub(crate) const GROUPS_MAX: i64 = 100;
/// How many organizations of a network are ignored or restored at once.
pub(crate) const GROUP_AT_ONCE_MAX: i64 = 20_000;
/// How many ids a request may name.
pub(crate) const IDS_MAX: usize = 500;

/// The pending organizations whose first report came from one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingGroup {
    pub(crate) source_network: SourceNetwork,
    pub(crate) organization_count: i64,
    pub(crate) first_created_at: DateTime<Utc>,
    pub(crate) last_created_at: DateTime<Utc>,
}

/// Whom an admin chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// These, each once and in the order of their ids.
    Ids(Vec<OrganizationId>),
    /// All of a network that came until a moment; `None` for all.
    Network(SourceNetwork, Option<DateTime<Utc>>),
}

impl Selection {
    /// A selection of ids.
    pub(crate) fn of_ids(mut ids: Vec<OrganizationId>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self::Ids(ids)
    }
}
