//! What follows of an organization's facts.

use billing_kit::proto_time;
use billing_proto::{
    admin::v1::{LinkOperation, Organization, OrganizationsSummary},
    common::v1::{LinkOperationState, SubscriptionStatus},
};
use chrono::{DateTime, Utc};

/// Whether it is linked: whether it has a Stripe customer, whatever its status.
pub(crate) fn is_linked(organization: &Organization) -> bool {
    !organization.stripe_customer_id.is_empty()
}

/// Whether it is linked and its subscription has ended, so that it may be unlinked.
pub(crate) fn can_be_unlinked(organization: &Organization) -> bool {
    let has_ended = match organization.subscription_status() {
        SubscriptionStatus::Canceled | SubscriptionStatus::IncompleteExpired => true,
        SubscriptionStatus::Unspecified
        | SubscriptionStatus::Pending
        | SubscriptionStatus::Trial
        | SubscriptionStatus::Active
        | SubscriptionStatus::PastDue
        | SubscriptionStatus::Unpaid
        | SubscriptionStatus::Incomplete
        | SubscriptionStatus::Paused => false,
    };
    is_linked(organization) && has_ended
}

/// Whether an operation goes on.
pub(crate) fn is_running(operation: Option<&LinkOperation>) -> bool {
    operation.is_some_and(|operation| operation.state() == LinkOperationState::Running)
}

/// How many organizations there are, whatever a list's filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// All that are not ignored: the sum of the two others.
    pub total: i64,
    /// Those with a Stripe customer.
    pub linked: i64,
    /// Those without.
    pub pending: i64,
    /// Those that an admin ignores.
    pub ignored: i64,
    /// Those with one, by status; a status that none has is left out.
    pub by_status: Vec<(SubscriptionStatus, i64)>,
    /// Those whose collection is paused.
    pub collection_paused: i64,
    /// When they were counted: of very many the numbers may be some seconds old.
    pub counted_at: DateTime<Utc>,
}

impl From<Summary> for OrganizationsSummary {
    fn from(summary: Summary) -> Self {
        let Summary {
            total,
            linked,
            pending,
            ignored,
            // The contract has the sums alone.
            by_status: _,
            collection_paused,
            counted_at,
        } = summary;
        Self {
            total_count: total,
            linked_count: linked,
            pending_count: pending,
            count_time: Some(proto_time::to_proto(counted_at)),
            collection_paused_count: collection_paused,
            ignored_count: ignored,
        }
    }
}
