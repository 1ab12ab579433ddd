//! A usage report as it is recorded, for the admin's eyes.

use billing_proto::common::v1::DeploymentType;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::organization::Trouble;

/// A recorded report.
#[derive(Debug, Clone)]
pub(crate) struct UsageReport {
    /// Its id.
    pub id: Uuid,
    /// Number of users (seats) reported.
    pub user_count: i64,
    /// The deployment type when it was recorded; unspecified while the organization was pending.
    pub deployment_type: DeploymentType,
    /// The moment that the count is of.
    pub reported_at: DateTime<Utc>,
    /// When it was taken in; `None` for history of an older database.
    pub received_at: Option<DateTime<Utc>>,
    /// Where it is on its way to Stripe.
    pub delivery: Delivery,
    /// The meter event's identifier, once Stripe has accepted it.
    pub stripe_meter_event_id: Option<String>,
    /// The last error on its way.
    pub error: Option<Trouble>,
    /// Whether it counts: it is neither held nor discarded.
    pub counts: bool,
    /// Whether it counts though its count is below half of the baseline.
    pub is_low: bool,
    /// The baseline that its count was compared with, where that was unusual.
    pub baseline: Option<i64>,
}

/// A report that Stripe refused, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct RefusedReport {
    /// The organization.
    pub organization_id: Uuid,
    /// What it is called; `None` where org-svc knows none of it.
    pub organization_name: Option<String>,
    /// The report.
    pub report: UsageReport,
}

/// Where a report is on its way to Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The organization cannot be billed now.
    Waiting,
    /// To be sent.
    Queued,
    /// Accepted by Stripe.
    Sent,
    /// A later report of the same UTC day counts instead.
    Superseded,
    /// Refused by Stripe.
    Refused,
    /// Kept and never billed.
    NotBilled,
    /// Too old for Stripe when it could have been sent.
    TooLate,
    /// Held until an admin releases or discards it.
    Held,
    /// Its period's invoice was final before it could be sent.
    MissedInvoice,
}

impl Delivery {
    /// Whether it is on its way to Stripe, or there.
    pub(crate) fn is_under_way(self) -> bool {
        match self {
            Self::Queued | Self::Sent => true,
            Self::Waiting
            | Self::Superseded
            | Self::Refused
            | Self::NotBilled
            | Self::TooLate
            | Self::Held
            | Self::MissedInvoice => false,
        }
    }
}
