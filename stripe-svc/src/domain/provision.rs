//! What is asked for when an organization is linked, and what comes of it.

use chrono::{DateTime, Utc};

use crate::domain::{
    ids::{CustomerId, OperationId, OrganizationId},
    refusal::Refusal,
    terms::{DeploymentType, PlanType, SubscriptionStatus},
};

/// Stripe's longest trial, in days.
pub(crate) const TRIAL_DAYS_MAX: u32 = 730;
/// Stripe's longest customer name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 256;
/// Stripe's longest e-mail address, in characters.
pub(crate) const EMAIL_CHARS_MAX: usize = 512;

/// The length of a trial; zero days is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrialDays(u32);

impl TrialDays {
    /// No trial.
    pub(crate) const NONE: Self = Self(0);

    /// `None` outside of 0 to [`TRIAL_DAYS_MAX`].
    pub(crate) fn new(days: i32) -> Option<Self> {
        u32::try_from(days)
            .ok()
            .filter(|days| *days <= TRIAL_DAYS_MAX)
            .map(Self)
    }

    /// Its days, where there is a trial.
    pub(crate) fn days(self) -> Option<u32> {
        (self.0 > 0).then_some(self.0)
    }
}

/// A link to be made in Stripe.
#[derive(Debug, Clone)]
pub(crate) struct Provision {
    pub(crate) operation_id: OperationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) organization_name: String,
    /// As the admin gave it: whether it is a good one is Stripe's to say.
    pub(crate) admin_email: String,
    pub(crate) deployment_type: DeploymentType,
    pub(crate) plan_type: PlanType,
    pub(crate) trial_days: TrialDays,
    /// The customer to use in place of a new one.
    pub(crate) adopt: Option<CustomerId>,
}

/// What Stripe holds for an organization once it is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provisioned {
    pub(crate) customer_id: CustomerId,
    pub(crate) subscription_id: String,
    pub(crate) status: SubscriptionStatus,
    pub(crate) trial_end: Option<DateTime<Utc>>,
    pub(crate) start: DateTime<Utc>,
}

/// How a link ended. An outcome that is not known yet is an error instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProvisionOutcome {
    Provisioned(Provisioned),
    Refused(Refusal),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_zero_to_730_days() {
        for (days, expected) in [
            (-1, None),
            (0, Some(None)),
            (730, Some(Some(730))),
            (731, None),
        ] {
            assert_eq!(
                TrialDays::new(days).map(TrialDays::days),
                expected,
                "{days}"
            );
        }
    }
}
