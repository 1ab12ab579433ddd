//! Lists who changed what.

use billing_kit::{Fault, proto_time};
use billing_proto::org::v1::{self as org, ListAuditEventsRequest};

use super::{Admin, App, translate};
use crate::{
    domain::audit_event::{AuditEvent, AuditFilter},
    upstream::internal_fault,
};

/// A page of changes, the latest first.
#[derive(Debug, Clone)]
pub(crate) struct AuditPage {
    /// The changes.
    pub events: Vec<AuditEvent>,
    /// Where the next page begins; `None` after the last.
    pub next_page_token: Option<String>,
}

impl App {
    /// Lists the changes that the filter picks.
    ///
    /// # Errors
    /// A filter or page token that is none; org-svc away.
    pub(crate) async fn list_audit_events(
        &self,
        admin: &Admin,
        filter: AuditFilter,
        page_size: i32,
        page_token: String,
    ) -> Result<AuditPage, Fault> {
        let AuditFilter {
            organization_id,
            actor,
            action,
            since,
            until,
        } = filter;
        let request = admin.request(ListAuditEventsRequest {
            organization_id,
            actor,
            action,
            since_time: since.map(proto_time::to_proto),
            until_time: until.map(proto_time::to_proto),
            page_size,
            page_token,
        });
        let mut audit = self.upstream.audit.clone();
        let listed = audit.list_audit_events(request).await;
        let org::ListAuditEventsResponse {
            events,
            next_page_token,
        } = listed.map_err(internal_fault)?.into_inner();
        let events = events.into_iter().map(from_message);
        Ok(AuditPage {
            events: events.collect::<Result<_, _>>()?,
            next_page_token: translate::filled(next_page_token),
        })
    }
}

fn from_message(message: org::AuditEvent) -> Result<AuditEvent, Fault> {
    let org::AuditEvent {
        id,
        occur_time,
        action,
        organization_id,
        admin_user_id,
        admin_email,
        api_key_id,
        client_address,
        request_id,
        before_json,
        after_json,
    } = message;
    Ok(AuditEvent {
        id: translate::id(&id)?,
        occurred_at: translate::time(occur_time, "occur_time")?,
        action,
        organization_id: translate::filled(organization_id),
        admin_user_id: translate::filled(admin_user_id),
        admin_email: translate::filled(admin_email),
        api_key_id: translate::filled(api_key_id),
        client_address: translate::filled(client_address),
        request_id: translate::filled(request_id),
        before: translate::filled(before_json),
        after: translate::filled(after_json),
    })
}
