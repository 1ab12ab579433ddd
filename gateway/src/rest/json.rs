//! Organizations and reports as the specification's JSON.

use serde::Serialize;
use uuid::Uuid;

use crate::domain::{
    organization::{LinkKind, LinkOperation, Organization, Summary, Trouble},
    time_text,
    usage_report::UsageReport,
    words,
};

/// An organization: a pending one has no Stripe fields yet.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum OrganizationJson {
    Pending(PendingJson),
    Linked(LinkedJson),
}

#[derive(Serialize)]
pub(super) struct PendingJson {
    id: Uuid,
    name: String,
    instance_url: Option<String>,
    subscription_status: &'static str,
    created_at: String,
    #[serde(flatten)]
    more: MoreJson,
}

#[derive(Serialize)]
pub(super) struct LinkedJson {
    id: Uuid,
    name: String,
    instance_url: Option<String>,
    stripe_customer_id: Option<String>,
    stripe_subscription_id: Option<String>,
    deployment_type: Option<&'static str>,
    plan_type: Option<&'static str>,
    subscription_status: &'static str,
    admin_email: Option<String>,
    created_at: String,
    trial_end: Option<String>,
    #[serde(flatten)]
    more: MoreJson,
}

/// What the specification's samples do not have.
#[derive(Serialize)]
struct MoreJson {
    user_count: Option<i64>,
    last_report_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_instance_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_operation: Option<LinkOperationJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_period_end: Option<String>,
}

impl From<Organization> for OrganizationJson {
    fn from(organization: Organization) -> Self {
        let is_linked = organization.is_linked();
        let Organization {
            id,
            name,
            instance_url,
            stripe_customer_id,
            stripe_subscription_id,
            deployment_type,
            plan_type,
            subscription_status,
            trial_end,
            admin_email,
            created_at,
            reported_name,
            reported_instance_url,
            billing_problem,
            link_operation,
            cancel_at,
            current_period_start: _,
            current_period_end,
            reporting,
        } = organization;
        let created_at = time_text::short(created_at);
        let more = MoreJson {
            user_count: reporting.map(|known| known.user_count),
            last_report_at: reporting.map(|known| time_text::short(known.last_report_at)),
            reported_name,
            reported_instance_url,
            billing_problem,
            link_operation: link_operation.map(Into::into),
            cancel_at: cancel_at.map(time_text::short),
            current_period_end: current_period_end.map(time_text::short),
        };
        if !is_linked {
            return Self::Pending(PendingJson {
                id,
                name,
                instance_url,
                subscription_status: words::status(subscription_status),
                created_at,
                more,
            });
        }
        Self::Linked(LinkedJson {
            id,
            name,
            instance_url,
            stripe_customer_id,
            stripe_subscription_id,
            deployment_type: words::deployment_type(deployment_type),
            plan_type: words::plan_type(plan_type),
            subscription_status: words::status(subscription_status),
            admin_email,
            created_at,
            trial_end: trial_end.map(time_text::short),
            more,
        })
    }
}

/// An organization in the answer to its link: exactly the specification's sample.
#[derive(Serialize)]
pub(super) struct JustLinkedJson {
    id: Uuid,
    name: String,
    stripe_customer_id: Option<String>,
    stripe_subscription_id: Option<String>,
    subscription_status: &'static str,
    trial_end: Option<String>,
}

impl From<Organization> for JustLinkedJson {
    fn from(organization: Organization) -> Self {
        Self {
            id: organization.id,
            name: organization.name,
            stripe_customer_id: organization.stripe_customer_id,
            stripe_subscription_id: organization.stripe_subscription_id,
            subscription_status: words::status(organization.subscription_status),
            trial_end: organization.trial_end.map(time_text::short),
        }
    }
}

#[derive(Serialize)]
pub(super) struct LinkOperationJson {
    id: Uuid,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_mode: Option<&'static str>,
    state: &'static str,
    created_at: String,
    error: Option<TroubleJson>,
}

impl From<LinkOperation> for LinkOperationJson {
    fn from(operation: LinkOperation) -> Self {
        let LinkOperation {
            id,
            kind,
            state,
            created_at,
            error,
        } = operation;
        Self {
            id,
            kind: kind.word(),
            cancel_mode: match kind {
                LinkKind::Link | LinkKind::Update => None,
                LinkKind::Cancel(mode) => words::cancel_mode(mode),
            },
            state: state.word(),
            created_at: time_text::short(created_at),
            error: error.map(Into::into),
        }
    }
}

#[derive(Serialize)]
pub(super) struct TroubleJson {
    code: String,
    message: String,
}

impl From<Trouble> for TroubleJson {
    fn from(Trouble { code, message }: Trouble) -> Self {
        Self { code, message }
    }
}

#[derive(Serialize)]
pub(super) struct SummaryJson {
    total: i64,
    linked: i64,
    pending: i64,
}

impl From<Summary> for SummaryJson {
    fn from(summary: Summary) -> Self {
        let Summary {
            total,
            linked,
            pending,
        } = summary;
        Self {
            total,
            linked,
            pending,
        }
    }
}

#[derive(Serialize)]
pub(super) struct UsageReportJson {
    id: Uuid,
    user_count: i64,
    deployment_type: &'static str,
    reported_at: String,
    received_at: Option<String>,
    delivery_state: &'static str,
    stripe_meter_event_id: Option<String>,
    error: Option<TroubleJson>,
}

impl From<UsageReport> for UsageReportJson {
    fn from(report: UsageReport) -> Self {
        let UsageReport {
            id,
            user_count,
            deployment_type,
            reported_at,
            received_at,
            delivery,
            stripe_meter_event_id,
            error,
        } = report;
        Self {
            id,
            user_count,
            // The word that the table has for a report of a pending organization.
            deployment_type: words::deployment_type(deployment_type).unwrap_or("unassigned"),
            reported_at: time_text::short(reported_at),
            received_at: received_at.map(time_text::short),
            delivery_state: delivery.word(),
            stripe_meter_event_id,
            error: error.map(Into::into),
        }
    }
}
