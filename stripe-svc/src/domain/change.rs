//! What is asked for of a subscription that is there, and what comes of it.

use crate::domain::{
    ids::{CustomerId, OperationId, OrganizationId, SubscriptionId},
    refusal::Refusal,
    subscription::SubscriptionState,
    terms::{DeploymentType, PlanType},
};

/// Whose change it is, and of what.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) operation_id: OperationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) subscription_id: SubscriptionId,
}

/// Other terms for a subscription. What is `None` is not touched.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) target: Target,
    pub(crate) customer_id: CustomerId,
    /// As the admin gave it: whether it is a good one is Stripe's to say.
    pub(crate) admin_email: Option<String>,
    pub(crate) price: Option<PriceTerms>,
}

/// What picks a price.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PriceTerms {
    pub(crate) deployment_type: DeploymentType,
    pub(crate) plan_type: PlanType,
}

/// When a subscription is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelMode {
    AtPeriodEnd,
    /// At once, with an invoice for what was used and not billed yet.
    Now,
}

/// The end of a subscription.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    pub(crate) target: Target,
    pub(crate) mode: CancelMode,
}

/// How a change ended. An outcome that is not known yet is an error instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeOutcome {
    /// It was made; this is the subscription as it stands since.
    Changed(Box<SubscriptionState>),
    Refused(Refusal),
}
