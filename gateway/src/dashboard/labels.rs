//! The contract's words as people read them in a table.

use billing_proto::common::v1::{DeploymentType, PlanType, SubscriptionStatus};

use crate::domain::usage_report::Delivery;

/// What stands where nothing is known.
pub(super) const NOTHING: &str = "—";

/// How an organization stands.
pub(super) fn status(status: SubscriptionStatus) -> &'static str {
    match status {
        SubscriptionStatus::Unspecified => "Unknown",
        SubscriptionStatus::Pending => "Pending",
        SubscriptionStatus::Trial => "Trial",
        SubscriptionStatus::Active => "Active",
        SubscriptionStatus::PastDue => "Past due",
        SubscriptionStatus::Unpaid => "Unpaid",
        SubscriptionStatus::Incomplete => "Incomplete",
        SubscriptionStatus::IncompleteExpired => "Expired",
        SubscriptionStatus::Paused => "Paused",
        SubscriptionStatus::Canceled => "Canceled",
    }
}

/// The style of a status.
pub(super) fn status_class(status: SubscriptionStatus) -> &'static str {
    match status {
        SubscriptionStatus::Trial | SubscriptionStatus::Active => "good",
        SubscriptionStatus::Pending
        | SubscriptionStatus::Incomplete
        | SubscriptionStatus::Paused => "wait",
        SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid => "bad",
        SubscriptionStatus::Unspecified
        | SubscriptionStatus::IncompleteExpired
        | SubscriptionStatus::Canceled => "",
    }
}

/// A plan.
pub(super) fn plan(plan: PlanType) -> &'static str {
    match plan {
        PlanType::Unspecified => NOTHING,
        PlanType::ManagedCloud => "Managed",
        PlanType::SelfHosted => "Self-hosted",
    }
}

/// A deployment type.
pub(super) fn deployment(deployment: DeploymentType) -> &'static str {
    match deployment {
        DeploymentType::Unspecified => NOTHING,
        DeploymentType::OnPremise => "On-premise",
        DeploymentType::ManagedCloud => "Managed cloud",
    }
}

/// Where a report is on its way to Stripe, and its style.
pub(super) fn delivery(delivery: Delivery) -> (&'static str, &'static str) {
    match delivery {
        Delivery::Waiting => ("Waiting", "wait"),
        Delivery::Queued => ("Queued", "wait"),
        Delivery::Sent => ("Sent", "good"),
        Delivery::Superseded => ("Superseded", ""),
        Delivery::Refused => ("Refused", "bad"),
        Delivery::NotBilled => ("Not billed", ""),
        Delivery::TooLate => ("Too late", "bad"),
        Delivery::Held => ("Held", "bad"),
    }
}
