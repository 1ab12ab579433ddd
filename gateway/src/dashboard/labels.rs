//! How words stand out: the style of a status.

use billing_proto::common::v1::SubscriptionStatus;

use crate::domain::usage_report::Delivery;

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
pub(super) fn delivery_class(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Waiting | Delivery::Queued => "wait",
        Delivery::Sent => "good",
        Delivery::Superseded | Delivery::NotBilled => "idle",
        Delivery::Refused | Delivery::TooLate | Delivery::Held | Delivery::MissedInvoice => "bad",
    }
}
