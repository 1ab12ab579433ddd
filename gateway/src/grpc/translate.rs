//! What an admin sees as messages of `billing.admin.v1`.

use billing_kit::proto_time;
use billing_proto::{
    admin::v1 as admin,
    common::v1::{self as common, CancelMode, LinkOperationKind, LinkOperationState},
};

use crate::domain::{
    organization::{
        CollectionPause, LinkKind, LinkOperation, LinkState, Organization, Summary, Trouble,
    },
    organization_filter::OrganizationOrder,
    reporting::{ReportingState, Watch},
};

pub(super) fn order(order: common::OrganizationOrder) -> OrganizationOrder {
    match order {
        common::OrganizationOrder::Unspecified => OrganizationOrder::NewestFirst,
        common::OrganizationOrder::OldestFirst => OrganizationOrder::OldestFirst,
        common::OrganizationOrder::Name => OrganizationOrder::Name,
        common::OrganizationOrder::NameDescending => OrganizationOrder::NameDescending,
        common::OrganizationOrder::Status => OrganizationOrder::Status,
    }
}

pub(crate) fn summary(summary: Summary) -> admin::OrganizationsSummary {
    let Summary {
        total,
        linked,
        pending,
        ignored,
        // The service's contract has the sums alone.
        by_status: _,
        collection_paused,
        counted_at,
    } = summary;
    admin::OrganizationsSummary {
        total_count: total,
        linked_count: linked,
        pending_count: pending,
        count_time: Some(proto_time::to_proto(counted_at)),
        collection_paused_count: collection_paused,
        ignored_count: ignored,
    }
}

pub(crate) fn organization(organization: Organization) -> admin::Organization {
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
        collection_pause,
        reporting,
        watch: Watch {
            state,
            due_at,
            held_count,
        },
        source_network,
        ignored_at,
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
        collection_pause: collection_pause.map(pause),
        reporting_state: state_to_wire(state).into(),
        report_due_time: due_at.map(proto_time::to_proto),
        held_report_count: held_count,
        source_network: source_network.unwrap_or_default(),
        ignore_time: ignored_at.map(proto_time::to_proto),
    }
}

fn pause(pause: CollectionPause) -> common::CollectionPause {
    let CollectionPause {
        behavior,
        since,
        resumes_at,
    } = pause;
    common::CollectionPause {
        behavior: behavior.into(),
        first_seen_time: Some(proto_time::to_proto(since)),
        resume_time: resumes_at.map(proto_time::to_proto),
    }
}

pub(crate) fn link_operation(operation: LinkOperation) -> admin::LinkOperation {
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

/// The state that a list is asked for; none for all.
pub(super) fn reporting_state(state: common::ReportingState) -> Option<ReportingState> {
    match state {
        common::ReportingState::Unspecified => None,
        common::ReportingState::OnTime => Some(ReportingState::OnTime),
        common::ReportingState::Late => Some(ReportingState::Late),
        common::ReportingState::Silent => Some(ReportingState::Silent),
    }
}

fn state_to_wire(state: Option<ReportingState>) -> common::ReportingState {
    match state {
        None => common::ReportingState::Unspecified,
        Some(ReportingState::OnTime) => common::ReportingState::OnTime,
        Some(ReportingState::Late) => common::ReportingState::Late,
        Some(ReportingState::Silent) => common::ReportingState::Silent,
    }
}

pub(super) fn to_wire(error: Option<Trouble>) -> (String, String) {
    error.map_or_else(Default::default, |Trouble { code, message }| {
        (code, message)
    })
}
