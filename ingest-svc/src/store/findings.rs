//! `billing_findings`: where Stripe's books differ from ours.

use billing_kit_db::{
    StoreError,
    query::{column, composed},
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};
use uuid::Uuid;

use super::{
    entities::findings::{ActiveModel, Column, Entity, Model, Scope as _},
    notices::tell_opened,
};
use crate::domain::{
    finding::{DismissReason, Dismissal, Finding, FindingKind},
    invoiced::InvoiceDifference,
    reconciliation::Difference,
};

/// What differs, of one kind.
struct Found {
    day: NaiveDate,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    stripe_invoice_id: String,
    expected: i64,
    found: Decimal,
    resend_count: i32,
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Records the days on which the meter differs.
pub(crate) async fn record_days(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    differences: &[Difference],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let found = differences.iter().map(|it| Found {
        day: it.day,
        start: midnight(it.day),
        end: midnight(it.day) + Days::new(1),
        stripe_invoice_id: String::new(),
        expected: it.expected.into(),
        found: it.found,
        resend_count: it.resend_count + i32::from(it.resend.is_some()),
    });
    let found: Vec<_> = found.collect();
    record(db, organization_id, FindingKind::MeterDay, &found, now).await
}

/// Records the invoices that differ.
pub(crate) async fn record_invoices(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    differences: &[InvoiceDifference],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let found = differences.iter().map(|it| Found {
        day: it.period.start.date_naive(),
        start: it.period.start,
        end: it.period.end,
        stripe_invoice_id: it.period.stripe_invoice_id.clone(),
        expected: it.expected,
        found: it.period.quantity,
        resend_count: 0,
    });
    let found: Vec<_> = found.collect();
    record(db, organization_id, FindingKind::Invoice, &found, now).await
}

/// Records findings. What differed before and agreed since is found anew; what a person has dismissed
/// opens again where the numbers are others. What opens is told.
async fn record(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    kind: FindingKind,
    found: &[Found],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const RECORD: &str = concat!(
        "WITH open_before AS (
            SELECT id FROM billing_findings WHERE organization_id = {organization_id} AND kind = {kind}
                AND resolved_at IS NULL AND dismissed_at IS NULL),
        recorded AS (
        INSERT INTO billing_findings AS f (organization_id, kind, day, period_start_at, period_end_at,
            stripe_invoice_id, expected, found, resend_count, first_seen_at, last_seen_at)
        SELECT {organization_id}, {kind}, day, start_at, end_at, invoice_id, expected, found::numeric, resend_count, {now}, {now}
        FROM unnest({days}::date[], {starts}::timestamptz[], {ends}::timestamptz[], {invoices}::text[], {expected}::bigint[],
            {found}::text[], {resend_counts}::integer[])
            AS t (day, start_at, end_at, invoice_id, expected, found, resend_count)
        ON CONFLICT ON CONSTRAINT billing_findings_subject_key DO UPDATE SET
            period_start_at = excluded.period_start_at, period_end_at = excluded.period_end_at,
            expected = excluded.expected, found = excluded.found,
            resend_count = excluded.resend_count,
            first_seen_at = CASE WHEN f.resolved_at IS NULL THEN f.first_seen_at
                ELSE excluded.first_seen_at END,
            last_seen_at = CASE WHEN f.resolved_at IS NULL
                THEN greatest(f.last_seen_at, excluded.last_seen_at)
                ELSE excluded.last_seen_at END,
            resolved_at = NULL,
            (dismissed_at, dismissed_by, dismiss_reason) = (SELECT f.dismissed_at, f.dismissed_by,
                f.dismiss_reason WHERE f.resolved_at IS NULL
                    AND (f.expected, f.found) = (excluded.expected, excluded.found))
        RETURNING f.id, f.organization_id, f.kind, f.day, f.stripe_invoice_id, f.expected, f.found,
            f.dismissed_at) ",
        tell_opened!()
    );
    if found.is_empty() {
        return Ok(());
    }
    let values = [
        ("organization_id", organization_id.into()),
        ("now", now.into()),
        ("kind", kind.as_str().into()),
        ("days", column(found, |it| it.day).into()),
        ("starts", column(found, |it| it.start).into()),
        ("ends", column(found, |it| it.end).into()),
        (
            "invoices",
            column(found, |it| it.stripe_invoice_id.clone()).into(),
        ),
        ("expected", column(found, |it| it.expected).into()),
        ("found", column(found, |it| it.found.to_string()).into()),
        ("resend_counts", column(found, |it| it.resend_count).into()),
    ];
    db.execute_raw(composed(RECORD, values)).await?;
    Ok(())
}

/// Resolves an organization's open findings of the meter from this day on, but for these days.
pub(crate) async fn resolve_days(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    from: NaiveDate,
    but: Vec<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Entity::update_many()
        .set(resolved(now))
        .of_organization(organization_id)
        .of_kind(FindingKind::MeterDay)
        .unresolved()
        .filter(Column::Day.gte(from))
        .filter(Column::Day.is_not_in(but))
        .exec(db)
        .await?;
    Ok(())
}

fn resolved(now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        resolved_at: Set(Some(now)),
        ..Default::default()
    }
}

/// Resolves an organization's open findings of these invoices.
pub(crate) async fn resolve_invoices(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    invoices: Vec<String>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Entity::update_many()
        .set(resolved(now))
        .of_organization(organization_id)
        .of_kind(FindingKind::Invoice)
        .of_invoices(invoices)
        .unresolved()
        .exec(db)
        .await?;
    Ok(())
}

impl TryFrom<Model> for Finding {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            organization_id,
            kind,
            day,
            period_start_at,
            period_end_at,
            stripe_invoice_id,
            expected,
            found,
            resend_count,
            first_seen_at,
            last_seen_at,
            resolved_at,
            dismissed_at,
            dismissed_by,
            dismiss_reason,
        } = row;
        let dismissal = match (dismissed_at, dismissed_by, dismiss_reason) {
            (Some(at), Some(by), Some(reason)) => Some(Dismissal { at, by, reason }),
            _ => None,
        };
        Ok(Self {
            id,
            organization_id,
            kind: FindingKind::parse(&kind).ok_or_else(|| StoreError::unknown("kind", &kind))?,
            day,
            period_start_at,
            period_end_at,
            stripe_invoice_id: Some(stripe_invoice_id).filter(|id| !id.is_empty()),
            expected,
            found: without_trailing_zeros(&found),
            resend_count,
            first_seen_at,
            last_seen_at,
            resolved_at,
            dismissal,
        })
    }
}

/// A number as people write it: PostgreSQL keeps as many decimal places as it was given.
fn without_trailing_zeros(number: &str) -> String {
    let trimmed = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    trimmed.to_owned()
}

/// The end of a page of findings: the day and the id of its last.
pub(crate) type FindingsEnd = (NaiveDate, Uuid);

/// Findings after `after`, the latest day first: the open ones that nobody has dismissed, or all.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    after: Option<FindingsEnd>,
    include_closed: bool,
    limit: u64,
) -> Result<Vec<Finding>, StoreError> {
    let mut query = Entity::find()
        .order_by_desc(Column::Day)
        .order_by_asc(Column::Id)
        .limit(limit);
    if let Some(after) = after {
        query = query.behind(after);
    }
    if !include_closed {
        query = query.unresolved().undismissed();
    }
    let rows = query.all(db).await?;
    rows.into_iter().map(Finding::try_from).collect()
}

/// Marks an open finding as seen by a person, unless one has before; whether it was done now.
pub(crate) async fn dismiss(
    db: &impl ConnectionTrait,
    id: Uuid,
    by: &str,
    reason: &DismissReason,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let dismissed = ActiveModel {
        dismissed_at: Set(Some(now)),
        dismissed_by: Set(Some(by.to_owned())),
        dismiss_reason: Set(Some(reason.as_str().to_owned())),
        ..Default::default()
    };
    let done = Entity::update_many()
        .set(dismissed)
        .filter(Column::Id.eq(id))
        .undismissed()
        .unresolved()
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}

/// A finding; `None` where there is none of this id.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Finding>, StoreError> {
    let row = Entity::find_by_id(id).one(db).await?;
    row.map(Finding::try_from).transpose()
}
