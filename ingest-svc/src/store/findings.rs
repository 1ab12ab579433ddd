//! `billing_findings`: where Stripe's books differ from ours.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{notices::tell_opened, sql, unknown_word};
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
) -> Result<(), DbErr> {
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
) -> Result<(), DbErr> {
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
) -> Result<(), DbErr> {
    const RECORD: &str = concat!(
        "WITH open_before AS (
            SELECT id FROM billing_findings WHERE organization_id = $1 AND kind = $3
                AND resolved_at IS NULL AND dismissed_at IS NULL),
        recorded AS (
        INSERT INTO billing_findings AS f (organization_id, kind, day, period_start_at, period_end_at,
            stripe_invoice_id, expected, found, resend_count, first_seen_at, last_seen_at)
        SELECT $1, $3, day, start_at, end_at, invoice_id, expected, found::numeric, resend_count, $2, $2
        FROM unnest($4::date[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::bigint[],
            $9::text[], $10::integer[])
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
    fn column<T>(found: &[Found], of: impl Fn(&Found) -> T) -> Vec<T> {
        found.iter().map(of).collect()
    }
    if found.is_empty() {
        return Ok(());
    }
    let values = [
        organization_id.into(),
        now.into(),
        kind.as_str().into(),
        column(found, |it| it.day).into(),
        column(found, |it| it.start).into(),
        column(found, |it| it.end).into(),
        column(found, |it| it.stripe_invoice_id.clone()).into(),
        column(found, |it| it.expected).into(),
        column(found, |it| it.found.to_string()).into(),
        column(found, |it| it.resend_count).into(),
    ];
    db.execute_raw(sql(RECORD, values)).await.map(drop)
}

/// Resolves an organization's open findings of the meter from this day on, but for these days.
pub(crate) async fn resolve_days(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    from: NaiveDate,
    but: Vec<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const RESOLVE_DAYS: &str = "
        UPDATE billing_findings SET resolved_at = $4
        WHERE organization_id = $1 AND kind = 'meter_day' AND day >= $2 AND resolved_at IS NULL
            AND NOT day = ANY($3)";
    let values = [organization_id.into(), from.into(), but.into(), now.into()];
    db.execute_raw(sql(RESOLVE_DAYS, values)).await.map(drop)
}

/// Resolves an organization's open findings of these invoices.
pub(crate) async fn resolve_invoices(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    invoices: Vec<String>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const RESOLVE_INVOICES: &str = "
        UPDATE billing_findings SET resolved_at = $3
        WHERE organization_id = $1 AND kind = 'invoice' AND stripe_invoice_id = ANY($2)
            AND resolved_at IS NULL";
    let values = [organization_id.into(), invoices.into(), now.into()];
    db.execute_raw(sql(RESOLVE_INVOICES, values))
        .await
        .map(drop)
}

#[derive(Debug, FromQueryResult)]
struct FindingRow {
    id: Uuid,
    organization_id: Uuid,
    kind: String,
    day: NaiveDate,
    period_start_at: DateTime<Utc>,
    period_end_at: DateTime<Utc>,
    stripe_invoice_id: String,
    expected: i64,
    found: String,
    resend_count: i32,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    dismissed_at: Option<DateTime<Utc>>,
    dismissed_by: Option<String>,
    dismiss_reason: Option<String>,
}

impl FindingRow {
    fn into_domain(self) -> Result<Finding, DbErr> {
        let Self {
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
        } = self;
        let dismissal = match (dismissed_at, dismissed_by, dismiss_reason) {
            (Some(at), Some(by), Some(reason)) => Some(Dismissal { at, by, reason }),
            _ => None,
        };
        Ok(Finding {
            id,
            organization_id,
            kind: FindingKind::parse(&kind).ok_or_else(|| unknown_word("kind", &kind))?,
            day,
            period_start_at,
            period_end_at,
            stripe_invoice_id: Some(stripe_invoice_id).filter(|id| !id.is_empty()),
            expected,
            found,
            resend_count,
            first_seen_at,
            last_seen_at,
            resolved_at,
            dismissal,
        })
    }
}

/// The end of a page of findings: the day and the id of its last.
pub(crate) type FindingsEnd = (NaiveDate, Uuid);

/// Findings after `after`, the latest day first: the open ones that nobody has dismissed, or all.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    after: Option<FindingsEnd>,
    include_closed: bool,
    limit: i64,
) -> Result<Vec<Finding>, DbErr> {
    const LIST: &str = "
        SELECT id, organization_id, kind, day, period_start_at, period_end_at, stripe_invoice_id,
            expected, trim_scale(found)::text AS found, resend_count, first_seen_at, last_seen_at,
            resolved_at, dismissed_at, dismissed_by, dismiss_reason
        FROM billing_findings
        WHERE ($1::date IS NULL OR day < $1 OR (day = $1 AND id > $2))
            AND ($3 OR resolved_at IS NULL AND dismissed_at IS NULL)
        ORDER BY day DESC, id LIMIT $4";
    let (day, id) = after.unzip();
    let values = [day.into(), id.into(), include_closed.into(), limit.into()];
    let rows = FindingRow::find_by_statement(sql(LIST, values))
        .all(db)
        .await?;
    rows.into_iter().map(FindingRow::into_domain).collect()
}

/// Marks an open finding as seen by a person, unless one has before; whether it was done now.
pub(crate) async fn dismiss(
    db: &impl ConnectionTrait,
    id: Uuid,
    by: &str,
    reason: &DismissReason,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    const DISMISS: &str = "
        UPDATE billing_findings SET dismissed_at = $2, dismissed_by = $3, dismiss_reason = $4
        WHERE id = $1 AND dismissed_at IS NULL AND resolved_at IS NULL";
    let values = [id.into(), now.into(), by.into(), reason.as_str().into()];
    let done = db.execute_raw(sql(DISMISS, values)).await?;
    Ok(done.rows_affected() > 0)
}

/// A finding; `None` where there is none of this id.
pub(crate) async fn get(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Finding>, DbErr> {
    const GET: &str = "
        SELECT id, organization_id, kind, day, period_start_at, period_end_at, stripe_invoice_id,
            expected, trim_scale(found)::text AS found, resend_count, first_seen_at, last_seen_at,
            resolved_at, dismissed_at, dismissed_by, dismiss_reason
        FROM billing_findings WHERE id = $1";
    let row = FindingRow::find_by_statement(sql(GET, [id.into()]))
        .one(db)
        .await?;
    row.map(FindingRow::into_domain).transpose()
}
