//! What the overview counts, and `usage_days` and `usage_total`: users in all.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::{baselines::counts, holds::ends_before, sql};

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
) -> Result<Option<Counts>, DbErr> {
    const COUNTS: &str = concat!(
        "SELECT
            (SELECT count(*) FROM organization_reporting WHERE billable AND billing_end_at IS NULL
                AND greatest(last_reported_at, billing_start_at) >= $2
                AND greatest(last_reported_at, billing_start_at) < $1) AS late,
            (SELECT count(*) FROM organization_reporting WHERE billable AND billing_end_at IS NULL
                AND greatest(last_reported_at, billing_start_at) < $2) AS silent,
            h.held, h.held_organizations, h.held_urgent,
            (SELECT count(*) FROM usage_reports WHERE delivery_state = 'refused') AS refused,
            q.queued, q.oldest_queued_at
        FROM (SELECT count(*) AS held, count(DISTINCT u.organization_id) AS held_organizations,
                count(*) FILTER (WHERE ",
        ends_before!("$3"),
        ") AS held_urgent
                FROM usage_reports u JOIN organization_reporting r USING (organization_id)
                WHERE u.delivery_state = 'held') h,
            (SELECT count(*) AS queued, min(received_at) AS oldest_queued_at
                FROM usage_reports WHERE delivery_state = 'queued') q"
    );
    let values = [late.into(), silent.into(), urgent.into()];
    Counts::find_by_statement(sql(COUNTS, values)).one(db).await
}

/// What was reported of a UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub(crate) struct UsageDay {
    pub(crate) day: NaiveDate,
    pub(crate) user_count: i64,
    pub(crate) organization_count: i64,
}

/// The days with reports from this one on, the earliest first.
pub(crate) async fn days(
    db: &impl ConnectionTrait,
    from: NaiveDate,
) -> Result<Vec<UsageDay>, DbErr> {
    const DAYS: &str = "
        SELECT day, user_count, organization_count FROM usage_days
        WHERE day >= $1 AND organization_count > 0 ORDER BY day";
    UsageDay::find_by_statement(sql(DAYS, [from.into()]))
        .all(db)
        .await
}

/// Users in all, as they were counted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Total {
    pub(crate) user_count: i64,
    /// Organizations that did not sign their latest report.
    pub(crate) unsigned_organization_count: i64,
    pub(crate) counted_at: DateTime<Utc>,
}

/// Users in all; none before they were counted first.
pub(crate) async fn total(db: &impl ConnectionTrait) -> Result<Option<Total>, DbErr> {
    const TOTAL: &str =
        "SELECT user_count, unsigned_organization_count, counted_at FROM usage_total";
    Total::find_by_statement(sql(TOTAL, [])).one(db).await
}

/// Counts a day, and users in all by what was reported since `since`. Of two that count at once the
/// second waits, and sees what the first saw and more.
pub(crate) async fn count_day(
    txn: &sea_orm::DatabaseTransaction,
    day: NaiveDate,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('usage_days'))";
    const COUNT_DAY: &str = concat!(
        "INSERT INTO usage_days AS d (day, user_count, organization_count, counted_at)
        SELECT $1::date, coalesce(sum(user_count), 0), count(*), $4
        FROM (SELECT DISTINCT ON (organization_id) user_count FROM usage_reports u
            WHERE reported_at >= $2 AND reported_at < $3 AND ",
        counts!(),
        " AND NOT EXISTS (SELECT FROM ignored_organizations i
                WHERE i.organization_id = u.organization_id)
            ORDER BY organization_id, reported_at DESC, id DESC) latest
        ON CONFLICT (day) DO UPDATE SET user_count = excluded.user_count,
            organization_count = excluded.organization_count, counted_at = excluded.counted_at"
    );
    const COUNT_ALL: &str = "
        INSERT INTO usage_total (user_count, unsigned_organization_count, counted_at)
        SELECT coalesce(sum(baseline_user_count) FILTER (WHERE baseline_reported_at >= $1), 0),
            count(*) FILTER (WHERE last_reported_at >= $1 AND last_signing_key IS NULL), $2
        FROM organization_reporting
        WHERE (baseline_reported_at >= $1 OR last_reported_at >= $1)
            AND NOT EXISTS (SELECT FROM ignored_organizations i
                WHERE i.organization_id = organization_reporting.organization_id)
        ON CONFLICT (id) DO UPDATE SET user_count = excluded.user_count,
            unsigned_organization_count = excluded.unsigned_organization_count,
            counted_at = excluded.counted_at";
    let start = day.and_time(NaiveTime::MIN).and_utc();
    let end = start + TimeDelta::days(1);
    txn.execute_unprepared(LOCK).await?;
    let values = [day.into(), start.into(), end.into(), now.into()];
    txn.execute_raw(sql(COUNT_DAY, values)).await?;
    txn.execute_raw(sql(COUNT_ALL, [since.into(), now.into()]))
        .await
        .map(drop)
}
