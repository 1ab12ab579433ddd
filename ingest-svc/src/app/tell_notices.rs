//! Hands org-svc what the operator's own channel is to be told.

use std::collections::HashSet;

use billing_kit::{Fault, proto_time};
use billing_proto::org::v1::{NoticeToRecord, RecordNoticesRequest};

use super::hand_over::{Told, hand_over};
use crate::{Parts, store::notices::ToTell};

/// Hands over what is due. Answers how many notices were; 0 when nothing is due.
///
/// # Errors
/// The database or org-svc is away. What was leased is put off, or its lease ends by itself.
pub(crate) async fn tell_notices(parts: &Parts) -> Result<usize, Fault> {
    hand_over::<ToTell>(parts).await
}

impl Told for ToTell {
    const NAME: &'static str = "notices";

    async fn tell(parts: &Parts, due: &[Self]) -> Result<HashSet<String>, Fault> {
        let notices = due.iter().map(message).collect();
        let mut org = parts.notices.clone();
        let answer = org.record_notices(RecordNoticesRequest { notices }).await;
        let answer = answer.map_err(Fault::from_status)?.into_inner();
        Ok(answer.settled_keys.into_iter().collect())
    }
}

fn message(notice: &ToTell) -> NoticeToRecord {
    let ToTell {
        key,
        kind,
        organization_id,
        occurred_at,
        data,
        attempt_count: _,
    } = notice;
    NoticeToRecord {
        key: key.clone(),
        r#type: kind.clone(),
        organization_id: organization_id.map_or_else(String::new, |id| id.to_string()),
        occur_time: Some(proto_time::to_proto(*occurred_at)),
        data_json: data.to_string(),
    }
}
