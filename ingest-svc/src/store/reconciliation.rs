//! `reconciliation_pass`, and our books as they are compared.

use billing_kit_db::StoreError;
use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, ExprTrait, FromQueryResult,
    QueryFilter, QueryOrder, QuerySelect, Set, raw_sql,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use super::entities::{
    reconciliation_pass::{self, Scope as _},
    reporting::{self, Scope as _},
    reports::{self, Scope as _},
};
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
) -> Result<Option<Place>, StoreError> {
    let lease = raw_sql!(
        Postgres,
        "UPDATE reconciliation_pass SET lease_token = {token}, lease_until = {until},
            started_at = coalesce(started_at, {now})
        WHERE (next_step_at IS NULL OR next_step_at <= {now})
            AND (lease_until IS NULL OR lease_until < {now})
        RETURNING after_id, attempt_count"
    );
    Ok(Place::find_by_statement(lease).one(db).await?)
}

/// A linked organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) organization_id: Uuid,
    pub(crate) stripe_customer_id: String,
    pub(crate) billing_start_at: DateTime<Utc>,
    pub(crate) billable: bool,
    pub(crate) trial_end_at: Option<DateTime<Utc>>,
    pub(crate) invoiced_until: Option<DateTime<Utc>>,
}

#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "reporting::Entity")]
struct LinkedRow {
    organization_id: Uuid,
    stripe_customer_id: Option<String>,
    billing_start_at: Option<DateTime<Utc>>,
    billable: bool,
    trial_end_at: Option<DateTime<Utc>>,
    invoiced_until: Option<DateTime<Utc>>,
    standing_version: i64,
    draining: bool,
    drained: bool,
    drained_version: Option<i64>,
}

impl LinkedRow {
    /// Whether nothing more goes into its queue.
    fn is_drained(&self) -> bool {
        self.draining && (self.drained || self.drained_version == Some(self.standing_version))
    }

    /// None where it is not linked, or its subscription has no start.
    fn into_domain(self) -> Option<Linked> {
        let Self {
            organization_id,
            stripe_customer_id,
            billing_start_at,
            billable,
            trial_end_at,
            invoiced_until,
            standing_version: _,
            draining: _,
            drained: _,
            drained_version: _,
        } = self;
        Some(Linked {
            organization_id,
            stripe_customer_id: stripe_customer_id?,
            billing_start_at: billing_start_at?,
            billable,
            trial_end_at,
            invoiced_until,
        })
    }
}

/// The linked organizations after this one, in the order of their ids.
pub(crate) async fn linked_after(
    db: &impl ConnectionTrait,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Linked>, StoreError> {
    use reporting::{Column, Entity};
    let rows = Entity::find()
        .with_start()
        .behind(after.unwrap_or(Uuid::nil()))
        .order_by_asc(Column::OrganizationId)
        .limit(limit)
        .into_partial_model::<LinkedRow>()
        .all(db)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(LinkedRow::into_domain)
        .collect())
}

/// Locks an organization and answers how it is linked now. One that is drained takes nothing more into
/// its queue: its last invoice is being made.
pub(crate) async fn lock_linked(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Option<Linked>, StoreError> {
    let row = reporting::Entity::find()
        .with_start()
        .of_organization(organization_id)
        .lock(LockType::Update)
        .into_partial_model::<LinkedRow>()
        .one(db)
        .await?;
    Ok(row.and_then(|row| {
        let is_drained = row.is_drained();
        let linked = row.into_domain()?;
        Some(Linked {
            billable: linked.billable && !is_drained,
            ..linked
        })
    }))
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
) -> Result<Vec<LedgerDay>, StoreError> {
    let ledger = raw_sql!(
        Postgres,
        "WITH may_count AS (
            SELECT id, user_count, reported_at, delivery_state, settled_at,
                -- An admin's retries are no resends of ours.
                resend_count - retry_count AS resend_count, adopted,
                (reported_at AT TIME ZONE 'UTC')::date AS day
            FROM usage_reports
            WHERE organization_id = {organization_id} AND reported_at >= {from}
                AND delivery_state IN ('waiting', 'queued', 'sent', 'refused'))
        SELECT DISTINCT ON (c.day) c.day, c.id, c.user_count, c.reported_at, c.delivery_state,
            c.settled_at, c.resend_count,
            bool_or(c.adopted) OVER (PARTITION BY c.day) AS has_adopted,
            ARRAY(SELECT e.user_count FROM may_count e WHERE e.day = c.day
                AND e.reported_at < c.reported_at AND e.delivery_state = 'sent') AS earlier_counts
        FROM may_count c ORDER BY c.day, c.reported_at DESC, c.id DESC"
    );
    let rows = LedgerRow::find_by_statement(ledger).all(db).await?;
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
                        .ok_or_else(|| StoreError::unknown("delivery_state", &delivery_state))?,
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
) -> Result<(), StoreError> {
    use reports::{ActiveModel, Column, Entity};
    let queued = ActiveModel {
        delivery_state: Set(DeliveryState::Queued.as_str().to_owned()),
        stripe_meter_event_id: Set(None),
        attempt_count: Set(0),
        next_attempt_at: Set(Some(now)),
        settled_at: Set(None),
        ..Default::default()
    };
    Entity::update_many()
        .set(queued)
        .col_expr(Column::ResendCount, Column::ResendCount.into_expr().add(1))
        .among(reports)
        .in_state(DeliveryState::Sent)
        .exec(db)
        .await?;
    Ok(())
}

/// Marks reports that were sent as those that missed their invoice, under the lock of their
/// organization: Stripe does not count them.
pub(crate) async fn mark_missed(
    db: &impl ConnectionTrait,
    reports: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    use reports::{ActiveModel, Entity};
    let missed = ActiveModel {
        delivery_state: Set(DeliveryState::MissedInvoice.as_str().to_owned()),
        stripe_meter_event_id: Set(None),
        settled_at: Set(Some(now)),
        ..Default::default()
    };
    Entity::update_many()
        .set(missed)
        .among(reports)
        .in_state(DeliveryState::Sent)
        .exec(db)
        .await?;
    Ok(())
}

#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "reports::Entity")]
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
) -> Result<Vec<BookedReport>, StoreError> {
    use reports::{Column, Entity};
    let rows = Entity::find()
        .of_organization(organization_id)
        .filter(Column::ReportedAt.gte(from))
        .filter(Column::ReportedAt.lt(to))
        .in_states([
            DeliveryState::Waiting,
            DeliveryState::Queued,
            DeliveryState::Sent,
        ])
        .order_by_asc(Column::ReportedAt)
        .into_partial_model::<BookedRow>()
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
                        .ok_or_else(|| StoreError::unknown("delivery_state", &delivery_state))?,
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
) -> Result<bool, StoreError> {
    use reconciliation_pass::{ActiveModel, Column, Entity};
    let moved = ActiveModel {
        after_id: Set(Some(organization_id)),
        attempt_count: Set(0),
        lease_until: Set(Some(until)),
        ..Default::default()
    };
    let skipped = Column::SkippedCount.into_expr().add(i32::from(is_skipped));
    let done = Entity::update_many()
        .set(moved)
        .col_expr(Column::SkippedCount, skipped)
        .held(token)
        .exec(db)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Gives the lease back; the pass goes on at `next_step_at`, after so many attempts at its next
/// organization.
pub(crate) async fn pause(
    db: &impl ConnectionTrait,
    token: Uuid,
    attempt_count: i32,
    next_step_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    use reconciliation_pass::{ActiveModel, Entity};
    let paused = ActiveModel {
        lease_token: Set(None),
        lease_until: Set(None),
        attempt_count: Set(attempt_count),
        next_step_at: Set(Some(next_step_at)),
        ..Default::default()
    };
    let update = Entity::update_many().set(paused).held(token);
    update.exec(db).await?;
    Ok(())
}

/// Ends the pass and gives the lease back.
pub(crate) async fn end_pass(
    db: &impl ConnectionTrait,
    token: Uuid,
    now: DateTime<Utc>,
    next_pass_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    use reconciliation_pass::{ActiveModel, Column, Entity};
    let ended = ActiveModel {
        lease_token: Set(None),
        lease_until: Set(None),
        started_at: Set(None),
        after_id: Set(None),
        attempt_count: Set(0),
        next_step_at: Set(Some(next_pass_at)),
        last_full_pass_at: Set(Some(now)),
        ..Default::default()
    };
    let skipped = Column::SkippedCount.into_expr();
    Entity::update_many()
        .set(ended)
        .col_expr(Column::LastSkippedCount, skipped)
        .col_expr(Column::SkippedCount, Expr::val(0))
        .held(token)
        .exec(db)
        .await?;
    Ok(())
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
pub(crate) async fn standing(db: &impl ConnectionTrait) -> Result<Option<Standing>, StoreError> {
    let standing = raw_sql!(
        Postgres,
        "SELECT last_full_pass_at, last_skipped_count, started_at,
            (SELECT count(*) FROM billing_findings
                WHERE resolved_at IS NULL AND dismissed_at IS NULL) AS open_count
        FROM reconciliation_pass"
    );
    Ok(Standing::find_by_statement(standing).one(db).await?)
}
