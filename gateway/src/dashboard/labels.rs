//! How words stand out: the style of a status.

use billing_proto::common::v1::{DeliveryState, SubscriptionStatus};

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
        | SubscriptionStatus::Canceled => "idle",
    }
}

/// The style of a delivery.
pub(super) fn delivery_class(delivery: DeliveryState) -> &'static str {
    match delivery {
        DeliveryState::Waiting | DeliveryState::Queued => "wait",
        DeliveryState::Sent => "good",
        DeliveryState::Superseded | DeliveryState::NotBilled | DeliveryState::Unspecified => "idle",
        DeliveryState::Refused
        | DeliveryState::TooLate
        | DeliveryState::Held
        | DeliveryState::MissedInvoice => "bad",
    }
}
