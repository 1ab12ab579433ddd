//! An organization as an admin sees it.

use billing_proto::common::v1::{
    CancelMode, CollectionPauseBehavior, DeploymentType, PlanType, SubscriptionStatus,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::reporting::Watch;

/// An organization, with what is known of its reporting.
#[derive(Debug, Clone)]
pub(crate) struct Organization {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where its instance lives.
    pub instance_url: Option<String>,
    /// The Stripe customer; whoever has one is linked.
    pub stripe_customer_id: Option<String>,
    /// The Stripe subscription.
    pub stripe_subscription_id: Option<String>,
    /// Where it is deployed; unspecified while not linked.
    pub deployment_type: DeploymentType,
    /// What it pays for; unspecified while not linked.
    pub plan_type: PlanType,
    /// How it stands with Stripe.
    pub subscription_status: SubscriptionStatus,
    /// The end of its trial.
    pub trial_end: Option<DateTime<Utc>>,
    /// The address that invoices go to.
    pub admin_email: Option<String>,
    /// When it first reported.
    pub created_at: DateTime<Utc>,
    /// The name in its latest report, where it differs.
    pub reported_name: Option<String>,
    /// The URL in its latest report, where it differs.
    pub reported_instance_url: Option<String>,
    /// Why it cannot be billed though it is linked.
    pub billing_problem: Option<String>,
    /// The latest link operation.
    pub link_operation: Option<LinkOperation>,
    /// When its subscription is going to end, or ended.
    pub cancel_at: Option<DateTime<Utc>>,
    /// The start of the period that Stripe will invoice next.
    pub current_period_start: Option<DateTime<Utc>>,
    /// The end of that period.
    pub current_period_end: Option<DateTime<Utc>>,
    /// The pause of its collection in Stripe.
    pub collection_pause: Option<CollectionPause>,
    /// Its latest report; `None` if it never reported, or this cannot be told now.
    pub reporting: Option<Reporting>,
    /// What is to be watched of it.
    pub watch: Watch,
    /// The network that its first report came from.
    pub source_network: Option<String>,
    /// When an admin ignored it.
    pub ignored_at: Option<DateTime<Utc>>,
}

impl Organization {
    /// Whether it is linked: whether it has a Stripe customer, whatever its status.
    pub(crate) fn is_linked(&self) -> bool {
        self.stripe_customer_id.is_some()
    }

    /// Whether it is linked and its subscription has ended, so that it may be unlinked.
    pub(crate) fn can_be_unlinked(&self) -> bool {
        let has_ended = match self.subscription_status {
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
        self.is_linked() && has_ended
    }
}

/// A pause of collection: Stripe makes invoices that nobody is asked to pay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CollectionPause {
    /// What Stripe does with them.
    pub behavior: CollectionPauseBehavior,
    /// When it was first seen here.
    pub since: DateTime<Utc>,
    /// When Stripe ends it by itself; none if a person has to.
    pub resumes_at: Option<DateTime<Utc>>,
}

/// What an organization reported last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reporting {
    /// Number of users (seats) of the last report that counts.
    pub user_count: i64,
    /// The latest report's own time, whether it counts or not.
    pub last_report_at: DateTime<Utc>,
}

/// What an admin asked for of an organization's link.
#[derive(Debug, Clone)]
pub(crate) struct LinkOperation {
    /// Its id.
    pub id: Uuid,
    /// What is done.
    pub kind: LinkKind,
    /// Where it is.
    pub state: LinkState,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Why it was refused, or cannot go on now.
    pub error: Option<Trouble>,
}

/// What is done to an organization's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// It is made.
    Link,
    /// Its terms are changed.
    Update,
    /// Its subscription is ended, then.
    Cancel(CancelMode),
}

impl LinkKind {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Update => "update",
            Self::Cancel(_) => "cancel",
        }
    }
}

/// Where a link operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// It goes on.
    Running,
    /// It is done.
    Succeeded,
    /// It was refused, by Stripe or by us, and the organization is as before.
    Refused,
}

impl LinkState {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
        }
    }
}

/// What went wrong on the way to Stripe: a code, Stripe's or ours, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The code.
    pub code: String,
    /// The sentence.
    pub message: String,
}

impl Trouble {
    /// The wire's form of it: both empty for none.
    pub(crate) fn from_wire(code: String, message: String) -> Option<Self> {
        (!code.is_empty() || !message.is_empty()).then_some(Self { code, message })
    }
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
