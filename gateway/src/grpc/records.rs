//! API keys, the audit trail, notices and what Stripe told as messages of `billing.admin.v1`.

use billing_kit::{Fault, proto_time};
use billing_proto::{admin::v1 as admin, org::v1 as org, stripe::v1 as stripe};

use crate::domain::{
    api_key::ApiKey,
    audit_event::{AuditEvent, AuditFilter},
    notice::Notice,
    webhook_event::{MeterError, WebhookEvent, state_word},
};

pub(super) fn access(access: admin::ApiKeyAccess) -> org::ApiKeyAccess {
    match access {
        admin::ApiKeyAccess::Unspecified => org::ApiKeyAccess::Unspecified,
        admin::ApiKeyAccess::ReadOnly => org::ApiKeyAccess::ReadOnly,
        admin::ApiKeyAccess::Full => org::ApiKeyAccess::Full,
    }
}

pub(super) fn api_key(key: ApiKey) -> admin::ApiKey {
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
        org::ApiKeyAccess::Unspecified => admin::ApiKeyAccess::Unspecified,
        org::ApiKeyAccess::ReadOnly => admin::ApiKeyAccess::ReadOnly,
        org::ApiKeyAccess::Full => admin::ApiKeyAccess::Full,
    };
    admin::ApiKey {
        id: id.to_string(),
        name,
        secret_prefix,
        access: access.into(),
        admin_user_id,
        create_time: Some(proto_time::to_proto(created_at)),
        expire_time: Some(proto_time::to_proto(expires_at)),
        last_use_time: last_used_at.map(proto_time::to_proto),
        revoke_time: revoked_at.map(proto_time::to_proto),
    }
}

/// What a list of changes is asked for: its filter, the page's size and its token.
pub(super) fn audit_filter(
    request: admin::ListAuditEventsRequest,
) -> Result<(AuditFilter, i32, String), Fault> {
    let admin::ListAuditEventsRequest {
        organization_id,
        actor,
        action,
        since_time,
        until_time,
        page_size,
        page_token,
    } = request;
    let mut violations = Vec::new();
    let mut time = |name: &str, time: Option<prost_types::Timestamp>| {
        let parsed = time.as_ref().map(proto_time::from_proto);
        if parsed == Some(None) {
            violations.push(billing_kit::Violation::new(name, "It is no time."));
        }
        parsed.flatten()
    };
    let filter = AuditFilter {
        organization_id,
        actor,
        action,
        since: time("since_time", since_time),
        until: time("until_time", until_time),
    };
    if violations.is_empty() {
        Ok((filter, page_size, page_token))
    } else {
        Err(Fault::invalid(violations))
    }
}

pub(super) fn audit_event(event: AuditEvent) -> admin::AuditEvent {
    let AuditEvent {
        id,
        occurred_at,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before,
        after,
    } = event;
    admin::AuditEvent {
        id: id.to_string(),
        occur_time: Some(proto_time::to_proto(occurred_at)),
        action,
        organization_id: organization_id.unwrap_or_default(),
        admin_user_id: admin_user_id.unwrap_or_default(),
        admin_email: admin_email.unwrap_or_default(),
        api_key_id: api_key_id.unwrap_or_default(),
        client_address: client_address.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        before_json: before.unwrap_or_default(),
        after_json: after.unwrap_or_default(),
    }
}

pub(super) fn notice_state(state: admin::NoticeState) -> org::NoticeState {
    match state {
        admin::NoticeState::Unspecified => org::NoticeState::Unspecified,
        admin::NoticeState::Queued => org::NoticeState::Queued,
        admin::NoticeState::GivenUp => org::NoticeState::GivenUp,
    }
}

pub(super) fn notice(notice: Notice) -> admin::Notice {
    let Notice {
        id,
        kind,
        occurred_at,
        state,
        attempt_count,
        next_attempt_at,
        ended_at,
        error_message,
        data,
    } = notice;
    let state = match state {
        org::NoticeState::Unspecified => admin::NoticeState::Unspecified,
        org::NoticeState::Queued => admin::NoticeState::Queued,
        org::NoticeState::GivenUp => admin::NoticeState::GivenUp,
    };
    admin::Notice {
        id: id.to_string(),
        r#type: kind,
        occur_time: Some(proto_time::to_proto(occurred_at)),
        state: state.into(),
        attempt_count,
        next_attempt_time: next_attempt_at.map(proto_time::to_proto),
        end_time: ended_at.map(proto_time::to_proto),
        error_message: error_message.unwrap_or_default(),
        data_json: data,
    }
}

const STATES: [(admin::WebhookEventState, stripe::WebhookEventState); 5] = [
    (
        admin::WebhookEventState::Unspecified,
        stripe::WebhookEventState::Unspecified,
    ),
    (
        admin::WebhookEventState::Queued,
        stripe::WebhookEventState::Queued,
    ),
    (
        admin::WebhookEventState::Processed,
        stripe::WebhookEventState::Processed,
    ),
    (
        admin::WebhookEventState::Ignored,
        stripe::WebhookEventState::Ignored,
    ),
    (
        admin::WebhookEventState::Dead,
        stripe::WebhookEventState::Dead,
    ),
];

pub(super) fn state(state: admin::WebhookEventState) -> stripe::WebhookEventState {
    let known = STATES.into_iter().find(|(ours, _)| *ours == state);
    known.map_or(stripe::WebhookEventState::Unspecified, |(_, theirs)| theirs)
}

pub(super) fn webhook_event(event: WebhookEvent) -> admin::WebhookEvent {
    let WebhookEvent {
        id,
        kind,
        state,
        attempt_count,
        received_at,
        next_attempt_at,
        ended_at,
        error,
    } = event;
    let known = STATES
        .into_iter()
        .find(|(_, theirs)| state_word(*theirs) == state);
    let state = known.map_or(admin::WebhookEventState::Unspecified, |(ours, _)| ours);
    let (error_code, error_message) = super::translate::to_wire(error);
    admin::WebhookEvent {
        event_id: id,
        event_type: kind,
        state: state.into(),
        attempt_count,
        receive_time: Some(proto_time::to_proto(received_at)),
        next_attempt_time: next_attempt_at.map(proto_time::to_proto),
        end_time: ended_at.map(proto_time::to_proto),
        error_code,
        error_message,
    }
}

pub(super) fn meter_error(error: MeterError) -> admin::MeterError {
    let MeterError {
        id,
        event_id,
        meter_id,
        error,
        count,
        sample_identifiers,
        found_at,
    } = error;
    let (error_code, error_message) = super::translate::to_wire(Some(error));
    admin::MeterError {
        id,
        event_id,
        stripe_meter_id: meter_id.unwrap_or_default(),
        error_code,
        error_message,
        error_count: count,
        sample_identifiers,
        find_time: Some(proto_time::to_proto(found_at)),
    }
}
