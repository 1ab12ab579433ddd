//! Hands org-svc, for its audit trail, what admins decided here.

use std::collections::HashSet;

use billing_kit::{Fault, proto_time};
use billing_proto::org::v1::{AuditEventToRecord, RecordAuditEventsRequest};

use super::hand_over::{Told, hand_over};
use crate::{Parts, store::audit_events::ToRecord};

/// Hands over what is due. Answers how many changes were; 0 when nothing is due.
///
/// # Errors
/// The database or org-svc is away. What was leased is put off, or its lease ends by itself.
pub(crate) async fn tell_audit_events(parts: &Parts) -> Result<usize, Fault> {
    hand_over::<ToRecord>(parts).await
}

impl Told for ToRecord {
    const NAME: &'static str = "changes for the audit trail";

    async fn tell(parts: &Parts, due: &[Self]) -> Result<HashSet<String>, Fault> {
        let events = due.iter().map(message).collect();
        let mut org = parts.audit.clone();
        let answer = org
            .record_audit_events(RecordAuditEventsRequest { events })
            .await;
        let answer = answer.map_err(Fault::from_status)?.into_inner();
        Ok(answer.settled_ids.into_iter().collect())
    }
}

fn message(change: &ToRecord) -> AuditEventToRecord {
    AuditEventToRecord {
        id: change.id.to_string(),
        occur_time: Some(proto_time::to_proto(change.occurred_at)),
        action: change.action.clone(),
        organization_id: change.organization_id.to_string(),
        admin_user_id: change.admin_user_id.clone().unwrap_or_default(),
        api_key_id: change
            .api_key_id
            .map_or_else(String::new, |id| id.to_string()),
        client_address: change.client_address.clone().unwrap_or_default(),
        request_id: change.request_id.clone(),
        before_json: change
            .before
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        after_json: change.after.to_string(),
    }
}
