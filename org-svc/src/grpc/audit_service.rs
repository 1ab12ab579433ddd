//! `billing.org.v1.AuditService`.

use std::sync::Arc;

use billing_kit::{Fault, assertion::Verifier, proto_time};
use billing_proto::org::v1 as proto;
use billing_proto::org::v1::audit_service_server::AuditService;
use tonic::{Request, Response, Status};

use super::{door::Door, messages};
use crate::{
    app::{Admins, list_audit_events::list_audit_events},
    domain::{
        audit::{Actor, AuditFilter, parse_action},
        keyset::Keyset,
        organization::OrganizationId,
        page::PageSize,
    },
};

/// The service.
#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) app: Arc<Admins>,
    pub(crate) verifier: Verifier,
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_events(
        &self,
        request: Request<proto::ListAuditEventsRequest>,
    ) -> Result<Response<proto::ListAuditEventsResponse>, Status> {
        self.verifier.reader(request.metadata())?;
        let (filter, after, size) = list(request.into_inner())?;
        let page = list_audit_events(&self.app, &filter, after, size).await?;
        let next = page.next.map(|next| next.to_token(&name_of(&filter)));
        Ok(Response::new(proto::ListAuditEventsResponse {
            events: page.events.into_iter().map(messages::audit_event).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

/// What tells a list's page tokens from those of other filters.
fn name_of(filter: &AuditFilter) -> String {
    format!("audit {filter:?}")
}

fn list(
    request: proto::ListAuditEventsRequest,
) -> Result<(AuditFilter, Option<Keyset>, PageSize), Fault> {
    let proto::ListAuditEventsRequest {
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

    #[test]
    fn every_filter_at_fault_is_told() {
        let request = proto::ListAuditEventsRequest {
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
