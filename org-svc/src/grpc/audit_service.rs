//! `billing.org.v1.AuditService`.

use std::sync::Arc;

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::org::v1::audit_service_server::AuditService;
use billing_proto::{common::v1 as common, org::v1 as proto};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{door::Door, messages};
use crate::{
    app::{
        Admins,
        list_audit_events::list_audit_events,
        record_audit_events::{EVENTS_MAX, record_audit_events},
    },
    domain::{
        audit::{Actor, AuditFilter, Told, may_be_nobodys, parse_action, parse_told_action},
        keyset::Keyset,
        notice::parse_facts,
        organization::OrganizationId,
        page::PageSize,
    },
};

const REQUEST_ID_CHARS_MAX: usize = 64;

/// The service.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) app: Arc<Admins>,
    pub(crate) verifier: Verifier,
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn record_audit_events(
        &self,
        request: Request<proto::RecordAuditEventsRequest>,
    ) -> Result<Response<proto::RecordAuditEventsResponse>, Status> {
        let told = batch(request.into_inner())?;
        record_audit_events(&self.app, &told).await?;
        let settled_ids = told.iter().map(|it| it.id.to_string()).collect();
        Ok(Response::new(proto::RecordAuditEventsResponse {
            settled_ids,
        }))
    }

    async fn list_audit_events(
        &self,
        request: Request<common::ListAuditEventsRequest>,
    ) -> Result<Response<common::ListAuditEventsResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let (filter, after, size) = list(request.into_inner())?;
        let page = list_audit_events(&self.app, &filter, after, size).await?;
        let next = page.next.map(|next| next.to_token(&name_of(&filter)));
        Ok(Response::new(common::ListAuditEventsResponse {
            events: page.events.into_iter().map(messages::audit_event).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

/// The changes that can be read. One that cannot, because it is of a newer release, must not keep the
/// others out of the trail: it is left out, and its sender asks again.
fn batch(request: proto::RecordAuditEventsRequest) -> Result<Vec<Told>, Fault> {
    let count = request.events.len();
    if count > EVENTS_MAX {
        let message = format!("There are {count}; the maximum is {EVENTS_MAX}.");
        return Err(Fault::invalid(vec![Violation::new("events", message)]));
    }
    let read = request.events.into_iter().filter_map(|event| {
        let id = event.id.clone();
        told(event)
            .inspect_err(|fault| tracing::error!(id, %fault, "a change cannot be read"))
            .ok()
    });
    Ok(read.collect())
}

fn told(event: proto::AuditEventToRecord) -> Result<Told, Fault> {
    fn if_any<T, E>(text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Option<T>, E> {
        (!text.is_empty()).then(|| parse(text)).transpose()
    }
    let proto::AuditEventToRecord {
        id,
        occur_time,
        action,
        organization_id,
        admin_user_id,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
    } = event;
    let uuid = |text: &str| Uuid::try_parse(text).map_err(|_| "It is no UUID.");
    let address = |text: &str| text.parse().map_err(|_| "It is not an IP address.");
    let object = |text: &str| parse_facts(text).map(serde_json::Value::Object);
    let mut door = Door::new();
    let id = door.check("id", uuid(&id));
    let time = occur_time.as_ref().and_then(proto_time::from_proto);
    let time = door.check("occur_time", time.ok_or("It is no time."));
    let action = door.check("action", parse_told_action(&action));
    let organization = door.check("organization_id", OrganizationId::parse(&organization_id));
    let admin = match Actor::parse(&admin_user_id) {
        Ok(Some(Actor::Id(id))) => Ok(Some(id)),
        Ok(None) if action.is_some_and(may_be_nobodys) => Ok(None),
        _ => Err("It is not a user id."),
    };
    let admin = door.check("admin_user_id", admin);
    let key = door.check("api_key_id", if_any(&api_key_id, uuid));
    let address = door.check("client_address", if_any(&client_address, address));
    let is_id = (1..=REQUEST_ID_CHARS_MAX).contains(&request_id.chars().count());
    let request = is_id.then_some(request_id);
    let request = door.check("request_id", request.ok_or("It has 1 to 64 characters."));
    let before = door.check("before_json", if_any(&before_json, object));
    let after = door.check("after_json", object(&after_json));
    let what = id.zip(time).zip(action.zip(organization));
    let who = admin.zip(key).zip(address.zip(request));
    let parsed = what.zip(who).zip(before.zip(after));
    door.pass(parsed.map(|((what, who), (before, after))| {
        let ((id, occurred_at), (action, organization_id)) = what;
        let ((admin_user_id, api_key_id), (client_address, request_id)) = who;
        Told {
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
        }
    }))
}

/// What tells a list's page tokens from those of other filters.
fn name_of(filter: &AuditFilter) -> String {
    format!("audit {filter:?}")
}

fn list(
    request: common::ListAuditEventsRequest,
) -> Result<(AuditFilter, Option<Keyset>, PageSize), Fault> {
    let common::ListAuditEventsRequest {
        organization_id,
        actor,
        action,
        since_time,
        until_time,
        page_size,
        page_token,
    } = request;
    let mut door = Door::new();
    let organization_id = if organization_id.is_empty() {
        Some(None)
    } else {
        let id = OrganizationId::parse(&organization_id);
        door.check("organization_id", id.map(Some))
    };
    let actor = door.check("actor", Actor::parse(&actor));
    let action = door.check("action", parse_action(&action));
    let mut time = |field: &str, time: Option<prost_types::Timestamp>| {
        let parsed = time.map(|time| proto_time::from_proto(&time).ok_or("It is no time."));
        door.check(field, parsed.transpose())
    };
    let (since, until) = (
        time("since_time", since_time),
        time("until_time", until_time),
    );
    let size = door.check("page_size", PageSize::parse(page_size));
    let filter = organization_id
        .zip(actor)
        .zip(action)
        .zip(since.zip(until))
        .map(
            |(((organization_id, actor), action), (since, until))| AuditFilter {
                organization_id,
                actor,
                action,
                since,
                until,
            },
        );
    // A token belongs to its filters; where these are at fault, it cannot be judged.
    let after = match &filter {
        Some(filter) if !page_token.is_empty() => {
            let after = Keyset::from_token(&page_token, &name_of(filter));
            door.check("page_token", after.map(Some))
        }
        Some(_) | None => Some(None),
    };
    let parsed = filter.zip(after).zip(size);
    door.pass(parsed.map(|((filter, after), size)| (filter, after, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_record(action: &str) -> proto::AuditEventToRecord {
        proto::AuditEventToRecord {
            id: Uuid::from_u128(1).to_string(),
            occur_time: Some(prost_types::Timestamp::default()),
            action: action.to_owned(),
            organization_id: Uuid::from_u128(2).to_string(),
            admin_user_id: "user_1".to_owned(),
            api_key_id: String::new(),
            client_address: "2001:db8::1".to_owned(),
            request_id: "r1".to_owned(),
            before_json: String::new(),
            after_json: "{}".to_owned(),
        }
    }

    #[test]
    fn what_a_newer_release_tells_of_is_left_out_alone() {
        let events = ["report.retried", "report.lost", "finding.dismissed"].map(to_record);
        let read = batch(proto::RecordAuditEventsRequest {
            events: events.into(),
        });
        let actions: Vec<_> = read.unwrap().into_iter().map(|it| it.action).collect();
        assert_eq!(actions, ["report.retried", "finding.dismissed"]);
        let many = vec![to_record("report.retried"); EVENTS_MAX + 1];
        let fault = batch(proto::RecordAuditEventsRequest { events: many }).unwrap_err();
        assert_eq!(fault.violations[0].field, "events");
    }

    #[test]
    fn every_field_at_fault_of_a_change_is_told() {
        let event = proto::AuditEventToRecord {
            before_json: "[]".to_owned(),
            ..proto::AuditEventToRecord::default()
        };
        let fields = told(event).unwrap_err().violations;
        let fields: Vec<_> = fields.into_iter().map(|it| it.field).collect();
        let expected = [
            "id",
            "occur_time",
            "action",
            "organization_id",
            "admin_user_id",
            "request_id",
            "before_json",
            "after_json",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn every_filter_at_fault_is_told() {
        let request = common::ListAuditEventsRequest {
            organization_id: "acme".to_owned(),
            actor: "@".to_owned(),
            action: "Linked!".to_owned(),
            since_time: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            until_time: None,
            page_size: -1,
            page_token: "x".to_owned(),
        };
        let fields: Vec<_> = list(request).unwrap_err().violations;
        let fields: Vec<_> = fields.into_iter().map(|v| v.field).collect();
        assert_eq!(
            fields,
            [
                "organization_id",
                "actor",
                "action",
                "since_time",
                "page_size"
            ]
        );
    }
}
