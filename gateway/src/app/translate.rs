//! The services' messages as what they mean to an admin.
//!
//! A message that lacks what its contract promises is a fault of ours, and named in the log.

use billing_kit::{Fault, proto_time};
use billing_proto::{common::v1 as common, ingest::v1 as ingest, org::v1 as org};
use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use uuid::Uuid;

use super::{Session, User, list_organizations::Known};
use crate::domain::{
    organization::{
        CollectionPause, LinkKind, LinkOperation, LinkState, Organization, Reporting, Summary,
        Trouble,
    },
    reporting::{ReportingState, Watch},
    session_cookie::SessionToken,
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

pub(super) fn link_operation(message: org::LinkOperation) -> Result<LinkOperation, Fault> {
    let state = match message.state() {
        common::LinkOperationState::Running => LinkState::Running,
        common::LinkOperationState::Succeeded => LinkState::Succeeded,
        common::LinkOperationState::Refused => LinkState::Refused,
        common::LinkOperationState::Unspecified => return Err(lacking("state")),
    };
    let kind = match message.kind() {
        common::LinkOperationKind::Link => LinkKind::Link,
        common::LinkOperationKind::Update => LinkKind::Update,
        common::LinkOperationKind::Cancel => LinkKind::Cancel(message.cancel_mode()),
        common::LinkOperationKind::Unspecified => return Err(lacking("kind")),
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

fn reporting_state(state: common::ReportingState) -> Option<ReportingState> {
    match state {
        common::ReportingState::Unspecified => None,
        common::ReportingState::OnTime => Some(ReportingState::OnTime),
        common::ReportingState::Late => Some(ReportingState::Late),
        common::ReportingState::Silent => Some(ReportingState::Silent),
    }
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
