//! The words of a link: what is deployed, what is paid for, how a subscription stands.

/// Where an instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DeploymentType {
    OnPremise,
    ManagedCloud,
}

impl DeploymentType {
    pub(crate) const ALL: [Self; 2] = [Self::OnPremise, Self::ManagedCloud];

    /// The word of the specification.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnPremise => "on-premise",
            Self::ManagedCloud => "managed-cloud",
        }
    }
}

/// What a customer pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PlanType {
    ManagedCloud,
    SelfHosted,
}

impl PlanType {
    pub(crate) const ALL: [Self; 2] = [Self::ManagedCloud, Self::SelfHosted];

    /// The word of the specification.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ManagedCloud => "managed-cloud",
            Self::SelfHosted => "self-hosted",
        }
    }
}

/// How a subscription stands with Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscriptionStatus {
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
    const ALL: [Self; 8] = [
        Self::Trial,
        Self::Active,
        Self::PastDue,
        Self::Unpaid,
        Self::Incomplete,
        Self::IncompleteExpired,
        Self::Paused,
        Self::Canceled,
    ];

    /// Reads Stripe's word. One that we do not know is `None`: to guess it could bill somebody, or
    /// stop billing.
    pub(crate) fn from_stripe(word: &str) -> Option<Self> {
        match word {
            "trialing" => Some(Self::Trial),
            "active" => Some(Self::Active),
            "past_due" => Some(Self::PastDue),
            "unpaid" => Some(Self::Unpaid),
            "incomplete" => Some(Self::Incomplete),
            "incomplete_expired" => Some(Self::IncompleteExpired),
            "paused" => Some(Self::Paused),
            "canceled" => Some(Self::Canceled),
            _ => None,
        }
    }

    /// The word of the specification: Stripe's, but for the trial.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
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

    /// Reads [`Self::as_str`] back.
    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether it is over for good.
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::IncompleteExpired | Self::Canceled => true,
            Self::Trial
            | Self::Active
            | Self::PastDue
            | Self::Unpaid
            | Self::Incomplete
            | Self::Paused => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_words_are_ours_but_for_the_trial_and_none_is_guessed() {
        assert_eq!(
            SubscriptionStatus::from_stripe("trialing"),
            Some(SubscriptionStatus::Trial)
        );
        assert_eq!(
            SubscriptionStatus::from_stripe("past_due"),
            Some(SubscriptionStatus::PastDue)
        );
        for unknown in ["", "trial", "ACTIVE", "frozen"] {
            assert_eq!(SubscriptionStatus::from_stripe(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn our_words_read_back() {
        for status in SubscriptionStatus::ALL {
            assert_eq!(SubscriptionStatus::read(status.as_str()), Some(status));
        }
        assert_eq!(SubscriptionStatus::read("trialing"), None);
    }
}
