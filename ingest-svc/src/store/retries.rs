//! Refused reports that an admin has sent again.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{day_rule::replaces, sql, unknown_word};
use crate::domain::{delivery::DeliveryState, retry::Retriable};

#[derive(Debug, FromQueryResult)]
struct OrganizationRow {
    organization_id: Uuid,
}

/// Whose report this is; `None` where there is no such report, or it is of the older system.
pub(crate) async fn organization_of(
    db: &impl ConnectionTrait,
    report_id: Uuid,
) -> Result<Option<Uuid>, DbErr> {
    const ORGANIZATION_OF: &str = "
        SELECT organization_id FROM usage_reports
        WHERE id = $1 AND organization_id IS NOT NULL AND NOT adopted";
    let row = OrganizationRow::find_by_statement(sql(ORGANIZATION_OF, [report_id.into()]))
        .one(db)
        .await?;
    Ok(row.map(|row| row.organization_id))
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
) -> Result<Option<Found>, DbErr> {
    const FIND: &str = concat!(
        "SELECT u.delivery_state, u.reported_at, u.sent_customer_id, u.error_code, u.error_message,
            EXISTS (SELECT 1 FROM usage_reports later WHERE ",
        replaces!("'queued'"),
        ") AS is_replaced
        FROM usage_reports u JOIN organization_reporting r USING (organization_id)
        WHERE u.id = $1"
    );
    let row = Row::find_by_statement(sql(FIND, [report_id.into()]))
        .one(db)
        .await?;
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
        .ok_or_else(|| unknown_word("delivery_state", &delivery_state))?;
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
) -> Result<bool, DbErr> {
    const QUEUE: &str = "
        UPDATE usage_reports SET delivery_state = 'queued', attempt_count = 0, first_sent_at = NULL,
            next_attempt_at = greatest(reported_at, $2), settled_at = NULL, error_code = NULL,
            error_message = NULL, resend_count = resend_count + 1, retry_count = retry_count + 1
        WHERE id = $1 AND delivery_state = 'refused'";
    let done = db
        .execute_raw(sql(QUEUE, [report_id.into(), now.into()]))
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Brings a refused report to its end, under the lock of its organization; what Stripe said of it stays.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    report_id: Uuid,
    state: DeliveryState,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    const SETTLE: &str = "
        UPDATE usage_reports SET delivery_state = $2, settled_at = $3
        WHERE id = $1 AND delivery_state = 'refused'";
    let values = [report_id.into(), state.as_str().into(), now.into()];
    let done = db.execute_raw(sql(SETTLE, values)).await?;
    Ok(done.rows_affected() > 0)
}
