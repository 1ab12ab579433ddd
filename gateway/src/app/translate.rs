//! The services' messages as what they mean to an admin.
//!
//! A message that lacks what its contract promises is a fault of ours, and named in the log.

use billing_kit::{Fault, proto_time};
use billing_proto::{
    admin::v1::{LinkOperation, Organization},
    common::v1::ReportingState,
    ingest::v1 as ingest,
    org::v1 as org,
};
use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use super::{Session, User};
use crate::domain::{organization::Summary, session_cookie::SessionToken};

/// An organization as org-svc knows it; ingest-svc knows the rest.
pub(super) fn organization(message: org::Organization) -> Organization {
    let org::Organization {
        id,
        name,
        instance_url,
        stripe_customer_id,
        stripe_subscription_id,
        deployment_type,
        plan_type,
        subscription_status,
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
    Organization {
        id,
        name,
        instance_url,
        stripe_customer_id,
        stripe_subscription_id,
        deployment_type,
        plan_type,
        subscription_status,
        trial_end_time,
        admin_email,
        create_time,
        user_count: None,
        last_report_time: None,
        reported_name,
        reported_instance_url,
        billing_problem,
        link_operation: operation.map(link_operation),
        cancel_time,
        current_period_start_time,
        current_period_end_time,
        collection_pause,
        reporting_state: ReportingState::Unspecified.into(),
        report_due_time: None,
        held_report_count: 0,
        source_network,
        ignore_time,
    }
}

pub(super) fn link_operation(message: org::LinkOperation) -> LinkOperation {
    let org::LinkOperation {
        id,
        state,
        // The organization's own facts tell of these.
        terms: _,
        create_time,
        admin_user_id: _,
        error_code,
        error_message,
        kind,
        cancel_mode,
    } = message;
    LinkOperation {
        id,
        state,
        create_time,
        error_code,
        error_message,
        kind,
        cancel_mode,
    }
}

/// Adds what ingest-svc knows of it.
pub(super) fn add_reporting(organization: &mut Organization, known: ingest::Reporting) {
    let ingest::Reporting {
        organization_id: _,
        user_count,
        last_report_time,
        reporting_state,
        due_time,
        held_report_count,
    } = known;
    organization.user_count = last_report_time.map(|_| user_count);
    organization.last_report_time = last_report_time;
    organization.reporting_state = reporting_state;
    organization.report_due_time = due_time;
    organization.held_report_count = held_report_count;
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

pub(super) fn optional_time(time: Option<Timestamp>) -> Option<DateTime<Utc>> {
    time.as_ref().and_then(proto_time::from_proto)
}

pub(super) fn time(time: Option<Timestamp>, field: &str) -> Result<DateTime<Utc>, Fault> {
    optional_time(time).ok_or_else(|| lacking(field))
}

fn lacking(field: &str) -> Fault {
    Fault::internal(format!("a service's answer lacks {field}"))
}
