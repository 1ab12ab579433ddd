//! A subscription as Stripe holds it, whoever changed it.

use chrono::{DateTime, Utc};

use crate::domain::{
    ids::{CustomerId, OrganizationId, SubscriptionId},
    terms::SubscriptionStatus,
};

/// What we keep of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) customer_id: CustomerId,
    /// Of its metadata; none where others made it.
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) status: SubscriptionStatus,
    pub(crate) trial_end: Option<DateTime<Utc>>,
    pub(crate) start: DateTime<Utc>,
    pub(crate) current_period_start: Option<DateTime<Utc>>,
    pub(crate) current_period_end: Option<DateTime<Utc>>,
    /// When it is going to end.
    pub(crate) cancel_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) customer_deleted: bool,
    pub(crate) collection_pause: Option<CollectionPause>,
}

/// While collection is paused, Stripe makes invoices that nobody is asked to pay. The status does not
/// show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CollectionPause {
    pub(crate) behavior: PauseBehavior,
    /// When Stripe ends the pause by itself; none if a person has to.
    pub(crate) resumes_at: Option<DateTime<Utc>>,
}

/// What Stripe does with the invoices of a pause. The words are Stripe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PauseBehavior {
    Void,
    KeepAsDraft,
    MarkUncollectible,
}

impl PauseBehavior {
    const ALL: [Self; 3] = [Self::Void, Self::KeepAsDraft, Self::MarkUncollectible];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Void => "void",
            Self::KeepAsDraft => "keep_as_draft",
            Self::MarkUncollectible => "mark_uncollectible",
        }
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|behavior| behavior.as_str() == word)
    }
}

/// Where a fetch stands among all: a later one has a greater ticket, whichever machine made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FetchTicket(pub(crate) i64);

impl FetchTicket {
    /// Of what was not fetched: Stripe's answer to a call, which may be an old one that it kept
    /// under the call's key. Anything that was fetched is newer.
    pub(crate) const NONE: Self = Self(0);
}

/// A subscription in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionState {
    pub(crate) subscription: Subscription,
    /// Up to where it was invoiced for good; it never moves back.
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
    /// When a fetch first showed the pause of collection that still holds.
    pub(crate) collection_paused_at: Option<DateTime<Utc>>,
    pub(crate) observed_at: DateTime<Utc>,
    pub(crate) version: i64,
}
