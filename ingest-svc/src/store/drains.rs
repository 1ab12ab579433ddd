//! The part of `organization_reporting` that is about drains: organizations whose subscription is about
//! to be canceled at once, as far as org-svc does not know yet that nothing is left to deliver.
//!
//! The mark that says so is the standing under which it was found, so it is void as soon as the
//! organization stands otherwise, until org-svc knows: then its standings say so themselves. Everything
//! here is decided under the organization's row lock.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::sql;

/// An organization that drains.
#[derive(Debug, Clone, Copy, FromQueryResult)]
pub(crate) struct Drain {
    pub(crate) organization_id: Uuid,
    pub(crate) standing_version: i64,
    /// Whether it is marked: nothing was left to deliver, and what came since waits.
    pub(crate) is_drained: bool,
    /// Confirmations that org-svc did not answer.
    pub(crate) attempt_count: i32,
}

/// Locks the organization whose drain is to be looked at and that nobody else looks at.
pub(crate) async fn lock_due(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
) -> Result<Option<Drain>, DbErr> {
    const LOCK_DUE: &str = "
        SELECT organization_id, standing_version, drain_attempt_count AS attempt_count,
            drained_version IS NOT DISTINCT FROM standing_version AS is_drained
        FROM organization_reporting
        WHERE draining AND NOT drained AND drain_acknowledged_version IS DISTINCT FROM standing_version
            AND (drain_step_at IS NULL OR drain_step_at <= $1)
        ORDER BY drain_step_at NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED";
    Drain::find_by_statement(sql(LOCK_DUE, [now.into()]))
        .one(db)
        .await
}

/// Whether nothing of an organization is left to be delivered: its queue and its part of the spool are
/// empty, and no report is held for a person, who may release it. Of one that cannot be billed as it is the queue stands still: there it is enough that nothing
/// is on its way.
pub(crate) async fn is_empty(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        is_empty: bool,
    }
    const IS_EMPTY: &str = "
        SELECT NOT EXISTS (SELECT 1 FROM usage_report_spool s WHERE s.organization_id = r.organization_id)
            AND CASE WHEN r.billable THEN NOT EXISTS (SELECT 1 FROM usage_reports u
                    WHERE u.organization_id = r.organization_id AND u.delivery_state IN ('queued', 'held'))
                ELSE r.lease_until IS NULL OR r.lease_until < $2 END AS is_empty
        FROM organization_reporting r WHERE r.organization_id = $1";
    let row = Row::find_by_statement(sql(IS_EMPTY, [organization_id.into(), now.into()]))
        .one(db)
        .await?;
    Ok(row.is_some_and(|row| row.is_empty))
}

/// Marks an organization: from now on its reports wait, while it stands as it does.
pub(crate) async fn mark_drained(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<(), DbErr> {
    const MARK_DRAINED: &str = "
        UPDATE organization_reporting SET drained_version = standing_version, drain_attempt_count = 0
        WHERE organization_id = $1";
    let statement = sql(MARK_DRAINED, [organization_id.into()]);
    db.execute_raw(statement).await.map(drop)
}

/// Notes when a drain is next to be looked at.
pub(crate) async fn look_again_at(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    time: DateTime<Utc>,
) -> Result<(), DbErr> {
    const LOOK_AGAIN_AT: &str =
        "UPDATE organization_reporting SET drain_step_at = $2 WHERE organization_id = $1";
    let statement = sql(LOOK_AGAIN_AT, [organization_id.into(), time.into()]);
    db.execute_raw(statement).await.map(drop)
}

/// Notes that org-svc knows of a drain, or of another standing than the one that was drained.
pub(crate) async fn acknowledge(db: &impl ConnectionTrait, drain: Drain) -> Result<(), DbErr> {
    const ACKNOWLEDGE: &str = "
        UPDATE organization_reporting SET drain_acknowledged_version = $2, drain_step_at = NULL,
            drain_attempt_count = 0
        WHERE organization_id = $1 AND standing_version = $2";
    let values = [drain.organization_id.into(), drain.standing_version.into()];
    db.execute_raw(sql(ACKNOWLEDGE, values)).await.map(drop)
}

/// Notes that org-svc did not answer, and when it is asked again.
pub(crate) async fn put_off(
    db: &impl ConnectionTrait,
    drain: Drain,
    time: DateTime<Utc>,
) -> Result<(), DbErr> {
    const PUT_OFF: &str = "
        UPDATE organization_reporting SET drain_step_at = $3,
            drain_attempt_count = drain_attempt_count + 1
        WHERE organization_id = $1 AND standing_version = $2";
    let values = [
        drain.organization_id.into(),
        drain.standing_version.into(),
        time.into(),
    ];
    db.execute_raw(sql(PUT_OFF, values)).await.map(drop)
}
