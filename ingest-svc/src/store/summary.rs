//! What the overview counts, and `usage_days` and `usage_total`: users in all.

use billing_kit_db::{StoreError, query::composed};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DerivePartialModel, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, raw_sql,
};

use super::{
    baselines::counts,
    entities::{usage_days, usage_total},
    holds::ends_before,
};

/// How many organizations are silent, how many reports are held, refused and queued. What is counted
/// is what an index holds of these, whatever the number of organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Counts {
    pub(crate) late: i64,
    pub(crate) silent: i64,
    pub(crate) held: i64,
    pub(crate) held_organizations: i64,
    /// Held, and their period ends soon.
    pub(crate) held_urgent: i64,
    pub(crate) refused: i64,
    pub(crate) queued: i64,
    /// When the oldest of the queued came in.
    pub(crate) oldest_queued_at: Option<DateTime<Utc>>,
}

/// Counts. Late is who is expected since a time from `silent` to `late`, silent who is expected since
/// an earlier one; urgent what is held of a period that ends before `urgent`.
pub(crate) async fn counts(
    db: &impl ConnectionTrait,
    late: DateTime<Utc>,
    silent: DateTime<Utc>,
    urgent: DateTime<Utc>,
) -> Result<Option<Counts>, StoreError> {
    const COUNTS: &str = concat!(
        "SELECT
            (SELECT count(*) FROM organization_reporting WHERE billable AND billing_end_at IS NULL
                AND greatest(last_reported_at, billing_start_at) >= {silent}
                AND greatest(last_reported_at, billing_start_at) < {late}) AS late,
            (SELECT count(*) FROM organization_reporting WHERE billable AND billing_end_at IS NULL
                AND greatest(last_reported_at, billing_start_at) < {silent}) AS silent,
            h.held, h.held_organizations, h.held_urgent,
            (SELECT count(*) FROM usage_reports WHERE delivery_state = 'refused') AS refused,
            q.queued, q.oldest_queued_at
        FROM (SELECT count(*) AS held, count(DISTINCT u.organization_id) AS held_organizations,
                count(*) FILTER (WHERE ",
        ends_before!("{urgent}"),
        ") AS held_urgent
                FROM usage_reports u JOIN organization_reporting r USING (organization_id)
                WHERE u.delivery_state = 'held') h,
            (SELECT count(*) AS queued, min(received_at) AS oldest_queued_at
                FROM usage_reports WHERE delivery_state = 'queued') q"
    );
    let values = [
        ("late", late.into()),
        ("silent", silent.into()),
        ("urgent", urgent.into()),
    ];
    let counts = Counts::find_by_statement(composed(COUNTS, values));
    Ok(counts.one(db).await?)
}

/// What was reported of a UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "usage_days::Entity")]
pub(crate) struct UsageDay {
    pub(crate) day: NaiveDate,
    pub(crate) user_count: i64,
    pub(crate) organization_count: i64,
}

/// The days with reports from this one on, the earliest first.
pub(crate) async fn days(
    db: &impl ConnectionTrait,
    from: NaiveDate,
) -> Result<Vec<UsageDay>, StoreError> {
    use usage_days::{Column, Entity};
    let days = Entity::find()
        .filter(Column::Day.gte(from))
        .filter(Column::OrganizationCount.gt(0))
        .order_by_asc(Column::Day)
        .into_partial_model();
    Ok(days.all(db).await?)
}

/// Users in all, as they were counted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, DerivePartialModel)]
#[sea_orm(entity = "usage_total::Entity")]
pub(crate) struct Total {
    pub(crate) user_count: i64,
    /// Organizations that did not sign their latest report.
    pub(crate) unsigned_organization_count: i64,
    pub(crate) counted_at: DateTime<Utc>,
}

/// Users in all; none before they were counted first.
pub(crate) async fn total(db: &impl ConnectionTrait) -> Result<Option<Total>, StoreError> {
    let total = usage_total::Entity::find().into_partial_model();
    Ok(total.one(db).await?)
}

/// Counts a day, and users in all by what was reported since `since`. Of two that count at once the
/// second waits, and sees what the first saw and more.
pub(crate) async fn count_day(
    txn: &sea_orm::DatabaseTransaction,
    day: NaiveDate,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('usage_days'))";
    const COUNT_DAY: &str = concat!(
        "INSERT INTO usage_days AS d (day, user_count, organization_count, counted_at)
        SELECT {day}::date, coalesce(sum(user_count), 0), count(*), {now}
        FROM (SELECT DISTINCT ON (organization_id) user_count FROM usage_reports u
            WHERE reported_at >= {start} AND reported_at < {end} AND ",
        counts!(),
        " AND NOT EXISTS (SELECT FROM ignored_organizations i
                WHERE i.organization_id = u.organization_id)
            ORDER BY organization_id, reported_at DESC, id DESC) latest
        ON CONFLICT (day) DO UPDATE SET user_count = excluded.user_count,
            organization_count = excluded.organization_count, counted_at = excluded.counted_at"
    );
    let start = day.and_time(NaiveTime::MIN).and_utc();
    let end = start + TimeDelta::days(1);
    txn.execute_unprepared(LOCK).await?;
    let values = [
        ("day", day.into()),
        ("start", start.into()),
        ("end", end.into()),
        ("now", now.into()),
    ];
    txn.execute_raw(composed(COUNT_DAY, values)).await?;
    let count_all = raw_sql!(
        Postgres,
        "INSERT INTO usage_total (user_count, unsigned_organization_count, counted_at)
        SELECT coalesce(sum(baseline_user_count) FILTER (WHERE baseline_reported_at >= {since}), 0),
            count(*) FILTER (WHERE last_reported_at >= {since} AND last_signing_key IS NULL), {now}
        FROM organization_reporting
        WHERE (baseline_reported_at >= {since} OR last_reported_at >= {since})
            AND NOT EXISTS (SELECT FROM ignored_organizations i
                WHERE i.organization_id = organization_reporting.organization_id)
        ON CONFLICT (id) DO UPDATE SET user_count = excluded.user_count,
            unsigned_organization_count = excluded.unsigned_organization_count,
            counted_at = excluded.counted_at"
    );
    txn.execute_raw(count_all).await?;
    Ok(())
}
