//! Refused reports that an admin has sent again.

use billing_kit_db::{
    StoreError,
    query::{composed, greatest},
};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter,
    QuerySelect, Set, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    day_rule::replaces,
    entities::reports::{ActiveModel, Column, Entity, Scope as _},
};
use crate::domain::{delivery::DeliveryState, retry::Retriable};

/// Whose report this is; `None` where there is no such report, or it is of the older system.
pub(crate) async fn organization_of(
    db: &impl ConnectionTrait,
    report_id: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    let id: Option<Uuid> = Entity::find()
        .with_id(report_id)
        .filter(Column::OrganizationId.is_not_null())
        .filter(Column::Adopted.eq(false))
        .select_only()
        .column(Column::OrganizationId)
        .into_tuple()
        .one(db)
        .await?;
    Ok(id)
}

/// A report, and the error that Stripe gave.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) report: Retriable,
    pub(crate) error: Option<(String, String)>,
}

#[derive(Debug, FromQueryResult)]
struct Row {
    delivery_state: String,
    reported_at: DateTime<Utc>,
    sent_customer_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    is_replaced: bool,
}

/// A report that is to be sent again, under the lock of its organization.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    report_id: Uuid,
) -> Result<Option<Found>, StoreError> {
    const FIND: &str = concat!(
        "SELECT u.delivery_state, u.reported_at, u.sent_customer_id, u.error_code, u.error_message,
            EXISTS (SELECT 1 FROM usage_reports later WHERE ",
        replaces!("'queued'"),
        ") AS is_replaced
        FROM usage_reports u JOIN organization_reporting r USING (organization_id)
        WHERE u.id = {report_id}"
    );
    let find = composed(FIND, [("report_id", report_id.into())]);
    let row = Row::find_by_statement(find).one(db).await?;
    let Some(Row {
        delivery_state,
        reported_at,
        sent_customer_id,
        error_code,
        error_message,
        is_replaced,
    }) = row
    else {
        return Ok(None);
    };
    let state = DeliveryState::parse(&delivery_state)
        .ok_or_else(|| StoreError::unknown("delivery_state", &delivery_state))?;
    Ok(Some(Found {
        report: Retriable {
            state,
            reported_at,
            sent_customer_id,
            is_replaced,
        },
        error: error_code.map(|code| (code, error_message.unwrap_or_default())),
    }))
}

/// Puts a refused report back into the queue, under the lock of its organization; answers how often that
/// was done. Of its first way nothing is under way any more, so it is judged like one that was never
/// sent; only its customer stays, for whom its identifier stands.
pub(crate) async fn queue(
    db: &impl ConnectionTrait,
    report_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let queued = ActiveModel {
        delivery_state: Set(DeliveryState::Queued.as_str().to_owned()),
        attempt_count: Set(0),
        first_sent_at: Set(None),
        settled_at: Set(None),
        error_code: Set(None),
        error_message: Set(None),
        ..Default::default()
    };
    let due = greatest([Column::ReportedAt.into_expr(), Expr::val(now)]);
    let once_more = |count: Column| count.into_expr().add(1);
    let done = Entity::update_many()
        .set(queued)
        .col_expr(Column::NextAttemptAt, due)
        .col_expr(Column::ResendCount, once_more(Column::ResendCount))
        .col_expr(Column::RetryCount, once_more(Column::RetryCount))
        .with_id(report_id)
        .in_state(DeliveryState::Refused)
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}

/// Brings a refused report to its end, under the lock of its organization; what Stripe said of it stays.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    report_id: Uuid,
    state: DeliveryState,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let settled = ActiveModel {
        delivery_state: Set(state.as_str().to_owned()),
        settled_at: Set(Some(now)),
        ..Default::default()
    };
    let done = Entity::update_many()
        .set(settled)
        .with_id(report_id)
        .in_state(DeliveryState::Refused)
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}
