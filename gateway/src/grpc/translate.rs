//! What an admin sees as messages of `billing.admin.v1`.

use billing_kit::{Fault, Violation, proto_time};
use billing_proto::{
    admin::v1::{self as admin, DeliveryState, LinkFilter, LinkOperationKind, LinkOperationState},
    common::v1::{self as common, CancelMode},
    org::v1 as org,
};

use crate::app::FindingsPage;
use crate::domain::{
    organization::{
        CollectionPause, LinkKind, LinkOperation, LinkState, Organization, Summary, Trouble,
    },
    organization_filter::OrganizationOrder,
    pending::PendingGroup,
    reconciliation::{Dismissal, Finding, FindingKind, Reconciliation},
    reporting::{
        GroupDecision, HeldGroup, HeldReport, HoldDecision, HoldReason, ReportingState,
        ReportingSummary, UsageDay, Watch,
    },
    signing_key::{SigningKey, SigningKeys},
    usage_report::{Delivery, RefusedReport, UsageReport},
};

pub(super) fn link_filter(filter: LinkFilter) -> org::LinkFilter {
    match filter {
        LinkFilter::Unspecified => org::LinkFilter::Unspecified,
        LinkFilter::Pending => org::LinkFilter::Pending,
        LinkFilter::Linked => org::LinkFilter::Linked,
        LinkFilter::Ignored => org::LinkFilter::Ignored,
    }
}

pub(super) fn order(order: admin::OrganizationOrder) -> OrganizationOrder {
    match order {
        admin::OrganizationOrder::Unspecified => OrganizationOrder::NewestFirst,
        admin::OrganizationOrder::OldestFirst => OrganizationOrder::OldestFirst,
        admin::OrganizationOrder::Name => OrganizationOrder::Name,
        admin::OrganizationOrder::NameDescending => OrganizationOrder::NameDescending,
        admin::OrganizationOrder::Status => OrganizationOrder::Status,
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

pub(super) fn pending_group(group: PendingGroup) -> admin::PendingGroup {
    let PendingGroup {
        source_network,
        organization_count,
        first_created_at,
        last_created_at,
    } = group;
    admin::PendingGroup {
        source_network,
        organization_count,
        first_create_time: Some(proto_time::to_proto(first_created_at)),
        last_create_time: Some(proto_time::to_proto(last_created_at)),
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

pub(super) fn refused_report(refused: RefusedReport) -> admin::RefusedReport {
    let RefusedReport {
        organization_id,
        organization_name,
        report,
    } = refused;
    admin::RefusedReport {
        report: Some(usage_report(report)),
        organization_id: organization_id.to_string(),
        organization_name: organization_name.unwrap_or_default(),
    }
}

pub(super) fn signing_keys(keys: SigningKeys) -> admin::SigningKeys {
    let SigningKeys {
        keys,
        awaited_fingerprint,
        pinned_at,
    } = keys;
    let key = |key: SigningKey| {
        let SigningKey {
            fingerprint,
            first_seen_at,
            last_seen_at,
            day_count,
            is_pinned,
        } = key;
        admin::SigningKey {
            fingerprint,
            first_see_time: Some(proto_time::to_proto(first_seen_at)),
            last_see_time: Some(proto_time::to_proto(last_seen_at)),
            day_count,
            pinned: is_pinned,
        }
    };
    admin::SigningKeys {
        keys: keys.into_iter().map(key).collect(),
        awaited_fingerprint: awaited_fingerprint.unwrap_or_default(),
        pin_time: pinned_at.map(proto_time::to_proto),
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
        counts,
        is_low,
        baseline,
    } = report;
    let delivery_state = match delivery {
        Delivery::Waiting => DeliveryState::Waiting,
        Delivery::Queued => DeliveryState::Queued,
        Delivery::Sent => DeliveryState::Sent,
        Delivery::Superseded => DeliveryState::Superseded,
        Delivery::Refused => DeliveryState::Refused,
        Delivery::NotBilled => DeliveryState::NotBilled,
        Delivery::TooLate => DeliveryState::TooLate,
        Delivery::Held => DeliveryState::Held,
        Delivery::MissedInvoice => DeliveryState::MissedInvoice,
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
        counts,
        count_low: is_low,
        baseline_user_count: baseline,
    }
}

/// The state that a list is asked for; none for all.
pub(super) fn reporting_state(state: admin::ReportingState) -> Option<ReportingState> {
    match state {
        admin::ReportingState::Unspecified => None,
        admin::ReportingState::OnTime => Some(ReportingState::OnTime),
        admin::ReportingState::Late => Some(ReportingState::Late),
        admin::ReportingState::Silent => Some(ReportingState::Silent),
    }
}

fn state_to_wire(state: Option<ReportingState>) -> admin::ReportingState {
    match state {
        None => admin::ReportingState::Unspecified,
        Some(ReportingState::OnTime) => admin::ReportingState::OnTime,
        Some(ReportingState::Late) => admin::ReportingState::Late,
        Some(ReportingState::Silent) => admin::ReportingState::Silent,
    }
}

pub(super) fn reporting_summary(summary: ReportingSummary) -> admin::GetReportingSummaryResponse {
    let ReportingSummary {
        user_count,
        counted_at,
        days,
        late_count,
        silent_count,
        held_report_count,
        held_organization_count,
        urgent_held_report_count,
        unsigned_organization_count,
        refused_report_count,
        queued_report_count,
        oldest_queued_age,
    } = summary;
    admin::GetReportingSummaryResponse {
        user_count,
        count_time: counted_at.map(proto_time::to_proto),
        days: days.into_iter().map(usage_day).collect(),
        late_count,
        silent_count,
        held_report_count,
        held_organization_count,
        unsigned_organization_count,
        urgent_held_report_count,
        refused_report_count,
        queued_report_count,
        oldest_queued_age: oldest_queued_age.map(proto_time::duration_to_proto),
    }
}

fn usage_day(day: UsageDay) -> admin::UsageDay {
    let UsageDay {
        start,
        user_count,
        organization_count,
    } = day;
    admin::UsageDay {
        day_start_time: Some(proto_time::to_proto(start)),
        user_count,
        organization_count,
    }
}

fn hold_reason(reason: HoldReason) -> admin::HoldReason {
    match reason {
        HoldReason::CountJump => admin::HoldReason::CountJump,
        HoldReason::OtherUrl => admin::HoldReason::OtherUrl,
        HoldReason::CountDrop => admin::HoldReason::CountDrop,
        HoldReason::NewNetwork => admin::HoldReason::NewNetwork,
        HoldReason::Unsigned => admin::HoldReason::Unsigned,
        HoldReason::OtherKey => admin::HoldReason::OtherKey,
    }
}

pub(super) fn held_group(group: HeldGroup) -> admin::HeldGroup {
    let HeldGroup {
        reason,
        cause,
        report_count,
        organization_count,
        last_received_at,
        example,
        example_name,
    } = group;
    admin::HeldGroup {
        reason: hold_reason(reason).into(),
        cause,
        report_count,
        organization_count,
        last_receive_time: Some(proto_time::to_proto(last_received_at)),
        example_organization_id: example.to_string(),
        example_organization_name: example_name.unwrap_or_default(),
    }
}

/// A decision on a group, or every field that it lacks.
pub(super) fn group_decision(
    request: admin::DecideHeldGroupRequest,
) -> Result<GroupDecision, Fault> {
    let reason = match request.reason() {
        admin::HoldReason::Unspecified => None,
        admin::HoldReason::CountJump => Some(HoldReason::CountJump),
        admin::HoldReason::OtherUrl => Some(HoldReason::OtherUrl),
        admin::HoldReason::CountDrop => Some(HoldReason::CountDrop),
        admin::HoldReason::NewNetwork => Some(HoldReason::NewNetwork),
        admin::HoldReason::Unsigned => Some(HoldReason::Unsigned),
        admin::HoldReason::OtherKey => Some(HoldReason::OtherKey),
    };
    let decision = match request.decision() {
        admin::HoldDecision::Unspecified => None,
        admin::HoldDecision::Release => Some(HoldDecision::Release),
        admin::HoldDecision::Discard => Some(HoldDecision::Discard),
    };
    let until = request
        .received_until_time
        .as_ref()
        .and_then(proto_time::from_proto);
    match (reason, decision, until) {
        (Some(reason), Some(decision), Some(received_until)) => Ok(GroupDecision {
            reason,
            cause: request.cause,
            decision,
            received_until,
        }),
        _ => {
            let lacking = [
                ("reason", reason.is_none()),
                ("decision", decision.is_none()),
                ("received_until_time", until.is_none()),
            ];
            let violations = lacking.into_iter().filter(|(_, is_missing)| *is_missing);
            let violations = violations.map(|(field, _)| Violation::new(field, "It is missing."));
            Err(Fault::invalid(violations.collect()))
        }
    }
}

pub(super) fn held_report(report: HeldReport) -> admin::HeldReport {
    let HeldReport {
        id,
        organization_id,
        organization_name,
        user_count,
        instance_url,
        reported_at,
        received_at,
        reason,
        message,
        baseline_user_count,
        baseline_instance_url,
        limit_user_count,
        deadline,
    } = report;
    let reason = hold_reason(reason);
    admin::HeldReport {
        id: id.to_string(),
        organization_id: organization_id.to_string(),
        organization_name: organization_name.unwrap_or_default(),
        user_count,
        instance_url,
        report_time: Some(proto_time::to_proto(reported_at)),
        receive_time: Some(proto_time::to_proto(received_at)),
        reason: reason.into(),
        message,
        baseline_user_count,
        baseline_instance_url: baseline_instance_url.unwrap_or_default(),
        limit_user_count: limit_user_count.unwrap_or_default(),
        hold_deadline_time: deadline.map(proto_time::to_proto),
    }
}

pub(super) fn to_wire(error: Option<Trouble>) -> (String, String) {
    error.map_or_else(Default::default, |Trouble { code, message }| {
        (code, message)
    })
}

pub(super) fn reconciliation(
    stands: Reconciliation,
    page: FindingsPage,
) -> admin::GetReconciliationResponse {
    let Reconciliation {
        last_full_pass_at,
        skipped_count,
        pass_started_at,
        open_finding_count,
    } = stands;
    let FindingsPage {
        findings,
        next_page_token,
    } = page;
    admin::GetReconciliationResponse {
        last_full_pass_time: last_full_pass_at.map(proto_time::to_proto),
        skipped_count,
        pass_start_time: pass_started_at.map(proto_time::to_proto),
        open_finding_count,
        findings: findings.into_iter().map(finding).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    }
}

pub(super) fn finding(finding: Finding) -> admin::Finding {
    let Finding {
        id,
        organization_id,
        kind,
        day_start,
        period_start,
        period_end,
        stripe_invoice_id,
        expected,
        found,
        resend_count,
        first_seen_at,
        last_seen_at,
        resolved_at,
        dismissal,
    } = finding;
    let kind = match kind {
        FindingKind::MeterDay => admin::FindingKind::MeterDay,
        FindingKind::MissedInvoice => admin::FindingKind::MissedInvoice,
        FindingKind::Invoice => admin::FindingKind::Invoice,
    };
    let dismissal = dismissal.map(|Dismissal { at, by, reason }| admin::Dismissal {
        dismiss_time: Some(proto_time::to_proto(at)),
        admin_email: by,
        reason,
    });
    admin::Finding {
        id: id.to_string(),
        organization_id: organization_id.to_string(),
        kind: kind.into(),
        day_start_time: Some(proto_time::to_proto(day_start)),
        period_start_time: Some(proto_time::to_proto(period_start)),
        period_end_time: Some(proto_time::to_proto(period_end)),
        stripe_invoice_id: stripe_invoice_id.unwrap_or_default(),
        expected_count: expected,
        found_value: found,
        resend_count,
        first_see_time: Some(proto_time::to_proto(first_seen_at)),
        last_see_time: Some(proto_time::to_proto(last_seen_at)),
        resolve_time: resolved_at.map(proto_time::to_proto),
        dismissal,
    }
}
