//! The outbox: leasing organizations with queued reports, and settling what became of them.
//!
//! The lease is the organization's, not the report's: never are two reports of one organization on
//! their way at once, so Stripe receives them in their order.

use billing_kit_db::{
    StoreError,
    query::{column, composed},
};
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, EntityTrait, FromQueryResult, QueryOrder, QuerySelect, raw_sql,
    sea_query::LockType,
};
use uuid::Uuid;

use super::{
    day_rule::replaces,
    entities::reporting::{Column, Entity, Scope as _},
    missed_invoices,
    notices::tell_held,
};
use crate::domain::delivery::{AGE_MAX, DeliveryState};

/// A report that is on its way.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct InFlight {
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) stripe_customer_id: String,
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) attempt_count: i32,
    /// How often reconciliation put it back.
    pub(crate) resend_count: i32,
}

#[derive(Debug, FromQueryResult)]
struct OrganizationRow {
    organization_id: Uuid,
}

/// Leases up to `limit` organizations whose queue is due and that nobody else has.
pub(crate) async fn lease(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let lease = raw_sql!(
        Postgres,
        "WITH due AS (
            SELECT organization_id FROM organization_reporting
            WHERE next_delivery_at <= {now} AND (lease_until IS NULL OR lease_until < {now})
            ORDER BY next_delivery_at LIMIT {limit} FOR UPDATE SKIP LOCKED)
        UPDATE organization_reporting r SET lease_token = {token}, lease_until = {until}
        FROM due WHERE r.organization_id = due.organization_id
        RETURNING r.organization_id"
    );
    let rows = OrganizationRow::find_by_statement(lease).all(db).await?;
    Ok(rows.into_iter().map(|row| row.organization_id).collect())
}

/// Takes out of the queue what is not to be sent any more: what is judged otherwise by now, and a
/// report with a later one of its UTC day.
///
/// A report that has been on its way stays until its outcome is known, whatever came later. Its event
/// may still be under way: were the later one sent meanwhile, the earlier could arrive after it and
/// count for the day. Once Stripe has answered to its identifier it arrives no more.
pub(crate) async fn drop_outdated(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const SUPERSEDE: &str = concat!(
        "UPDATE usage_reports u SET settled_at = {now}, next_attempt_at = NULL, delivery_state = 'superseded'
        FROM organization_reporting r
        WHERE u.organization_id = ANY({organizations}) AND r.organization_id = u.organization_id
            AND u.delivery_state = 'queued' AND u.first_sent_at IS NULL
            AND EXISTS (SELECT 1 FROM usage_reports later WHERE ",
        replaces!("'queued'"),
        ")"
    );
    judge_again(db, organizations.clone(), now).await?;
    let values = [("organizations", organizations.into()), ("now", now.into())];
    db.execute_raw(composed(SUPERSEDE, values)).await?;
    Ok(())
}

/// Judges anew what waits, and what is queued and was not on its way yet, by how its organization
/// stands. What was on its way is brought to its outcome first, unless Stripe would take it no more:
/// nobody may say of it that it is not billed before Stripe has.
///
/// So is what was replaced by a report that is not to be billed after all, which the end of the
/// subscription alone can bring about, on its own UTC day.
async fn judge_again(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const BRING_BACK: &str = concat!(
        "UPDATE usage_reports u SET delivery_state = 'waiting', settled_at = NULL
        FROM organization_reporting r
        WHERE r.organization_id = ANY({organizations}) AND u.organization_id = r.organization_id
            AND u.delivery_state = 'superseded' AND NOT u.adopted
            AND u.reported_at >= greatest(r.billing_start_at, date_trunc('day', r.billing_end_at, 'UTC'))
            AND u.reported_at < r.billing_end_at
            AND NOT EXISTS (SELECT 1 FROM usage_reports later WHERE ",
        replaces!("'waiting', 'queued', 'refused', 'too_late', 'missed_invoice'"),
        ")"
    );
    // The same rules as domain::delivery::state_at_recording, which a test holds against these.
    const JUDGE_AGAIN: &str = concat!(
        "WITH judged AS (
            SELECT u.id, CASE
                WHEN r.billing_start_at IS NOT NULL
                    AND (u.reported_at < r.billing_start_at OR u.reported_at >= r.billing_end_at)
                    THEN 'not_billed'
                WHEN r.billing_start_at IS NOT NULL AND u.reported_at < r.invoiced_until
                    AND (r.trial_end_at IS NULL OR u.reported_at >= r.trial_end_at)
                    THEN 'missed_invoice'
                WHEN r.billable AND r.billing_start_at IS NOT NULL
                    THEN CASE WHEN u.reported_at < {oldest} THEN 'too_late'
                        WHEN r.draining AND (r.drained OR r.drained_version = r.standing_version)
                            THEN 'waiting'
                        WHEN u.hold_reason IS NOT NULL AND NOT EXISTS (
                            SELECT 1 FROM hold_decisions h WHERE h.report_id = u.id) THEN 'held'
                        ELSE 'queued' END
                WHEN NOT r.billable AND r.subscription_status IN ('canceled', 'incomplete_expired')
                    THEN 'not_billed'
                ELSE 'waiting' END AS state
            FROM usage_reports u JOIN organization_reporting r USING (organization_id)
            WHERE u.organization_id = ANY({organizations}) AND (u.delivery_state = 'waiting'
                OR u.delivery_state = 'queued' AND (u.first_sent_at IS NULL
                    OR r.billable AND u.reported_at < {oldest}))),
        moved AS (
            UPDATE usage_reports u SET
                delivery_state = j.state,
                next_attempt_at = CASE WHEN j.state = 'queued' THEN greatest(u.reported_at, {now}) END,
                settled_at = CASE WHEN j.state NOT IN ('queued', 'waiting', 'held') THEN {now}::timestamptz END
            FROM judged j WHERE u.id = j.id AND j.state <> u.delivery_state
            RETURNING u.id, u.organization_id, u.delivery_state, u.reported_at, u.user_count,
                u.instance_url, u.hold_reason, u.error_message, u.compared_with),
        told AS (",
        tell_held!(),
        ")
        SELECT DISTINCT organization_id FROM moved WHERE delivery_state = 'missed_invoice'"
    );
    let values = [("organizations", organizations.clone().into())];
    db.execute_raw(composed(BRING_BACK, values)).await?;
    let oldest = now - AGE_MAX;
    let values = [
        ("organizations", organizations.into()),
        ("now", now.into()),
        ("oldest", oldest.into()),
    ];
    let missed = OrganizationRow::find_by_statement(composed(JUDGE_AGAIN, values))
        .all(db)
        .await?;
    let missed: Vec<_> = missed.into_iter().map(|row| row.organization_id).collect();
    missed_invoices::settle(db, missed, now).await
}

/// The first queued report of each of these organizations, where it is due.
pub(crate) async fn first_queued(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<Vec<InFlight>, StoreError> {
    let first_queued = raw_sql!(
        Postgres,
        "SELECT u.id, u.organization_id, u.user_count, u.reported_at, u.attempt_count, u.resend_count,
            coalesce(u.sent_customer_id, r.stripe_customer_id) AS stripe_customer_id
        FROM organization_reporting r
        CROSS JOIN LATERAL (SELECT q.id, q.organization_id, q.user_count, q.reported_at, q.attempt_count,
                q.resend_count, q.sent_customer_id, q.next_attempt_at
            FROM usage_reports q
            WHERE q.organization_id = r.organization_id AND q.delivery_state = 'queued'
                AND coalesce(q.sent_customer_id, r.stripe_customer_id) IS NOT NULL
            ORDER BY q.reported_at LIMIT 1) u
        WHERE r.organization_id = ANY({organizations}) AND u.next_attempt_at <= {now}"
    );
    let first = InFlight::find_by_statement(first_queued);
    Ok(first.all(db).await?)
}

/// Notes, before they are sent, that these reports have been on their way, and for whom: what becomes
/// of the link meanwhile is no reason to lose sight of them.
pub(crate) async fn mark_sent(
    db: &impl ConnectionTrait,
    in_flight: &[InFlight],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<_> = in_flight.iter().map(|report| report.id).collect();
    let customers = in_flight.iter().map(|it| it.stripe_customer_id.clone());
    let customers: Vec<_> = customers.collect();
    let mark_sent = raw_sql!(
        Postgres,
        "UPDATE usage_reports u SET first_sent_at = {now}, sent_customer_id = s.customer_id
        FROM unnest({ids}::uuid[], {customers}::text[]) AS s (id, customer_id)
        WHERE u.id = s.id AND u.first_sent_at IS NULL"
    );
    db.execute_raw(mark_sent).await?;
    Ok(())
}

/// What became of a report.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) report_id: Uuid,
    /// Sent, refused, or queued again.
    pub(crate) state: DeliveryState,
    /// Whether it counts as an attempt, after which the next wait is longer.
    pub(crate) is_attempt: bool,
    /// For a report that was sent.
    pub(crate) stripe_meter_event_id: Option<String>,
    /// For one that was refused or is queued again: the code and the sentence.
    pub(crate) error: Option<(String, String)>,
    /// For one that is queued again.
    pub(crate) next_attempt_at: Option<DateTime<Utc>>,
}

/// Locks the organizations that are still leased under `token` and answers them: what a lost lease
/// held is no longer ours to settle.
pub(crate) async fn lock_leased(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    token: Uuid,
) -> Result<Vec<Uuid>, StoreError> {
    let ids: Vec<Uuid> = Entity::find()
        .among(organizations)
        .leased(token)
        .select_only()
        .column(Column::OrganizationId)
        .order_by_asc(Column::OrganizationId)
        .lock(LockType::Update)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids)
}

/// Writes what became of reports, under the locks of their organizations.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    settlements: &[Settlement],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let error = |s: &Settlement| s.error.clone().unwrap_or_default();
    let ids = column(settlements, |s| s.report_id);
    let states = column(settlements, |s| s.state.as_str().to_owned());
    let event_ids = column(settlements, |s| {
        s.stripe_meter_event_id.clone().unwrap_or_default()
    });
    let codes = column(settlements, |s| error(s).0);
    let messages = column(settlements, |s| error(s).1);
    let next_attempts = column(settlements, |s| s.next_attempt_at.unwrap_or(now));
    let are_attempts = column(settlements, |s| s.is_attempt);
    // Not `delivery_state = 'queued'`: that would let a planner with the statistics of a quiet hour
    // walk the index of everything that is queued, for each batch again.
    let settle = raw_sql!(
        Postgres,
        "UPDATE usage_reports u SET
            delivery_state = s.state,
            attempt_count = u.attempt_count + s.is_attempt::integer,
            stripe_meter_event_id = nullif(s.event_id, ''),
            error_code = nullif(s.error_code, ''),
            error_message = nullif(s.error_message, ''),
            next_attempt_at = CASE WHEN s.state = 'queued' THEN s.next_attempt_at END,
            settled_at = CASE WHEN s.state <> 'queued' THEN {now}::timestamptz END
        FROM unnest({ids}::uuid[], {states}::text[], {event_ids}::text[], {codes}::text[], {messages}::text[], {next_attempts}::timestamptz[],
            {are_attempts}::boolean[])
            AS s (id, state, event_id, error_code, error_message, next_attempt_at, is_attempt)
        WHERE u.id = s.id AND u.settled_at IS NULL AND u.delivery_state <> 'waiting'"
    );
    db.execute_raw(settle).await?;
    Ok(())
}

/// When an organization's queue is next to be looked at: when its first report is due. What is queued
/// of one that may not be billed now was on its way before that was known.
macro_rules! next_delivery {
    () => {
        "next_delivery_at = (SELECT q.next_attempt_at FROM usage_reports q
            WHERE q.organization_id = r.organization_id AND q.delivery_state = 'queued'
                AND coalesce(q.sent_customer_id, r.stripe_customer_id) IS NOT NULL
            ORDER BY q.reported_at LIMIT 1)"
    };
}

/// Gives leases back and notes when each queue is next to be looked at.
pub(crate) async fn release(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
) -> Result<(), StoreError> {
    const RELEASE: &str = concat!(
        "UPDATE organization_reporting r SET lease_token = NULL, lease_until = NULL, ",
        next_delivery!(),
        " WHERE r.organization_id = ANY({organizations})"
    );
    let values = [("organizations", organizations.into())];
    db.execute_raw(composed(RELEASE, values)).await?;
    Ok(())
}

/// Looks again at the reports of organizations that are not on their way, now that it is known how
/// these stand, and notes when each queue is next to be looked at. Under the locks of the
/// organizations.
pub(crate) async fn reconsider(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const SCHEDULE: &str = concat!(
        "UPDATE organization_reporting r SET ",
        next_delivery!(),
        " WHERE r.organization_id = ANY({organizations})"
    );
    judge_again(db, organizations.clone(), now).await?;
    let values = [("organizations", organizations.into())];
    db.execute_raw(composed(SCHEDULE, values)).await?;
    Ok(())
}

#[derive(Debug, FromQueryResult)]
struct OpenRow {
    open_count: i64,
}

/// How many of an organization's reports may still be sent. The spool's are not judged yet: those of
/// before the end count.
pub(crate) async fn count_open(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<i64, StoreError> {
    let count_open = raw_sql!(
        Postgres,
        "SELECT (SELECT count(*) FROM usage_reports WHERE organization_id = {organization_id}
                AND delivery_state IN ('waiting', 'queued', 'held'))
            + (SELECT count(*) FROM usage_report_spool s
                LEFT JOIN organization_reporting r USING (organization_id)
                WHERE s.organization_id = {organization_id}
                    AND s.reported_at < coalesce(r.billing_end_at, 'infinity')) AS open_count"
    );
    let row = OpenRow::find_by_statement(count_open).one(db).await?;
    Ok(row.map_or(0, |row| row.open_count))
}
