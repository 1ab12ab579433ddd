//! The services' messages as what they mean to an admin.
//!
//! A message that lacks what its contract promises is a fault of ours, and named in the log.

use billing_kit::{Fault, proto_time};
use billing_proto::{
    common::v1 as common, ingest::v1 as ingest, org::v1 as org, stripe::v1 as stripe,
};
use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use uuid::Uuid;

use super::{Session, User, list_organizations::Known};
use crate::domain::{
    organization::{
        CollectionPause, LinkKind, LinkOperation, LinkState, Organization, Reporting, Summary,
        Trouble,
    },
    pending::PendingGroup,
    reconciliation::{Dismissal, Finding, FindingKind, Reconciliation},
    reporting::{
        HeldGroup, HeldReport, HoldReason, ReportingState, ReportingSummary, UsageDay, Watch,
    },
    session_cookie::SessionToken,
    signing_key::{SigningKey, SigningKeys},
    usage_report::{Delivery, UsageReport},
    webhook_event::{MeterError, WebhookEvent, state_word},
};

pub(super) fn organization(message: org::Organization) -> Result<Organization, Fault> {
    let deployment_type = message.deployment_type();
    let plan_type = message.plan_type();
    let subscription_status = message.subscription_status();
    let org::Organization {
        id: organization_id,
        name,
        instance_url,
        stripe_customer_id,
        stripe_subscription_id,
        deployment_type: _,
        plan_type: _,
        subscription_status: _,
        trial_end_time,
        admin_email,
        create_time,
        // What an admin does not look at.
        update_time: _,
        billing_start_time: _,
        reported_name,
        reported_instance_url,
        billing_problem,
        link_operation: operation,
        cancel_time,
        current_period_start_time,
        current_period_end_time,
        collection_pause,
        source_network,
        ignore_time,
    } = message;
    Ok(Organization {
        id: id(&organization_id)?,
        name,
        instance_url: filled(instance_url),
        stripe_customer_id: filled(stripe_customer_id),
        stripe_subscription_id: filled(stripe_subscription_id),
        deployment_type,
        plan_type,
        subscription_status,
        trial_end: optional_time(trial_end_time),
        admin_email: filled(admin_email),
        created_at: time(create_time, "create_time")?,
        reported_name: filled(reported_name),
        reported_instance_url: filled(reported_instance_url),
        billing_problem: filled(billing_problem),
        link_operation: operation.map(link_operation).transpose()?,
        cancel_at: optional_time(cancel_time),
        current_period_start: optional_time(current_period_start_time),
        current_period_end: optional_time(current_period_end_time),
        collection_pause: collection_pause.map(pause).transpose()?,
        reporting: None,
        watch: Watch::default(),
        source_network: filled(source_network),
        ignored_at: optional_time(ignore_time),
    })
}

fn pause(message: common::CollectionPause) -> Result<CollectionPause, Fault> {
    let behavior = message.behavior();
    let common::CollectionPause {
        behavior: _,
        first_seen_time,
        resume_time,
    } = message;
    Ok(CollectionPause {
        behavior,
        since: time(first_seen_time, "first_seen_time")?,
        resumes_at: optional_time(resume_time),
    })
}

pub(super) fn summary(message: org::CountOrganizationsResponse) -> Result<Summary, Fault> {
    let org::CountOrganizationsResponse {
        total_count,
        linked_count,
        pending_count,
        status_counts,
        count_time,
        collection_paused_count,
        ignored_count,
    } = message;
    let by_status = status_counts
        .into_iter()
        .map(|count| (count.subscription_status(), count.linked_count));
    Ok(Summary {
        total: total_count,
        linked: linked_count,
        pending: pending_count,
        ignored: ignored_count,
        by_status: by_status.collect(),
        collection_paused: collection_paused_count,
        counted_at: time(count_time, "count_time")?,
    })
}

pub(super) fn pending_group(message: org::PendingGroup) -> Result<PendingGroup, Fault> {
    let org::PendingGroup {
        source_network,
        organization_count,
        first_create_time,
        last_create_time,
    } = message;
    Ok(PendingGroup {
        source_network,
        organization_count,
        first_created_at: time(first_create_time, "first_create_time")?,
        last_created_at: time(last_create_time, "last_create_time")?,
    })
}

pub(super) fn link_operation(message: org::LinkOperation) -> Result<LinkOperation, Fault> {
    let state = match message.state() {
        org::LinkOperationState::Running => LinkState::Running,
        org::LinkOperationState::Succeeded => LinkState::Succeeded,
        org::LinkOperationState::Refused => LinkState::Refused,
        org::LinkOperationState::Unspecified => return Err(lacking("state")),
    };
    let kind = match message.kind() {
        org::LinkOperationKind::Link => LinkKind::Link,
        org::LinkOperationKind::Update => LinkKind::Update,
        org::LinkOperationKind::Cancel => LinkKind::Cancel(message.cancel_mode()),
        org::LinkOperationKind::Unspecified => return Err(lacking("kind")),
    };
    let org::LinkOperation {
        id: operation_id,
        state: _,
        // The organization's own facts tell of these.
        terms: _,
        create_time,
        admin_user_id: _,
        error_code,
        error_message,
        kind: _,
        cancel_mode: _,
    } = message;
    Ok(LinkOperation {
        id: id(&operation_id)?,
        kind,
        state,
        created_at: time(create_time, "create_time")?,
        error: Trouble::from_wire(error_code, error_message),
    })
}

pub(super) fn reporting(message: ingest::Reporting) -> Result<(Uuid, Known), Fault> {
    let state = reporting_state(message.reporting_state());
    let ingest::Reporting {
        organization_id,
        user_count,
        last_report_time,
        reporting_state: _,
        due_time,
        held_report_count,
    } = message;
    let reporting = optional_time(last_report_time).map(|last_report_at| Reporting {
        user_count,
        last_report_at,
    });
    let watch = Watch {
        state,
        due_at: optional_time(due_time),
        held_count: held_report_count,
    };
    Ok((id(&organization_id)?, Known { reporting, watch }))
}

fn reporting_state(state: ingest::ReportingState) -> Option<ReportingState> {
    match state {
        ingest::ReportingState::Unspecified => None,
        ingest::ReportingState::OnTime => Some(ReportingState::OnTime),
        ingest::ReportingState::Late => Some(ReportingState::Late),
        ingest::ReportingState::Silent => Some(ReportingState::Silent),
    }
}

pub(super) fn reporting_summary(
    message: ingest::GetReportingSummaryResponse,
) -> Result<ReportingSummary, Fault> {
    let ingest::GetReportingSummaryResponse {
        user_count,
        count_time,
        days,
        late_count,
        silent_count,
        held_report_count,
        held_organization_count,
        refused_report_count,
        queued_report_count,
        oldest_queued_age,
        urgent_held_report_count,
        unsigned_organization_count,
    } = message;
    let age = oldest_queued_age.as_ref();
    let age = age.map(|age| proto_time::duration_from_proto(age).to_std());
    Ok(ReportingSummary {
        user_count,
        counted_at: optional_time(count_time),
        days: days.into_iter().map(usage_day).collect::<Result<_, _>>()?,
        late_count,
        silent_count,
        held_report_count,
        held_organization_count,
        urgent_held_report_count,
        unsigned_organization_count,
        refused_report_count,
        queued_report_count,
        oldest_queued_age: age.map(Result::unwrap_or_default),
    })
}

pub(super) fn signing_keys(message: ingest::SigningKeys) -> Result<SigningKeys, Fault> {
    let ingest::SigningKeys {
        keys,
        awaited_fingerprint,
        pin_time,
    } = message;
    let key = |message: ingest::SigningKey| {
        let ingest::SigningKey {
            fingerprint,
            first_see_time,
            last_see_time,
            day_count,
            pinned,
        } = message;
        Ok(SigningKey {
            fingerprint,
            first_seen_at: time(first_see_time, "first_see_time")?,
            last_seen_at: time(last_see_time, "last_see_time")?,
            day_count,
            is_pinned: pinned,
        })
    };
    Ok(SigningKeys {
        keys: keys.into_iter().map(key).collect::<Result<_, Fault>>()?,
        awaited_fingerprint: Some(awaited_fingerprint).filter(|text| !text.is_empty()),
        pinned_at: optional_time(pin_time),
    })
}

fn usage_day(message: ingest::UsageDay) -> Result<UsageDay, Fault> {
    let ingest::UsageDay {
        day_start_time,
        user_count,
        organization_count,
    } = message;
    Ok(UsageDay {
        start: time(day_start_time, "day_start_time")?,
        user_count,
        organization_count,
    })
}

fn hold_reason(reason: ingest::HoldReason) -> Result<HoldReason, Fault> {
    match reason {
        ingest::HoldReason::CountJump => Ok(HoldReason::CountJump),
        ingest::HoldReason::OtherUrl => Ok(HoldReason::OtherUrl),
        ingest::HoldReason::CountDrop => Ok(HoldReason::CountDrop),
        ingest::HoldReason::NewNetwork => Ok(HoldReason::NewNetwork),
        ingest::HoldReason::Unsigned => Ok(HoldReason::Unsigned),
        ingest::HoldReason::OtherKey => Ok(HoldReason::OtherKey),
        ingest::HoldReason::Unspecified => Err(lacking("reason")),
    }
}

pub(super) fn hold_reason_to_wire(reason: HoldReason) -> ingest::HoldReason {
    match reason {
        HoldReason::CountJump => ingest::HoldReason::CountJump,
        HoldReason::OtherUrl => ingest::HoldReason::OtherUrl,
        HoldReason::CountDrop => ingest::HoldReason::CountDrop,
        HoldReason::NewNetwork => ingest::HoldReason::NewNetwork,
        HoldReason::Unsigned => ingest::HoldReason::Unsigned,
        HoldReason::OtherKey => ingest::HoldReason::OtherKey,
    }
}

pub(super) fn held_group(message: ingest::HeldGroup) -> Result<HeldGroup, Fault> {
    let reason = hold_reason(message.reason())?;
    let ingest::HeldGroup {
        reason: _,
        cause,
        report_count,
        organization_count,
        last_receive_time,
        example_organization_id,
    } = message;
    Ok(HeldGroup {
        reason,
        cause,
        report_count,
        organization_count,
        last_received_at: time(last_receive_time, "last_receive_time")?,
        example: id(&example_organization_id)?,
        example_name: None,
    })
}

pub(super) fn held_report(message: ingest::HeldReport) -> Result<HeldReport, Fault> {
    let reason = hold_reason(message.reason())?;
    let ingest::HeldReport {
        id: report_id,
        organization_id,
        user_count,
        instance_url,
        report_time,
        receive_time,
        reason: _,
        message: sentence,
        baseline_user_count,
        baseline_instance_url,
        limit_user_count,
    } = message;
    Ok(HeldReport {
        id: id(&report_id)?,
        organization_id: id(&organization_id)?,
        organization_name: None,
        user_count,
        instance_url,
        reported_at: time(report_time, "report_time")?,
        received_at: time(receive_time, "receive_time")?,
        reason,
        message: sentence,
        baseline_user_count,
        baseline_instance_url: filled(baseline_instance_url),
        limit_user_count: (limit_user_count > 0).then_some(limit_user_count),
        deadline: None,
    })
}

pub(super) fn usage_report(message: ingest::RecordedReport) -> Result<UsageReport, Fault> {
    let deployment_type = message.deployment_type();
    let delivery = match message.delivery_state() {
        ingest::DeliveryState::Waiting => Delivery::Waiting,
        ingest::DeliveryState::Queued => Delivery::Queued,
        ingest::DeliveryState::Sent => Delivery::Sent,
        ingest::DeliveryState::Superseded => Delivery::Superseded,
        ingest::DeliveryState::Refused => Delivery::Refused,
        ingest::DeliveryState::NotBilled => Delivery::NotBilled,
        ingest::DeliveryState::TooLate => Delivery::TooLate,
        ingest::DeliveryState::Held => Delivery::Held,
        ingest::DeliveryState::MissedInvoice => Delivery::MissedInvoice,
        ingest::DeliveryState::Unspecified => return Err(lacking("delivery_state")),
    };
    let ingest::RecordedReport {
        id: report_id,
        organization_id: _,
        user_count,
        deployment_type: _,
        report_time,
        receive_time,
        delivery_state: _,
        stripe_meter_event_id,
        error_code,
        error_message,
        counts,
        count_low,
        baseline_user_count,
    } = message;
    Ok(UsageReport {
        id: id(&report_id)?,
        user_count,
        deployment_type,
        reported_at: time(report_time, "report_time")?,
        received_at: optional_time(receive_time),
        delivery,
        stripe_meter_event_id: filled(stripe_meter_event_id),
        error: Trouble::from_wire(error_code, error_message),
        counts,
        is_low: count_low,
        baseline: baseline_user_count,
    })
}

pub(super) fn reconciliation(message: ingest::GetReconciliationResponse) -> Reconciliation {
    let ingest::GetReconciliationResponse {
        last_full_pass_time,
        skipped_count,
        pass_start_time,
        open_finding_count,
    } = message;
    Reconciliation {
        last_full_pass_at: optional_time(last_full_pass_time),
        skipped_count,
        pass_started_at: optional_time(pass_start_time),
        open_finding_count,
    }
}

pub(super) fn finding(message: ingest::Finding) -> Result<Finding, Fault> {
    let kind = match message.kind() {
        ingest::FindingKind::MeterDay => FindingKind::MeterDay,
        ingest::FindingKind::MissedInvoice => FindingKind::MissedInvoice,
        ingest::FindingKind::Invoice => FindingKind::Invoice,
        ingest::FindingKind::Unspecified => {
            return Err(Fault::internal("a finding is of no known kind"));
        }
    };
    let ingest::Finding {
        organization_id,
        day_start_time,
        expected_count,
        found_value,
        resend_count,
        first_see_time,
        last_see_time,
        resolve_time,
        id: finding_id,
        kind: _,
        period_start_time,
        period_end_time,
        stripe_invoice_id,
        dismiss_time,
        dismiss_admin_email,
        dismiss_reason,
    } = message;
    Ok(Finding {
        id: id(&finding_id)?,
        organization_id: id(&organization_id)?,
        kind,
        day_start: time(day_start_time, "day_start_time")?,
        period_start: time(period_start_time, "period_start_time")?,
        period_end: time(period_end_time, "period_end_time")?,
        stripe_invoice_id: Some(stripe_invoice_id).filter(|id| !id.is_empty()),
        expected: expected_count,
        found: found_value,
        resend_count,
        first_seen_at: time(first_see_time, "first_see_time")?,
        last_seen_at: time(last_see_time, "last_see_time")?,
        resolved_at: optional_time(resolve_time),
        dismissal: optional_time(dismiss_time).map(|at| Dismissal {
            at,
            by: dismiss_admin_email,
            reason: dismiss_reason,
        }),
    })
}

pub(super) fn session(message: org::Session) -> Result<Session, Fault> {
    let org::Session {
        id,
        token,
        user_id,
        expire_time,
        create_time,
        update_time,
        ip_address,
        user_agent,
    } = message;
    if token.is_empty() {
        return Err(lacking("token"));
    }
    Ok(Session {
        id,
        token: SessionToken::new(token),
        user_id,
        expires_at: time(expire_time, "expire_time")?,
        created_at: time(create_time, "create_time")?,
        updated_at: time(update_time, "update_time")?,
        ip_address,
        user_agent,
    })
}

pub(super) fn user(message: org::User) -> Result<User, Fault> {
    let org::User {
        id,
        name,
        email,
        email_verified,
        image,
        create_time,
        update_time,
    } = message;
    Ok(User {
        id,
        name,
        email,
        email_verified,
        image,
        created_at: time(create_time, "create_time")?,
        updated_at: time(update_time, "update_time")?,
    })
}

pub(super) fn webhook_event(message: stripe::WebhookEvent) -> Result<WebhookEvent, Fault> {
    let state = state_word(message.state());
    let stripe::WebhookEvent {
        event_id,
        event_type,
        state: _,
        attempt_count,
        receive_time,
        next_attempt_time,
        end_time,
        error_code,
        error_message,
    } = message;
    Ok(WebhookEvent {
        id: event_id,
        kind: event_type,
        state,
        attempt_count,
        received_at: time(receive_time, "receive_time")?,
        next_attempt_at: optional_time(next_attempt_time),
        ended_at: optional_time(end_time),
        error: Trouble::from_wire(error_code, error_message),
    })
}

pub(super) fn meter_error(message: stripe::MeterError) -> Result<MeterError, Fault> {
    let stripe::MeterError {
        id,
        event_id,
        stripe_meter_id,
        error_code,
        error_message,
        error_count,
        sample_identifiers,
        // What an admin does not look at.
        validation_start_time: _,
        validation_end_time: _,
        find_time,
    } = message;
    Ok(MeterError {
        id,
        event_id,
        meter_id: filled(stripe_meter_id),
        error: Trouble {
            code: error_code,
            message: error_message,
        },
        count: error_count,
        sample_identifiers,
        found_at: time(find_time, "find_time")?,
    })
}

pub(super) fn id(text: &str) -> Result<Uuid, Fault> {
    Uuid::parse_str(text).map_err(Fault::internal)
}

pub(super) fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn optional_time(time: Option<Timestamp>) -> Option<DateTime<Utc>> {
    time.as_ref().and_then(proto_time::from_proto)
}

pub(super) fn time(time: Option<Timestamp>, field: &str) -> Result<DateTime<Utc>, Fault> {
    optional_time(time).ok_or_else(|| lacking(field))
}

fn lacking(field: &str) -> Fault {
    Fault::internal(format!("a service's answer lacks {field}"))
}
