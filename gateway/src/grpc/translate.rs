//! What an admin sees as messages of `billing.admin.v1`.

use billing_kit::proto_time;
use billing_proto::{
    admin::v1::{self as admin, DeliveryState, LinkFilter, LinkOperationKind, LinkOperationState},
    common::v1::CancelMode,
    org::v1 as org,
};

use crate::domain::{
    organization::{LinkKind, LinkOperation, LinkState, Organization, Summary, Trouble},
    usage_report::{Delivery, UsageReport},
};

pub(super) fn link_filter(filter: LinkFilter) -> org::LinkFilter {
    match filter {
        LinkFilter::Unspecified => org::LinkFilter::Unspecified,
        LinkFilter::Pending => org::LinkFilter::Pending,
        LinkFilter::Linked => org::LinkFilter::Linked,
    }
}

pub(super) fn summary(summary: Summary) -> admin::OrganizationsSummary {
    let Summary {
        total,
        linked,
        pending,
    } = summary;
    admin::OrganizationsSummary {
        total_count: total,
        linked_count: linked,
        pending_count: pending,
    }
}

pub(super) fn organization(organization: Organization) -> admin::Organization {
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
        link_operation: operation,
        cancel_at,
        current_period_start,
        current_period_end,
        reporting,
    } = organization;
    admin::Organization {
        id: id.to_string(),
        name,
        instance_url: instance_url.unwrap_or_default(),
        stripe_customer_id: stripe_customer_id.unwrap_or_default(),
        stripe_subscription_id: stripe_subscription_id.unwrap_or_default(),
        deployment_type: deployment_type.into(),
        plan_type: plan_type.into(),
        subscription_status: subscription_status.into(),
        trial_end_time: trial_end.map(proto_time::to_proto),
        admin_email: admin_email.unwrap_or_default(),
        create_time: Some(proto_time::to_proto(created_at)),
        user_count: reporting.map(|known| known.user_count),
        last_report_time: reporting.map(|known| proto_time::to_proto(known.last_report_at)),
        reported_name: reported_name.unwrap_or_default(),
        reported_instance_url: reported_instance_url.unwrap_or_default(),
        billing_problem: billing_problem.unwrap_or_default(),
        link_operation: operation.map(link_operation),
        cancel_time: cancel_at.map(proto_time::to_proto),
        current_period_start_time: current_period_start.map(proto_time::to_proto),
        current_period_end_time: current_period_end.map(proto_time::to_proto),
    }
}

pub(super) fn link_operation(operation: LinkOperation) -> admin::LinkOperation {
    let LinkOperation {
        id,
        kind,
        state,
        created_at,
        error,
    } = operation;
    let state = match state {
        LinkState::Running => LinkOperationState::Running,
        LinkState::Succeeded => LinkOperationState::Succeeded,
        LinkState::Refused => LinkOperationState::Refused,
    };
    let (kind, cancel_mode) = match kind {
        LinkKind::Link => (LinkOperationKind::Link, CancelMode::Unspecified),
        LinkKind::Update => (LinkOperationKind::Update, CancelMode::Unspecified),
        LinkKind::Cancel(mode) => (LinkOperationKind::Cancel, mode),
    };
    let (error_code, error_message) = to_wire(error);
    admin::LinkOperation {
        id: id.to_string(),
        state: state.into(),
        create_time: Some(proto_time::to_proto(created_at)),
        error_code,
        error_message,
        kind: kind.into(),
        cancel_mode: cancel_mode.into(),
    }
}

pub(super) fn usage_report(report: UsageReport) -> admin::UsageReport {
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
    let delivery_state = match delivery {
        Delivery::Waiting => DeliveryState::Waiting,
        Delivery::Queued => DeliveryState::Queued,
        Delivery::Sent => DeliveryState::Sent,
        Delivery::Superseded => DeliveryState::Superseded,
        Delivery::Refused => DeliveryState::Refused,
        Delivery::NotBilled => DeliveryState::NotBilled,
        Delivery::TooLate => DeliveryState::TooLate,
    };
    let (error_code, error_message) = to_wire(error);
    admin::UsageReport {
        id: id.to_string(),
        user_count,
        deployment_type: deployment_type.into(),
        report_time: Some(proto_time::to_proto(reported_at)),
        receive_time: received_at.map(proto_time::to_proto),
        delivery_state: delivery_state.into(),
        stripe_meter_event_id: stripe_meter_event_id.unwrap_or_default(),
        error_code,
        error_message,
    }
}

fn to_wire(error: Option<Trouble>) -> (String, String) {
    error.map_or_else(Default::default, |Trouble { code, message }| {
        (code, message)
    })
}
