//! The contract's enums as the words of REST, the database and the dashboard, and back.

use billing_proto::common::v1::{
    CancelMode, CollectionPauseBehavior, DeploymentType, LinkOperationKind, LinkOperationState,
    PlanType, ReportingState, SubscriptionStatus,
};

/// A text of the contract, where it is not empty.
pub(crate) fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The word of an enum's value by its name in the contract; `None` for what is not specified.
pub(crate) fn by_name(name: &str, prefix: &str) -> Option<String> {
    let word = name.strip_prefix(prefix)?.to_ascii_lowercase();
    (word != "unspecified").then_some(word)
}

/// The word of whether an instance reports as it should.
pub(crate) fn reporting_state(state: ReportingState) -> Option<String> {
    by_name(state.as_str_name(), "REPORTING_STATE_")
}

/// The word of where a link operation is.
pub(crate) fn link_state(state: LinkOperationState) -> Option<String> {
    by_name(state.as_str_name(), "LINK_OPERATION_STATE_")
}

/// The word of what is done to a link.
pub(crate) fn link_kind(kind: LinkOperationKind) -> Option<String> {
    by_name(kind.as_str_name(), "LINK_OPERATION_KIND_")
}

/// The deployment types, for a message.
pub(crate) const DEPLOYMENT_TYPES: &str = "on-premise, managed-cloud";
/// The plans, for a message.
pub(crate) const PLAN_TYPES: &str = "managed-cloud, self-hosted";
/// When a subscription that is canceled may end, for a message.
pub(crate) const CANCEL_MODES: &str = "at_period_end, now";

/// Every status that has a word.
pub(crate) const STATUSES: [SubscriptionStatus; 9] = [
    SubscriptionStatus::Pending,
    SubscriptionStatus::Trial,
    SubscriptionStatus::Active,
    SubscriptionStatus::PastDue,
    SubscriptionStatus::Unpaid,
    SubscriptionStatus::Incomplete,
    SubscriptionStatus::IncompleteExpired,
    SubscriptionStatus::Paused,
    SubscriptionStatus::Canceled,
];

/// The word of a deployment type; `None` while it is not known.
pub(crate) fn deployment_type(value: DeploymentType) -> Option<&'static str> {
    match value {
        DeploymentType::Unspecified => None,
        DeploymentType::OnPremise => Some("on-premise"),
        DeploymentType::ManagedCloud => Some("managed-cloud"),
    }
}

/// The deployment type of a word.
pub(crate) fn parse_deployment_type(word: &str) -> Option<DeploymentType> {
    [DeploymentType::OnPremise, DeploymentType::ManagedCloud]
        .into_iter()
        .find(|value| deployment_type(*value) == Some(word))
}

/// The word of a plan; `None` while it is not known.
pub(crate) fn plan_type(value: PlanType) -> Option<&'static str> {
    match value {
        PlanType::Unspecified => None,
        PlanType::ManagedCloud => Some("managed-cloud"),
        PlanType::SelfHosted => Some("self-hosted"),
    }
}

/// The plan of a word.
pub(crate) fn parse_plan_type(word: &str) -> Option<PlanType> {
    [PlanType::ManagedCloud, PlanType::SelfHosted]
        .into_iter()
        .find(|value| plan_type(*value) == Some(word))
}

/// The word of when a canceled subscription ends; `None` while it is not known.
pub(crate) fn cancel_mode(value: CancelMode) -> Option<&'static str> {
    match value {
        CancelMode::Unspecified => None,
        CancelMode::AtPeriodEnd => Some("at_period_end"),
        CancelMode::Now => Some("now"),
    }
}

/// The word of what Stripe does with the invoices of a pause; `unknown` is one that a newer service
/// knows.
pub(crate) fn collection_pause(value: CollectionPauseBehavior) -> &'static str {
    match value {
        CollectionPauseBehavior::Unspecified => "unknown",
        CollectionPauseBehavior::Void => "void",
        CollectionPauseBehavior::KeepAsDraft => "keep_as_draft",
        CollectionPauseBehavior::MarkUncollectible => "mark_uncollectible",
    }
}

/// When a canceled subscription ends, by its word.
pub(crate) fn parse_cancel_mode(word: &str) -> Option<CancelMode> {
    [CancelMode::AtPeriodEnd, CancelMode::Now]
        .into_iter()
        .find(|value| cancel_mode(*value) == Some(word))
}

/// The word of a status. `unknown` is one that a newer service knows and this gateway does not.
pub(crate) fn status(value: SubscriptionStatus) -> &'static str {
    match value {
        SubscriptionStatus::Unspecified => "unknown",
        SubscriptionStatus::Pending => "pending",
        SubscriptionStatus::Trial => "trial",
        SubscriptionStatus::Active => "active",
        SubscriptionStatus::PastDue => "past_due",
        SubscriptionStatus::Unpaid => "unpaid",
        SubscriptionStatus::Incomplete => "incomplete",
        SubscriptionStatus::IncompleteExpired => "incomplete_expired",
        SubscriptionStatus::Paused => "paused",
        SubscriptionStatus::Canceled => "canceled",
    }
}

/// The status of a word.
pub(crate) fn parse_status(word: &str) -> Option<SubscriptionStatus> {
    STATUSES.into_iter().find(|value| status(*value) == word)
}

/// The statuses, for a message.
pub(crate) fn statuses() -> String {
    STATUSES.map(status).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for value in STATUSES {
            assert_eq!(parse_status(status(value)), Some(value));
        }
        for word in DEPLOYMENT_TYPES.split(", ") {
            assert_eq!(
                parse_deployment_type(word).and_then(deployment_type),
                Some(word)
            );
        }
        for word in PLAN_TYPES.split(", ") {
            assert_eq!(parse_plan_type(word).and_then(plan_type), Some(word));
        }
        for word in CANCEL_MODES.split(", ") {
            assert_eq!(parse_cancel_mode(word).and_then(cancel_mode), Some(word));
        }
        for word in ["", "unknown", "Trial", "trialing"] {
            assert_eq!(parse_status(word), None, "{word}");
        }
    }
}
