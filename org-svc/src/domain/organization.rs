//! An organization, how it stands with Stripe, and the words for that.

use std::net::IpAddr;

use billing_kit::text::visible_line;
use chrono::{DateTime, Utc};
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 200;
const INSTANCE_URL_CHARS_MAX: usize = 255;
/// Stripe's longest id.
const STRIPE_ID_CHARS_MAX: usize = 255;
/// A UUID with its hyphens: the one text form that is taken.
const ID_CHARS: usize = 36;

/// An organization's id: its instance chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OrganizationId(pub(crate) Uuid);

impl OrganizationId {
    /// Reads the hyphenated form, in any case.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() != ID_CHARS {
            return Err("It is no UUID.");
        }
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| "It is no UUID.")
    }
}

/// An organization's name: one line of 1 to 200 characters that can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrganizationName(String);

impl OrganizationName {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = visible_line(text)?;
        if text.is_empty() {
            Err("It is empty.")
        } else if text.chars().count() > NAME_CHARS_MAX {
            Err("It is longer than 200 characters.")
        } else {
            Ok(Self(text.into_owned()))
        }
    }

    /// A name that the database holds, where its own rules were checked.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an instance lives, as it says itself: one line of 1 to 255 characters that can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceUrl(String);

impl InstanceUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = visible_line(text)?;
        if text.is_empty() {
            Err("It is empty.")
        } else if text.chars().count() > INSTANCE_URL_CHARS_MAX {
            Err("It is longer than 255 characters.")
        } else {
            Ok(Self(text.into_owned()))
        }
    }

    /// A URL that the database holds, where its own rules were checked.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The network that a report came from, as `203.0.113.0/24` or `2001:db8:1::/48`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceNetwork(String);

impl SourceNetwork {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "It is not a network such as 203.0.113.0/24 or 2001:db8:1::/48.";
        let (address, bits) = text.split_once('/').ok_or(WRONG)?;
        let address: IpAddr = address.parse().map_err(|_| WRONG)?;
        let bits: u8 = bits.parse().map_err(|_| WRONG)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        if bits > bits_max {
            return Err(WRONG);
        }
        Ok(Self(format!("{address}/{bits}")))
    }

    /// A network that the database holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Stripe's id of a customer; opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StripeCustomerId(pub(crate) String);

impl StripeCustomerId {
    /// Reads what a person gave: it becomes a part of a path at Stripe.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if (1..=STRIPE_ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err("It is not a Stripe id.")
        }
    }
}

/// Stripe's id of a subscription; opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StripeSubscriptionId(pub(crate) String);

/// Where an instance is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeploymentType {
    OnPremise,
    ManagedCloud,
}

impl DeploymentType {
    pub(crate) const ALL: [Self; 2] = [Self::OnPremise, Self::ManagedCloud];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnPremise => "on-premise",
            Self::ManagedCloud => "managed-cloud",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// What an organization pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlanType {
    ManagedCloud,
    SelfHosted,
}

impl PlanType {
    pub(crate) const ALL: [Self; 2] = [Self::ManagedCloud, Self::SelfHosted];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ManagedCloud => "managed-cloud",
            Self::SelfHosted => "self-hosted",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// How an organization stands with Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscriptionStatus {
    Pending,
    Trial,
    Active,
    PastDue,
    Unpaid,
    Incomplete,
    IncompleteExpired,
    Paused,
    Canceled,
}

impl SubscriptionStatus {
    pub(crate) const ALL: [Self; 9] = [
        Self::Pending,
        Self::Trial,
        Self::Active,
        Self::PastDue,
        Self::Unpaid,
        Self::Incomplete,
        Self::IncompleteExpired,
        Self::Paused,
        Self::Canceled,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// Whether the subscription is over for good.
    pub(crate) fn has_ended(self) -> bool {
        match self {
            Self::Canceled | Self::IncompleteExpired => true,
            Self::Pending
            | Self::Trial
            | Self::Active
            | Self::PastDue
            | Self::Unpaid
            | Self::Incomplete
            | Self::Paused => false,
        }
    }

    /// Whether Stripe counts what is reported under this status.
    fn takes_usage(self) -> bool {
        match self {
            Self::Trial | Self::Active | Self::PastDue | Self::Unpaid => true,
            Self::Pending
            | Self::Incomplete
            | Self::IncompleteExpired
            | Self::Paused
            | Self::Canceled => false,
        }
    }
}

/// An instance's customer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Organization {
    pub(crate) id: OrganizationId,
    pub(crate) name: OrganizationName,
    pub(crate) instance_url: Option<InstanceUrl>,
    pub(crate) stripe_customer_id: Option<StripeCustomerId>,
    pub(crate) stripe_subscription_id: Option<StripeSubscriptionId>,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) plan_type: Option<PlanType>,
    pub(crate) subscription_status: SubscriptionStatus,
    pub(crate) trial_end: Option<DateTime<Utc>>,
    pub(crate) admin_email: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) billing_start_at: Option<DateTime<Utc>>,
    pub(crate) reported_name: Option<OrganizationName>,
    pub(crate) reported_instance_url: Option<InstanceUrl>,
    pub(crate) observed_at: Option<DateTime<Utc>>,
    pub(crate) billing_problem: Option<String>,
    pub(crate) standing_version: i64,
    pub(crate) current_period_start_at: Option<DateTime<Utc>>,
    pub(crate) current_period_end_at: Option<DateTime<Utc>>,
    /// When its subscription is going to end, or ended.
    pub(crate) cancel_at: Option<DateTime<Utc>>,
    /// The version of the subscription's state that was applied last.
    pub(crate) subscription_version: i64,
    pub(crate) drain: Drain,
    /// Reports from then on are never billed: its subscription has ended.
    pub(crate) billing_end_at: Option<DateTime<Utc>>,
    /// Up to where its subscription was invoiced for good.
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
    pub(crate) collection_pause: Option<CollectionPause>,
    /// Where its first report came from.
    pub(crate) source_network: Option<SourceNetwork>,
    /// When an admin ignored it.
    pub(crate) ignored_at: Option<DateTime<Utc>>,
}

impl Organization {
    /// Whether it has a Stripe customer, whatever its status: what *linked* means everywhere.
    pub(crate) fn is_linked(&self) -> bool {
        self.stripe_customer_id.is_some()
    }

    /// What ingest-svc needs to know of it.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            organization_id: self.id,
            subscription_status: self.subscription_status,
            deployment_type: self.deployment_type,
            stripe_customer_id: self.stripe_customer_id.clone(),
            billing_start_at: self.billing_start_at,
            standing_version: self.standing_version,
            billable: self.is_billable(),
            drain: self.drain,
            billing_end_at: self.billing_end_at,
            invoiced_until: self.invoiced_until,
            trial_end: self.trial_end,
            is_ignored: self.ignored_at.is_some(),
        }
    }

    /// Reports may be sent when Stripe counts them, and we know for whom and from when on. Of a
    /// subscription that has ended it still counts those of the time before.
    fn is_billable(&self) -> bool {
        let is_counted = match self.subscription_status {
            SubscriptionStatus::Canceled => self.billing_end_at.is_some(),
            status @ (SubscriptionStatus::Pending
            | SubscriptionStatus::Trial
            | SubscriptionStatus::Active
            | SubscriptionStatus::PastDue
            | SubscriptionStatus::Unpaid
            | SubscriptionStatus::Incomplete
            | SubscriptionStatus::IncompleteExpired
            | SubscriptionStatus::Paused) => status.takes_usage(),
        };
        is_counted
            && self.billing_problem.is_none()
            && self.stripe_customer_id.is_some()
            && self.billing_start_at.is_some()
    }
}

/// A pause of collection: reports are sent and Stripe makes invoices, but nobody is asked to pay them.
/// The subscription's status does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CollectionPause {
    pub(crate) behavior: PauseBehavior,
    /// When stripe-svc first saw it.
    pub(crate) since: DateTime<Utc>,
    /// When Stripe ends it by itself; none if a person has to.
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

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|behavior| behavior.as_str() == word)
    }
}

/// How far the end of a subscription is that is to be canceled at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// It goes on.
    None,
    /// What was reported is delivered first.
    Draining,
    /// Everything is delivered. Nothing more is sent until the cancellation has ended, however else
    /// the organization comes to stand.
    Drained,
}

impl Drain {
    pub(crate) fn is_under_way(self) -> bool {
        match self {
            Self::None => false,
            Self::Draining | Self::Drained => true,
        }
    }
}

/// How an organization stands: all that decides what of it is billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) organization_id: OrganizationId,
    pub(crate) subscription_status: SubscriptionStatus,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) stripe_customer_id: Option<StripeCustomerId>,
    pub(crate) billing_start_at: Option<DateTime<Utc>>,
    pub(crate) standing_version: i64,
    pub(crate) billable: bool,
    pub(crate) drain: Drain,
    pub(crate) billing_end_at: Option<DateTime<Utc>>,
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
    pub(crate) trial_end: Option<DateTime<Utc>>,
    pub(crate) is_ignored: bool,
}

/// How many organizations there are, and when they were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) pending: i64,
    /// Those that an admin ignores: in no other count.
    pub(crate) ignored: i64,
    /// Those with a Stripe customer, by status; a status that none has is left out.
    pub(crate) linked: Vec<(SubscriptionStatus, i64)>,
    /// Those whose collection is paused.
    pub(crate) collection_paused: i64,
    pub(crate) counted_at: DateTime<Utc>,
}

impl Counts {
    /// Those with a Stripe customer.
    pub(crate) fn linked_total(&self) -> i64 {
        self.linked.iter().map(|(_, count)| count).sum()
    }

    /// All that are not ignored.
    pub(crate) fn total(&self) -> i64 {
        self.pending + self.linked_total()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn pending() -> Organization {
        let time = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Organization {
            id: OrganizationId(Uuid::from_u128(1)),
            name: OrganizationName::stored("Acme Corp".to_owned()),
            instance_url: Some(InstanceUrl::stored("acme.vaultai.eu".to_owned())),
            stripe_customer_id: None,
            stripe_subscription_id: None,
            deployment_type: None,
            plan_type: None,
            subscription_status: SubscriptionStatus::Pending,
            trial_end: None,
            admin_email: None,
            created_at: time,
            updated_at: time,
            billing_start_at: None,
            reported_name: None,
            reported_instance_url: None,
            observed_at: Some(time),
            billing_problem: None,
            standing_version: 1,
            current_period_start_at: None,
            current_period_end_at: None,
            cancel_at: None,
            subscription_version: 0,
            drain: Drain::None,
            billing_end_at: None,
            invoiced_until: None,
            collection_pause: None,
            source_network: None,
            ignored_at: None,
        }
    }

    pub(crate) fn linked() -> Organization {
        let pending = pending();
        Organization {
            stripe_customer_id: Some(StripeCustomerId("cus_1".to_owned())),
            stripe_subscription_id: Some(StripeSubscriptionId("sub_1".to_owned())),
            deployment_type: Some(DeploymentType::OnPremise),
            plan_type: Some(PlanType::SelfHosted),
            subscription_status: SubscriptionStatus::Trial,
            admin_email: Some("billing@acme.example".to_owned()),
            billing_start_at: Some(pending.created_at),
            ..pending
        }
    }

    #[test]
    fn an_id_is_a_hyphenated_uuid() {
        let good = "6f3c9a4e-0c1d-4a55-9d2b-3c3f0f3a9a10";
        assert_eq!(
            OrganizationId::parse(good),
            OrganizationId::parse(&good.to_uppercase())
        );
        for bad in [
            "",
            "acme",
            "6f3c9a4e0c1d4a559d2b3c3f0f3a9a10",
            "{6f3c9a4e-0c1d-4a55-9d2b-3c3f0f3a9a1}",
            "6f3c9a4e-0c1d-4a55-9d2b-3c3f0f3a9a1g",
        ] {
            assert!(OrganizationId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_source_is_a_network() {
        for good in ["203.0.113.0/24", "2001:db8:1::/48", "127.0.0.0/24"] {
            assert_eq!(SourceNetwork::parse(good).unwrap().as_str(), good);
        }
        let same = SourceNetwork::parse("2001:DB8:1:0::/48").unwrap();
        assert_eq!(same.as_str(), "2001:db8:1::/48");
        for bad in [
            "",
            "acme",
            "203.0.113.0",
            "203.0.113.0/33",
            "203.0.113.0/",
            "a\0/1",
        ] {
            assert!(SourceNetwork::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_urls_have_bounds() {
        for bad in ["", " ", "a\u{0}b", "tab\there", "\u{200b}", "a\u{2028}b"] {
            assert!(OrganizationName::parse(bad).is_err(), "{bad:?}");
            assert!(InstanceUrl::parse(bad).is_err(), "{bad:?}");
        }
        assert!(OrganizationName::parse(&"é".repeat(200)).is_ok());
        assert!(OrganizationName::parse(&"é".repeat(201)).is_err());
        assert!(InstanceUrl::parse(&"u".repeat(255)).is_ok());
        assert!(InstanceUrl::parse(&"u".repeat(256)).is_err());
    }

    #[test]
    fn every_word_reads_back() {
        for status in SubscriptionStatus::ALL {
            assert_eq!(SubscriptionStatus::from_word(status.as_str()), Some(status));
        }
        for deployment in DeploymentType::ALL {
            assert_eq!(
                DeploymentType::from_word(deployment.as_str()),
                Some(deployment)
            );
        }
        for plan in PlanType::ALL {
            assert_eq!(PlanType::from_word(plan.as_str()), Some(plan));
        }
        assert_eq!(SubscriptionStatus::from_word("trialing"), None);
    }

    #[test]
    fn billable_is_who_has_a_subscription_that_counts_and_no_problem() {
        assert!(linked().standing().billable);
        assert!(!pending().standing().billable);
        for (status, billable) in [
            (SubscriptionStatus::Pending, false),
            (SubscriptionStatus::Trial, true),
            (SubscriptionStatus::Active, true),
            (SubscriptionStatus::PastDue, true),
            (SubscriptionStatus::Unpaid, true),
            (SubscriptionStatus::Incomplete, false),
            (SubscriptionStatus::IncompleteExpired, false),
            (SubscriptionStatus::Paused, false),
            (SubscriptionStatus::Canceled, false),
        ] {
            let organization = Organization {
                subscription_status: status,
                ..linked()
            };
            assert_eq!(organization.standing().billable, billable, "{status:?}");
        }
        let ended = Organization {
            subscription_status: SubscriptionStatus::Canceled,
            billing_end_at: Some(linked().created_at),
            ..linked()
        };
        assert!(ended.standing().billable, "what came before the end");
        for broken in [
            Organization {
                billing_problem: Some("the customer was deleted in Stripe".to_owned()),
                ..ended
            },
            Organization {
                billing_problem: Some("needs migration".to_owned()),
                ..linked()
            },
            Organization {
                billing_start_at: None,
                ..linked()
            },
            Organization {
                stripe_customer_id: None,
                ..linked()
            },
        ] {
            assert!(!broken.standing().billable);
        }
    }
}
