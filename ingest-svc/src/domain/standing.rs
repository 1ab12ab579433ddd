//! How an organization stands with Stripe, as org-svc tells it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The status of an organization's subscription. `pending` and `trial` are our words, the others
/// Stripe's.
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
    const ALL: [(Self, &str); 9] = [
        (Self::Pending, "pending"),
        (Self::Trial, "trial"),
        (Self::Active, "active"),
        (Self::PastDue, "past_due"),
        (Self::Unpaid, "unpaid"),
        (Self::Incomplete, "incomplete"),
        (Self::IncompleteExpired, "incomplete_expired"),
        (Self::Paused, "paused"),
        (Self::Canceled, "canceled"),
    ];

    /// The word that the database keeps.
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

    /// The status behind a word of the database.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, text)| *text == word)
            .map(|(status, _)| *status)
    }
}

/// Where an instance is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeploymentType {
    OnPremise,
    ManagedCloud,
}

impl DeploymentType {
    /// What a report keeps while its organization has no deployment type.
    pub(crate) const UNASSIGNED: &str = "unassigned";

    /// The word that the database keeps.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnPremise => "on-premise",
            Self::ManagedCloud => "managed-cloud",
        }
    }

    /// The deployment type behind a word of the database; none behind `unassigned`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::OnPremise, Self::ManagedCloud]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// How far the end of an organization's subscription is, where it is to be canceled at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// It goes on.
    None,
    /// What was reported is delivered first.
    Draining,
    /// Nothing was left to deliver: what is reported from now on waits. This service finds it so under
    /// one standing; once org-svc knows, it says so itself, however else the organization stands.
    Drained,
}

/// Older than whatever org-svc tells, whose versions begin at 0.
pub(crate) const UNKNOWN_VERSION: i64 = -1;

/// How an organization stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) organization_id: Uuid,
    pub(crate) status: SubscriptionStatus,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) stripe_customer_id: Option<String>,
    /// Reports of earlier moments are never billed.
    pub(crate) billing_start_at: Option<DateTime<Utc>>,
    /// Whether its reports may be sent as things are: once its subscription has ended, those from
    /// before the end.
    pub(crate) billable: bool,
    /// Reports from then on are never billed: its subscription has ended.
    pub(crate) billing_end_at: Option<DateTime<Utc>>,
    /// The end of its trial, whose usage is free.
    pub(crate) trial_end_at: Option<DateTime<Utc>>,
    /// Up to where its subscription was invoiced for good; it never moves back.
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
    /// The greater one is the newer.
    pub(crate) version: i64,
    /// Whether its subscription is about to be canceled at once.
    pub(crate) drain: Drain,
}

impl Standing {
    /// Whether it has a customer in Stripe, so that what it reports may be billed.
    pub(crate) fn is_linked(&self) -> bool {
        self.stripe_customer_id.is_some()
    }

    /// What is assumed of an organization that org-svc could not be asked about: it never replaces
    /// what is known.
    pub(crate) fn unknown(organization_id: Uuid) -> Self {
        Self {
            organization_id,
            status: SubscriptionStatus::Pending,
            deployment_type: None,
            stripe_customer_id: None,
            billing_start_at: None,
            billable: false,
            billing_end_at: None,
            trial_end_at: None,
            invoiced_until: None,
            version: UNKNOWN_VERSION,
            drain: Drain::None,
        }
    }

    /// Whether the invoice that a report of this moment would have been on is final. What is used in
    /// the trial goes on none.
    pub(crate) fn is_invoiced(&self, moment: DateTime<Utc>) -> bool {
        is_invoiced(self.invoiced_until, self.trial_end_at, moment)
    }
}

/// Whether a moment was invoiced for good, outside of the trial.
pub(crate) fn is_invoiced(
    invoiced_until: Option<DateTime<Utc>>,
    trial_end_at: Option<DateTime<Utc>>,
    moment: DateTime<Utc>,
) -> bool {
    invoiced_until.is_some_and(|until| moment < until)
        && trial_end_at.is_none_or(|trial_end| moment >= trial_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_statuses_match_both_ways() {
        for (status, word) in SubscriptionStatus::ALL {
            assert_eq!(status.as_str(), word);
            assert_eq!(SubscriptionStatus::parse(word), Some(status));
        }
        assert_eq!(SubscriptionStatus::parse("trialing"), None);
        assert_eq!(DeploymentType::parse(DeploymentType::UNASSIGNED), None);
    }
}
