//! `reconciliation_pass`, and our books as they are compared.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{sql, unknown_word};
use crate::domain::{delivery::DeliveryState, invoiced::BookedReport, reconciliation::LedgerDay};

/// How far the pass under way is.
#[derive(Debug, Clone, Copy, FromQueryResult)]
pub(crate) struct Place {
    /// The last organization that is done with; none at the beginning.
    pub(crate) after_id: Option<Uuid>,
    /// Attempts at the next one that brought no answer.
    pub(crate) attempt_count: i32,
}

/// Leases the pass where its next step is due and nobody else has it; begins one where none is under
/// way.
pub(crate) async fn lease(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Place>, DbErr> {
    const LEASE: &str = "
        UPDATE reconciliation_pass SET lease_token = $1, lease_until = $3,
            started_at = coalesce(started_at, $2)
        WHERE (next_step_at IS NULL OR next_step_at <= $2)
            AND (lease_until IS NULL OR lease_until < $2)
        RETURNING after_id, attempt_count";
    Place::find_by_statement(sql(LEASE, [token.into(), now.into(), until.into()]))
        .one(db)
        .await
}

/// A linked organization.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Linked {
    pub(crate) organization_id: Uuid,
    pub(crate) stripe_customer_id: String,
    pub(crate) billing_start_at: DateTime<Utc>,
    pub(crate) billable: bool,
    pub(crate) trial_end_at: Option<DateTime<Utc>>,
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
}

/// The linked organizations after this one, in the order of their ids.
pub(crate) async fn linked_after(
    db: &impl ConnectionTrait,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Linked>, DbErr> {
    const LINKED_AFTER: &str = "
        SELECT organization_id, stripe_customer_id, billing_start_at, billable, trial_end_at,
            invoiced_until
        FROM organization_reporting
        WHERE stripe_customer_id IS NOT NULL AND billing_start_at IS NOT NULL AND organization_id > $1
        ORDER BY organization_id LIMIT $2";
    let after = after.unwrap_or(Uuid::nil());
    Linked::find_by_statement(sql(LINKED_AFTER, [after.into(), limit.into()]))
        .all(db)
        .await
}

/// Locks an organization and answers how it is linked now. One that is drained takes nothing more into
/// its queue: its last invoice is being made.
pub(crate) async fn lock_linked(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Option<Linked>, DbErr> {
    const LOCK_LINKED: &str = "
        SELECT organization_id, stripe_customer_id, billing_start_at, trial_end_at, invoiced_until,
            billable AND NOT (draining AND (drained
                OR drained_version IS NOT DISTINCT FROM standing_version)) AS billable
        FROM organization_reporting
        WHERE stripe_customer_id IS NOT NULL AND billing_start_at IS NOT NULL AND organization_id = $1
        FOR UPDATE";
    Linked::find_by_statement(sql(LOCK_LINKED, [organization_id.into()]))
        .one(db)
        .await
}

#[derive(Debug, FromQueryResult)]
struct LedgerRow {
    day: NaiveDate,
    id: Uuid,
    user_count: i32,
    reported_at: DateTime<Utc>,
    delivery_state: String,
    settled_at: Option<DateTime<Utc>>,
    resend_count: i32,
    earlier_counts: Vec<i32>,
    has_adopted: bool,
}

/// An organization's days from this one on, each with its report that may count.
pub(crate) async fn ledger(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    from: DateTime<Utc>,
) -> Result<Vec<LedgerDay>, DbErr> {
    const LEDGER: &str = "
        WITH may_count AS (
            SELECT id, user_count, reported_at, delivery_state, settled_at,
                -- An admin's retries are no resends of ours.
                resend_count - retry_count AS resend_count, adopted,
                (reported_at AT TIME ZONE 'UTC')::date AS day
            FROM usage_reports
            WHERE organization_id = $1 AND reported_at >= $2
                AND delivery_state IN ('waiting', 'queued', 'sent', 'refused'))
        SELECT DISTINCT ON (c.day) c.day, c.id, c.user_count, c.reported_at, c.delivery_state,
            c.settled_at, c.resend_count,
            bool_or(c.adopted) OVER (PARTITION BY c.day) AS has_adopted,
            ARRAY(SELECT e.user_count FROM may_count e WHERE e.day = c.day
                AND e.reported_at < c.reported_at AND e.delivery_state = 'sent') AS earlier_counts
        FROM may_count c ORDER BY c.day, c.reported_at DESC, c.id DESC";
    let rows = LedgerRow::find_by_statement(sql(LEDGER, [organization_id.into(), from.into()]))
        .all(db)
        .await?;
    rows.into_iter()
        .map(
            |LedgerRow {
                 day,
                 id,
                 user_count,
                 reported_at,
                 delivery_state,
                 settled_at,
                 resend_count,
                 earlier_counts,
                 has_adopted,
             }| {
                Ok(LedgerDay {
                    day,
                    report_id: id,
                    user_count,
                    reported_at,
                    state: DeliveryState::parse(&delivery_state)
                        .ok_or_else(|| unknown_word("delivery_state", &delivery_state))?,
                    settled_at,
                    resend_count,
                    earlier_counts,
                    has_adopted,
                })
            },
        )
        .collect()
}

/// Puts reports that were sent back into the queue, under the lock of their organization.
pub(crate) async fn queue_again(
    db: &impl ConnectionTrait,
    reports: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const QUEUE_AGAIN: &str = "
        UPDATE usage_reports SET delivery_state = 'queued', stripe_meter_event_id = NULL,
            attempt_count = 0, next_attempt_at = $2, settled_at = NULL, resend_count = resend_count + 1
        WHERE id = ANY($1) AND delivery_state = 'sent'";
    db.execute_raw(sql(QUEUE_AGAIN, [reports.into(), now.into()]))
        .await
        .map(drop)
}

/// Marks reports that were sent as those that missed their invoice, under the lock of their
/// organization: Stripe does not count them.
pub(crate) async fn mark_missed(
    db: &impl ConnectionTrait,
    reports: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const MARK_MISSED: &str = "
        UPDATE usage_reports SET delivery_state = 'missed_invoice', stripe_meter_event_id = NULL,
            settled_at = $2
        WHERE id = ANY($1) AND delivery_state = 'sent'";
    db.execute_raw(sql(MARK_MISSED, [reports.into(), now.into()]))
        .await
        .map(drop)
}

#[derive(Debug, FromQueryResult)]
struct BookedRow {
    reported_at: DateTime<Utc>,
    user_count: i32,
    delivery_state: String,
    adopted: bool,
}

/// An organization's reports of this time that are with Stripe, or may still get there.
pub(crate) async fn booked(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Vec<BookedReport>, DbErr> {
    const BOOKED: &str = "
        SELECT reported_at, user_count, delivery_state, adopted FROM usage_reports
        WHERE organization_id = $1 AND reported_at >= $2 AND reported_at < $3
            AND delivery_state IN ('waiting', 'queued', 'sent')
        ORDER BY reported_at";
    let values = [organization_id.into(), from.into(), to.into()];
    let rows = BookedRow::find_by_statement(sql(BOOKED, values))
        .all(db)
        .await?;
    rows.into_iter()
        .map(
            |BookedRow {
                 reported_at,
                 user_count,
                 delivery_state,
                 adopted,
             }| {
                Ok(BookedReport {
                    reported_at,
                    user_count,
                    state: DeliveryState::parse(&delivery_state)
                        .ok_or_else(|| unknown_word("delivery_state", &delivery_state))?,
                    is_adopted: adopted,
                })
            },
        )
        .collect()
}

/// Moves the pass past an organization and keeps the lease. Answers whether it was still ours.
pub(crate) async fn move_past(
    db: &impl ConnectionTrait,
    token: Uuid,
    organization_id: Uuid,
    is_skipped: bool,
    until: DateTime<Utc>,
) -> Result<bool, DbErr> {
    const MOVE_PAST: &str = "
        UPDATE reconciliation_pass SET after_id = $2, attempt_count = 0, lease_until = $4,
            skipped_count = skipped_count + $3
        WHERE lease_token = $1";
    let values = [
        token.into(),
        organization_id.into(),
        i32::from(is_skipped).into(),
        until.into(),
    ];
    let done = db.execute_raw(sql(MOVE_PAST, values)).await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the lease back; the pass goes on at `next_step_at`, after so many attempts at its next
/// organization.
pub(crate) async fn pause(
    db: &impl ConnectionTrait,
    token: Uuid,
    attempt_count: i32,
    next_step_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    const PAUSE: &str = "
        UPDATE reconciliation_pass SET lease_token = NULL, lease_until = NULL, attempt_count = $2,
            next_step_at = $3
        WHERE lease_token = $1";
    db.execute_raw(sql(
        PAUSE,
        [token.into(), attempt_count.into(), next_step_at.into()],
    ))
    .await
    .map(drop)
}

/// Ends the pass and gives the lease back.
pub(crate) async fn end_pass(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    next_pass_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    const END_PASS: &str = "
        UPDATE reconciliation_pass SET lease_token = NULL, lease_until = NULL, started_at = NULL,
            after_id = NULL, attempt_count = 0, next_step_at = $3,
            last_full_pass_at = $2, last_skipped_count = skipped_count, skipped_count = 0
        WHERE lease_token = $1";
    db.execute_raw(sql(
        END_PASS,
        [token.into(), now.into(), next_pass_at.into()],
    ))
    .await
    .map(drop)
}

/// How reconciliation stands.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Standing {
    pub(crate) last_full_pass_at: Option<DateTime<Utc>>,
    pub(crate) last_skipped_count: i32,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) open_count: i64,
}

/// Tells how reconciliation stands.
pub(crate) async fn standing(db: &impl ConnectionTrait) -> Result<Option<Standing>, DbErr> {
    const STANDING: &str = "
        SELECT last_full_pass_at, last_skipped_count, started_at,
            (SELECT count(*) FROM billing_findings
                WHERE resolved_at IS NULL AND dismissed_at IS NULL) AS open_count
        FROM reconciliation_pass";
    Standing::find_by_statement(sql(STANDING, [])).one(db).await
}
