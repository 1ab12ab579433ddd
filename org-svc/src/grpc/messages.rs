//! Messages from domain values.

use billing_kit::proto_time::to_proto;
use billing_proto::{common::v1 as common, org::v1 as proto};

use crate::{
    app::{
        Described, change_password, observe_organizations::Observed, watch_organizations::Changes,
    },
    domain::{
        account::{Session, User},
        api_key::{Access, ApiKey},
        audit::Recorded,
        change::{SubscriptionTerms, Update},
        ignoring::PendingGroup,
        link::{LinkOperation, LinkTerms, OperationState, Refusal, Setback, Work},
        organization::{
            CollectionPause, Counts, Drain, InstanceUrl, Organization, OrganizationId,
            OrganizationName, SourceNetwork, Standing, SubscriptionStatus,
        },
    },
    wire,
};

/// A text of a message, which is empty where there is none.
fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

pub(super) fn organization(described: &Described) -> proto::Organization {
    let Described {
        organization,
        operation,
    } = described;
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
        updated_at,
        billing_start_at,
        reported_name,
        reported_instance_url,
        observed_at: _,
        billing_problem,
        standing_version: _,
        current_period_start_at,
        current_period_end_at,
        cancel_at,
        subscription_version: _,
        drain: _,
        billing_end_at: _,
        invoiced_until: _,
        collection_pause,
        source_network,
        ignored_at,
    } = organization;
    let url = |url: &Option<InstanceUrl>| text(url.as_ref().map(InstanceUrl::as_str));
    proto::Organization {
        id: id.0.to_string(),
        name: name.as_str().to_owned(),
        instance_url: url(instance_url),
        stripe_customer_id: text(stripe_customer_id.as_ref().map(|id| id.0.as_str())),
        stripe_subscription_id: text(stripe_subscription_id.as_ref().map(|id| id.0.as_str())),
        deployment_type: wire::deployment_type(*deployment_type).into(),
        plan_type: wire::plan_type(*plan_type).into(),
        subscription_status: wire::subscription_status(*subscription_status).into(),
        trial_end_time: trial_end.map(to_proto),
        admin_email: admin_email.clone().unwrap_or_default(),
        create_time: Some(to_proto(*created_at)),
        update_time: Some(to_proto(*updated_at)),
        billing_start_time: billing_start_at.map(to_proto),
        reported_name: text(reported_name.as_ref().map(OrganizationName::as_str)),
        reported_instance_url: url(reported_instance_url),
        billing_problem: billing_problem.clone().unwrap_or_default(),
        link_operation: operation.as_ref().map(link_operation),
        cancel_time: cancel_at.map(to_proto),
        current_period_start_time: current_period_start_at.map(to_proto),
        current_period_end_time: current_period_end_at.map(to_proto),
        collection_pause: collection_pause.map(pause),
        source_network: text(source_network.as_ref().map(SourceNetwork::as_str)),
        ignore_time: ignored_at.map(to_proto),
    }
}

fn pause(pause: CollectionPause) -> common::CollectionPause {
    let CollectionPause {
        behavior,
        since,
        resumes_at,
    } = pause;
    common::CollectionPause {
        behavior: wire::pause_behavior(behavior).into(),
        first_seen_time: Some(to_proto(since)),
        resume_time: resumes_at.map(to_proto),
    }
}

pub(super) fn link_operation(operation: &LinkOperation) -> proto::LinkOperation {
    let LinkOperation {
        id,
        organization_id: _,
        organization_name: _,
        state,
        work,
        admin_user_id,
        attempt_count: _,
        created_at,
    } = operation;
    use billing_proto::common::v1::{LinkOperationKind, LinkOperationState};
    let (kind, terms, mode) = match work {
        Work::Link(terms) => (LinkOperationKind::Link, Some(link_terms(terms)), None),
        Work::Update(update) => (LinkOperationKind::Update, Some(update_terms(update)), None),
        Work::Cancel(cancel) => (LinkOperationKind::Cancel, None, Some(cancel.mode)),
    };
    let (state, error_code, error_message) = match state {
        OperationState::Running(None) => (LinkOperationState::Running, "", ""),
        OperationState::Running(Some(Setback { code, message })) => {
            (LinkOperationState::Running, code.as_str(), message.as_str())
        }
        OperationState::Succeeded => (LinkOperationState::Succeeded, "", ""),
        OperationState::Refused(Refusal {
            code,
            message,
            param: _,
            stripe_request_id: _,
        }) => (LinkOperationState::Refused, code.as_str(), message.as_str()),
    };
    proto::LinkOperation {
        id: id.0.to_string(),
        state: state.into(),
        terms,
        create_time: Some(to_proto(*created_at)),
        admin_user_id: admin_user_id.0.clone(),
        error_code: error_code.to_owned(),
        error_message: error_message.to_owned(),
        kind: kind.into(),
        cancel_mode: wire::cancel_mode(mode).into(),
    }
}

fn link_terms(terms: &LinkTerms) -> proto::LinkTerms {
    let LinkTerms {
        admin_email,
        deployment_type,
        plan_type,
        trial_days,
        adopt_customer_id,
    } = terms;
    proto::LinkTerms {
        admin_email: admin_email.as_str().to_owned(),
        deployment_type: wire::deployment_type(Some(*deployment_type)).into(),
        plan_type: wire::plan_type(Some(*plan_type)).into(),
        trial_days: Some(trial_days.as_i32()),
        adopt_customer_id: adopt_customer_id
            .as_ref()
            .map_or_else(String::new, |id| id.0.clone()),
    }
}

fn update_terms(update: &Update) -> proto::LinkTerms {
    let SubscriptionTerms {
        admin_email,
        deployment_type,
        plan_type,
    } = &update.terms;
    proto::LinkTerms {
        admin_email: admin_email.as_str().to_owned(),
        deployment_type: wire::deployment_type(Some(*deployment_type)).into(),
        plan_type: wire::plan_type(Some(*plan_type)).into(),
        trial_days: None,
        adopt_customer_id: String::new(),
    }
}

pub(super) fn standing(standing: Standing) -> proto::OrganizationStanding {
    let Standing {
        organization_id,
        subscription_status,
        deployment_type,
        stripe_customer_id,
        billing_start_at,
        standing_version,
        billable,
        drain,
        billing_end_at,
        invoiced_until,
        trial_end,
        is_ignored,
    } = standing;
    proto::OrganizationStanding {
        organization_id: organization_id.0.to_string(),
        subscription_status: wire::subscription_status(subscription_status).into(),
        deployment_type: wire::deployment_type(deployment_type).into(),
        stripe_customer_id: stripe_customer_id.map(|id| id.0).unwrap_or_default(),
        billing_start_time: billing_start_at.map(to_proto),
        standing_version,
        billable,
        draining: drain.is_under_way(),
        drained: drain == Drain::Drained,
        billing_end_time: billing_end_at.map(to_proto),
        invoiced_until_time: invoiced_until.map(to_proto),
        trial_end_time: trial_end.map(to_proto),
        ignored: is_ignored,
    }
}

pub(super) fn observed(observed: Observed) -> proto::ObserveOrganizationsResponse {
    let Observed {
        standings,
        differing,
        not_admitted,
        retry_delay,
    } = observed;
    let retry_delay = prost_types::Duration::try_from(retry_delay).ok();
    let not_admitted = not_admitted
        .into_iter()
        .map(|id| proto::NotAdmittedOrganization {
            organization_id: id.0.to_string(),
            retry_delay,
        });
    proto::ObserveOrganizationsResponse {
        standings: standings.into_iter().map(standing).collect(),
        differing_organization_ids: ids(differing),
        not_admitted: not_admitted.collect(),
    }
}

pub(super) fn ids(ids: Vec<OrganizationId>) -> Vec<String> {
    ids.into_iter().map(|id| id.0.to_string()).collect()
}

pub(super) fn pending_group(group: PendingGroup) -> common::PendingGroup {
    let PendingGroup {
        source_network,
        organization_count,
        first_created_at,
        last_created_at,
    } = group;
    common::PendingGroup {
        source_network: source_network.as_str().to_owned(),
        organization_count,
        first_create_time: Some(to_proto(first_created_at)),
        last_create_time: Some(to_proto(last_created_at)),
    }
}

pub(super) fn changes(changes: Changes) -> proto::WatchOrganizationsResponse {
    let Changes { standings, cursor } = changes;
    proto::WatchOrganizationsResponse {
        standings: standings.into_iter().map(standing).collect(),
        cursor,
    }
}

pub(super) fn counts(counts: &Counts) -> proto::CountOrganizationsResponse {
    let Counts {
        pending,
        ignored,
        linked,
        collection_paused,
        counted_at,
    } = counts;
    let status_count = |(status, count): &(SubscriptionStatus, i64)| proto::StatusCount {
        subscription_status: wire::subscription_status(*status).into(),
        linked_count: *count,
    };
    proto::CountOrganizationsResponse {
        total_count: counts.total(),
        linked_count: counts.linked_total(),
        pending_count: *pending,
        status_counts: linked.iter().map(status_count).collect(),
        count_time: Some(to_proto(*counted_at)),
        collection_paused_count: *collection_paused,
        ignored_count: *ignored,
    }
}

pub(super) fn password_refusal(refusal: change_password::Refusal) -> proto::PasswordRefusal {
    match refusal {
        change_password::Refusal::TooShort => proto::PasswordRefusal::TooShort,
        change_password::Refusal::TooLong => proto::PasswordRefusal::TooLong,
        change_password::Refusal::CurrentWrong => proto::PasswordRefusal::CurrentWrong,
        change_password::Refusal::NoneSet => proto::PasswordRefusal::NoneSet,
    }
}

pub(super) fn user(user: User) -> proto::User {
    let User {
        id,
        name,
        email,
        email_verified,
        image,
        created_at,
        updated_at,
    } = user;
    proto::User {
        id: id.0,
        name,
        email,
        email_verified,
        image,
        create_time: Some(to_proto(created_at)),
        update_time: Some(to_proto(updated_at)),
    }
}

pub(super) fn session(session: Session) -> proto::Session {
    let Session {
        id,
        token,
        user_id,
        expires_at,
        created_at,
        updated_at,
        ip_address,
        user_agent,
    } = session;
    proto::Session {
        id,
        token: token.expose().to_owned(),
        user_id: user_id.0,
        expire_time: Some(to_proto(expires_at)),
        create_time: Some(to_proto(created_at)),
        update_time: Some(to_proto(updated_at)),
        ip_address,
        user_agent,
    }
}

pub(super) fn api_key(key: ApiKey) -> common::ApiKey {
    let ApiKey {
        id,
        name,
        secret_prefix,
        access,
        admin_user_id,
        created_at,
        expires_at,
        last_used_at,
        revoked_at,
    } = key;
    let access = match access {
        Access::ReadOnly => common::ApiKeyAccess::ReadOnly,
        Access::Full => common::ApiKeyAccess::Full,
    };
    common::ApiKey {
        id: id.0.to_string(),
        name: name.as_str().to_owned(),
        secret_prefix,
        access: access.into(),
        admin_user_id: admin_user_id.0,
        create_time: Some(to_proto(created_at)),
        expire_time: Some(to_proto(expires_at)),
        last_use_time: last_used_at.map(to_proto),
        revoke_time: revoked_at.map(to_proto),
    }
}

pub(super) fn audit_event((event, email): (Recorded, Option<String>)) -> common::AuditEvent {
    let Recorded {
        id,
        occurred_at,
        action,
        organization_id,
        admin_user_id,
        api_key_id,
        client_address,
        request_id,
        before,
        after,
    } = event;
    let json = |value: Option<serde_json::Value>| {
        value.map_or_else(String::new, |value| value.to_string())
    };
    common::AuditEvent {
        id: id.to_string(),
        occur_time: Some(to_proto(occurred_at)),
        action,
        organization_id: organization_id.map_or_else(String::new, |id| id.0.to_string()),
        admin_user_id: admin_user_id.map(|id| id.0).unwrap_or_default(),
        admin_email: email.unwrap_or_default(),
        api_key_id: api_key_id.map_or_else(String::new, |id| id.to_string()),
        client_address: client_address.map_or_else(String::new, |address| address.to_string()),
        request_id: request_id.unwrap_or_default(),
        before_json: json(before),
        after_json: json(after),
    }
}
