//! Pending organizations that are decided upon together.

use chrono::{DateTime, Utc};

/// The pending organizations whose first report came from one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingGroup {
    /// The network.
    pub source_network: String,
    /// How many there are.
    pub organization_count: i64,
    /// When the first of them came.
    pub first_created_at: DateTime<Utc>,
    /// When the last of them came.
    pub last_created_at: DateTime<Utc>,
}

/// Which organizations are ignored or brought back. org-svc looks at the ids and the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Their ids; none with a network.
    pub organization_ids: Vec<String>,
    /// The network that they came from; empty with ids.
    pub source_network: String,
    /// Of a network only those that came until then.
    pub until: Option<DateTime<Utc>>,
}
