//! The part of `organization_reporting` that is about drains: organizations whose subscription is about
//! to be canceled at once, as far as org-svc does not know yet that nothing is left to deliver.
//!
//! The mark that says so is the standing under which it was found, so it is void as soon as the
//! organization stands otherwise, until org-svc knows: then its standings say so themselves. Everything
//! here is decided under the organization's row lock.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, Order, QueryOrder,
    QuerySelect, Set, raw_sql,
    sea_query::{Expr, LockBehavior, LockType, NullOrdering},
};
use uuid::Uuid;

use super::entities::reporting::{ActiveModel, Column, Entity, Scope as _};

/// An organization that drains.
#[derive(Debug, Clone, Copy)]
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
) -> Result<Option<Drain>, StoreError> {
    let row = Entity::find()
        .drain_due(now)
        .order_by_with_nulls(Column::DrainStepAt, Order::Asc, NullOrdering::First)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .one(db)
        .await?;
    Ok(row.map(|row| Drain {
        organization_id: row.organization_id,
        standing_version: row.standing_version,
        is_drained: row.drained_version == Some(row.standing_version),
        attempt_count: row.drain_attempt_count,
    }))
}

/// Whether nothing of an organization is left to be delivered: its queue and its part of the spool are
/// empty, and no report is held for a person, who may release it. Of one that cannot be billed as it is
/// the queue stands still: there it is enough that nothing is on its way.
pub(crate) async fn is_empty(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        is_empty: bool,
    }
    let is_empty = raw_sql!(
        Postgres,
        "SELECT NOT EXISTS (SELECT 1 FROM usage_report_spool s WHERE s.organization_id = r.organization_id)
            AND CASE WHEN r.billable THEN NOT EXISTS (SELECT 1 FROM usage_reports u
                    WHERE u.organization_id = r.organization_id AND u.delivery_state IN ('queued', 'held'))
                ELSE r.lease_until IS NULL OR r.lease_until < {now} END AS is_empty
        FROM organization_reporting r WHERE r.organization_id = {organization_id}"
    );
    let row = Row::find_by_statement(is_empty).one(db).await?;
    Ok(row.is_some_and(|row| row.is_empty))
}

/// Marks an organization: from now on its reports wait, while it stands as it does.
pub(crate) async fn mark_drained(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::DrainedVersion, Column::StandingVersion.into_expr())
        .col_expr(Column::DrainAttemptCount, Expr::val(0))
        .of_organization(organization_id)
        .exec(db)
        .await?;
    Ok(())
}

/// Notes when a drain is next to be looked at.
pub(crate) async fn look_again_at(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    time: DateTime<Utc>,
) -> Result<(), StoreError> {
    let later = ActiveModel {
        drain_step_at: Set(Some(time)),
        ..Default::default()
    };
    Entity::update_many()
        .set(later)
        .of_organization(organization_id)
        .exec(db)
        .await?;
    Ok(())
}

/// Notes that org-svc knows of a drain, or of another standing than the one that was drained.
pub(crate) async fn acknowledge(db: &impl ConnectionTrait, drain: Drain) -> Result<(), StoreError> {
    let acknowledged = ActiveModel {
        drain_acknowledged_version: Set(Some(drain.standing_version)),
        drain_step_at: Set(None),
        drain_attempt_count: Set(0),
        ..Default::default()
    };
    Entity::update_many()
        .set(acknowledged)
        .of_organization(drain.organization_id)
        .standing_as(drain.standing_version)
        .exec(db)
        .await?;
    Ok(())
}

/// Notes that org-svc did not answer, and when it is asked again.
pub(crate) async fn put_off(
    db: &impl ConnectionTrait,
    drain: Drain,
    time: DateTime<Utc>,
) -> Result<(), StoreError> {
    let attempts = Column::DrainAttemptCount.into_expr().add(1);
    Entity::update_many()
        .col_expr(Column::DrainStepAt, Expr::val(time))
        .col_expr(Column::DrainAttemptCount, attempts)
        .of_organization(drain.organization_id)
        .standing_as(drain.standing_version)
        .exec(db)
        .await?;
    Ok(())
}
