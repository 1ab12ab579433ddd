//! Hands org-svc what the operator's own channel is to be told: lease, call, forget.
//!
//! No transaction is held across the call. A crash in between leaves a lease that ends by itself, and
//! org-svc stores each notice once by its key. It is never given up: org-svc comes back.

use std::collections::HashSet;

use billing_kit::{Fault, proto_time};
use billing_kit_db::db_fault;
use billing_proto::org::v1::{NoticeToRecord, RecordNoticesRequest};
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;

use crate::{
    Parts,
    domain::delivery::backoff,
    store::notices::{self, ToTell},
};

/// How many notices are handed over at once.
const BATCH_MAX: i64 = 100;
/// Longer than the call's deadline, so that a lease that ended belongs to a call that ended.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// Hands over what is due. Answers how many notices were; 0 when nothing is due.
///
/// # Errors
/// The database or org-svc is away. What was leased is put off, or its lease ends by itself.
pub(crate) async fn tell_notices(parts: &Parts) -> Result<usize, Fault> {
    let token = parts.deps.ids.next();
    let now = parts.deps.clock.now();
    let due = notices::lease(&parts.db, token, now, now + LEASE, BATCH_MAX)
        .await
        .map_err(db_fault)?;
    if due.is_empty() {
        return Ok(0);
    }
    let (settled, told) = match record(parts, &due).await {
        Ok(settled) => (settled, Ok(due.len())),
        Err(fault) => (HashSet::new(), Err(fault)),
    };
    let (settled, open): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|it| settled.contains(&it.key));
    if told.is_ok() && !open.is_empty() {
        let count = open.len();
        tracing::warn!(count, "org-svc cannot read notices; they are told again");
    }
    let keys = settled.into_iter().map(|it| it.key).collect();
    notices::forget(&parts.db, token, keys)
        .await
        .map_err(db_fault)?;
    let now = parts.deps.clock.now();
    let next: Vec<_> = open.into_iter().map(|it| next_attempt(it, now)).collect();
    notices::postpone(&parts.db, token, &next)
        .await
        .map_err(db_fault)?;
    told
}

/// When one that was not taken is told again; with jitter, so that not all come back together.
fn next_attempt(notice: ToTell, now: DateTime<Utc>) -> (String, DateTime<Utc>) {
    let wait = backoff(notice.attempt_count.saturating_add(1));
    let wait = rand::rng().random_range(wait / 2..=wait);
    (notice.key, now + wait)
}

/// The keys that org-svc needs no more.
async fn record(parts: &Parts, due: &[ToTell]) -> Result<HashSet<String>, Fault> {
    let notices = due.iter().map(message).collect();
    let mut org = parts.notices.clone();
    let answer = org.record_notices(RecordNoticesRequest { notices }).await;
    let answer = answer.map_err(Fault::from_status)?.into_inner();
    Ok(answer.settled_keys.into_iter().collect())
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
