//! The words that the contracts and the domain share, from one to the other.

use billing_proto::common::v1 as proto;

use crate::domain::{
    change::CancelMode,
    organization::{DeploymentType, PauseBehavior, PlanType, SubscriptionStatus},
};

pub(crate) fn deployment_type(deployment: Option<DeploymentType>) -> proto::DeploymentType {
    match deployment {
        None => proto::DeploymentType::Unspecified,
        Some(DeploymentType::OnPremise) => proto::DeploymentType::OnPremise,
        Some(DeploymentType::ManagedCloud) => proto::DeploymentType::ManagedCloud,
    }
}

/// `None` where it is unspecified, or a word of a newer contract.
pub(crate) fn deployment_type_from(value: i32) -> Option<DeploymentType> {
    match proto::DeploymentType::try_from(value).ok()? {
        proto::DeploymentType::Unspecified => None,
        proto::DeploymentType::OnPremise => Some(DeploymentType::OnPremise),
        proto::DeploymentType::ManagedCloud => Some(DeploymentType::ManagedCloud),
    }
}

pub(crate) fn plan_type(plan: Option<PlanType>) -> proto::PlanType {
    match plan {
        None => proto::PlanType::Unspecified,
        Some(PlanType::ManagedCloud) => proto::PlanType::ManagedCloud,
        Some(PlanType::SelfHosted) => proto::PlanType::SelfHosted,
    }
}

/// `None` where it is unspecified, or a word of a newer contract.
pub(crate) fn plan_type_from(value: i32) -> Option<PlanType> {
    match proto::PlanType::try_from(value).ok()? {
        proto::PlanType::Unspecified => None,
        proto::PlanType::ManagedCloud => Some(PlanType::ManagedCloud),
        proto::PlanType::SelfHosted => Some(PlanType::SelfHosted),
    }
}

pub(crate) fn cancel_mode(mode: Option<CancelMode>) -> proto::CancelMode {
    match mode {
        None => proto::CancelMode::Unspecified,
        Some(CancelMode::AtPeriodEnd) => proto::CancelMode::AtPeriodEnd,
        Some(CancelMode::Now) => proto::CancelMode::Now,
    }
}

/// `None` where it is unspecified, or a word of a newer contract.
pub(crate) fn cancel_mode_from(value: i32) -> Option<CancelMode> {
    match proto::CancelMode::try_from(value).ok()? {
        proto::CancelMode::Unspecified => None,
        proto::CancelMode::AtPeriodEnd => Some(CancelMode::AtPeriodEnd),
        proto::CancelMode::Now => Some(CancelMode::Now),
    }
}

pub(crate) fn pause_behavior(behavior: PauseBehavior) -> proto::CollectionPauseBehavior {
    match behavior {
        PauseBehavior::Void => proto::CollectionPauseBehavior::Void,
        PauseBehavior::KeepAsDraft => proto::CollectionPauseBehavior::KeepAsDraft,
        PauseBehavior::MarkUncollectible => proto::CollectionPauseBehavior::MarkUncollectible,
    }
}

/// `None` where it is unspecified, or a word of a newer contract.
pub(crate) fn pause_behavior_from(value: i32) -> Option<PauseBehavior> {
    match proto::CollectionPauseBehavior::try_from(value).ok()? {
        proto::CollectionPauseBehavior::Unspecified => None,
        proto::CollectionPauseBehavior::Void => Some(PauseBehavior::Void),
        proto::CollectionPauseBehavior::KeepAsDraft => Some(PauseBehavior::KeepAsDraft),
        proto::CollectionPauseBehavior::MarkUncollectible => Some(PauseBehavior::MarkUncollectible),
    }
}

pub(crate) fn subscription_status(status: SubscriptionStatus) -> proto::SubscriptionStatus {
    match status {
        SubscriptionStatus::Pending => proto::SubscriptionStatus::Pending,
        SubscriptionStatus::Trial => proto::SubscriptionStatus::Trial,
        SubscriptionStatus::Active => proto::SubscriptionStatus::Active,
        SubscriptionStatus::PastDue => proto::SubscriptionStatus::PastDue,
        SubscriptionStatus::Unpaid => proto::SubscriptionStatus::Unpaid,
        SubscriptionStatus::Incomplete => proto::SubscriptionStatus::Incomplete,
        SubscriptionStatus::IncompleteExpired => proto::SubscriptionStatus::IncompleteExpired,
        SubscriptionStatus::Paused => proto::SubscriptionStatus::Paused,
        SubscriptionStatus::Canceled => proto::SubscriptionStatus::Canceled,
    }
}

/// `None` where it is unspecified, or a word of a newer contract.
pub(crate) fn subscription_status_from(value: i32) -> Option<SubscriptionStatus> {
    match proto::SubscriptionStatus::try_from(value).ok()? {
        proto::SubscriptionStatus::Unspecified => None,
        proto::SubscriptionStatus::Pending => Some(SubscriptionStatus::Pending),
        proto::SubscriptionStatus::Trial => Some(SubscriptionStatus::Trial),
        proto::SubscriptionStatus::Active => Some(SubscriptionStatus::Active),
        proto::SubscriptionStatus::PastDue => Some(SubscriptionStatus::PastDue),
        proto::SubscriptionStatus::Unpaid => Some(SubscriptionStatus::Unpaid),
        proto::SubscriptionStatus::Incomplete => Some(SubscriptionStatus::Incomplete),
        proto::SubscriptionStatus::IncompleteExpired => Some(SubscriptionStatus::IncompleteExpired),
        proto::SubscriptionStatus::Paused => Some(SubscriptionStatus::Paused),
        proto::SubscriptionStatus::Canceled => Some(SubscriptionStatus::Canceled),
    }
}
