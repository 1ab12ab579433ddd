//! `organization_reporting`: one row per organization, and the lock that orders all that concerns
//! its reports.
//!
//! Every function here that writes takes the rows' locks in the order of their ids and holds them to
//! the end of the transaction. A transaction that is about to decide where a report goes comes here
//! first; statements after it see whatever the transactions before it committed.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};
use uuid::Uuid;

use super::{sql, unknown_word};
use crate::domain::standing::{DeploymentType, Drain, Standing, SubscriptionStatus};

#[derive(Debug, FromQueryResult)]
struct StandingRow {
    organization_id: Uuid,
    subscription_status: String,
    deployment_type: Option<String>,
    stripe_customer_id: Option<String>,
    billing_start_at: Option<DateTime<Utc>>,
    billable: bool,
    standing_version: i64,
    draining: bool,
    drained_version: Option<i64>,
}

impl StandingRow {
    fn into_domain(self) -> Result<Standing, DbErr> {
        let Self {
            organization_id,
            subscription_status,
            deployment_type,
            stripe_customer_id,
            billing_start_at,
            billable,
            standing_version,
            draining,
            drained_version,
        } = self;
        let status = SubscriptionStatus::parse(&subscription_status)
            .ok_or_else(|| unknown_word("subscription_status", &subscription_status))?;
        let deployment_type = deployment_type
            .map(|word| {
                DeploymentType::parse(&word).ok_or_else(|| unknown_word("deployment_type", &word))
            })
            .transpose()?;
        Ok(Standing {
            organization_id,
            status,
            deployment_type,
            stripe_customer_id,
            billing_start_at,
            billable,
            version: standing_version,
            drain: match (draining, drained_version) {
                (false, _) => Drain::None,
                (true, Some(version)) if version == standing_version => Drain::Drained,
                (true, _) => Drain::Draining,
            },
        })
    }
}

/// The latest report of an organization in a batch, and how org-svc says that it stands.
#[derive(Debug)]
pub(crate) struct Latest {
    pub(crate) standing: Standing,
    pub(crate) user_count: i32,
    pub(crate) reported_at: DateTime<Utc>,
}

// A conflicting report repeats the timestamp of a recorded one, so `>` never lets it change the
// count. A standing that is not known is older than any that is.
const LOCK_WITH_REPORTS: &str = "
    INSERT INTO organization_reporting AS r (organization_id, user_count, last_reported_at,
        subscription_status, deployment_type, stripe_customer_id, billing_start_at, billable,
        standing_version, draining)
    SELECT id, user_count, reported_at, status, nullif(deployment_type, ''), nullif(customer_id, ''),
        CASE WHEN has_start THEN start_at END, billable, version, draining
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[],
        $7::boolean[], $8::bigint[], $9::boolean[], $10::integer[], $11::timestamptz[])
        AS t (id, status, deployment_type, customer_id, has_start, start_at, billable, version,
            draining, user_count, reported_at)
    ORDER BY id
    ON CONFLICT (organization_id) DO UPDATE SET
        user_count = CASE WHEN r.last_reported_at IS NULL OR excluded.last_reported_at > r.last_reported_at
            THEN excluded.user_count ELSE r.user_count END,
        last_reported_at = greatest(r.last_reported_at, excluded.last_reported_at),
        (subscription_status, deployment_type, stripe_customer_id, billing_start_at, billable,
            draining, standing_version) = (SELECT n.* FROM (VALUES
            (excluded.subscription_status, excluded.deployment_type, excluded.stripe_customer_id,
                excluded.billing_start_at, excluded.billable, excluded.draining,
                excluded.standing_version),
            (r.subscription_status, r.deployment_type, r.stripe_customer_id,
                r.billing_start_at, r.billable, r.draining, r.standing_version))
            AS n (a, b, c, d, e, f, version)
            ORDER BY n.version DESC LIMIT 1)
    RETURNING organization_id, subscription_status, deployment_type, stripe_customer_id,
        billing_start_at, billable, standing_version, draining, drained_version";

/// Locks the rows of organizations that reported, takes note of their latest report, and keeps how
/// they stand where that is newer than what is known. Answers how each stands now.
pub(crate) async fn lock_with_reports(
    db: &impl ConnectionTrait,
    latest: &[Latest],
) -> Result<Vec<Standing>, DbErr> {
    let mut values = standing_columns(latest.iter().map(|l| &l.standing));
    values.push(
        latest
            .iter()
            .map(|l| l.user_count)
            .collect::<Vec<_>>()
            .into(),
    );
    values.push(
        latest
            .iter()
            .map(|l| l.reported_at)
            .collect::<Vec<_>>()
            .into(),
    );
    let rows = StandingRow::find_by_statement(sql(LOCK_WITH_REPORTS, values))
        .all(db)
        .await?;
    rows.into_iter().map(StandingRow::into_domain).collect()
}

const LOCK_WITH_STANDINGS: &str = "
    INSERT INTO organization_reporting AS r (organization_id, subscription_status, deployment_type,
        stripe_customer_id, billing_start_at, billable, standing_version, draining)
    SELECT id, status, nullif(deployment_type, ''), nullif(customer_id, ''),
        CASE WHEN has_start THEN start_at END, billable, version, draining
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::timestamptz[],
        $7::boolean[], $8::bigint[], $9::boolean[])
        AS t (id, status, deployment_type, customer_id, has_start, start_at, billable, version,
            draining)
    ORDER BY id
    ON CONFLICT (organization_id) DO UPDATE SET
        subscription_status = excluded.subscription_status,
        deployment_type = excluded.deployment_type,
        stripe_customer_id = excluded.stripe_customer_id,
        billing_start_at = excluded.billing_start_at,
        billable = excluded.billable,
        draining = excluded.draining,
        standing_version = excluded.standing_version
    WHERE excluded.standing_version > r.standing_version";

/// Locks the rows of organizations and keeps how they stand where that is newer than what is known.
pub(crate) async fn lock_with_standings(
    db: &impl ConnectionTrait,
    standings: &[Standing],
) -> Result<(), DbErr> {
    let statement = sql(LOCK_WITH_STANDINGS, standing_columns(standings.iter()));
    db.execute_raw(statement).await.map(drop)
}

/// Standings as the columns of an `unnest`, in the order that both statements name.
fn standing_columns<'a>(standings: impl Iterator<Item = &'a Standing> + Clone) -> Vec<Value> {
    fn column<'a, T>(
        standings: impl Iterator<Item = &'a Standing> + Clone,
        of: impl Fn(&Standing) -> T,
    ) -> Vec<T> {
        standings.map(of).collect()
    }
    let deployment = |s: &Standing| {
        s.deployment_type
            .map_or("", DeploymentType::as_str)
            .to_owned()
    };
    let start = |s: &Standing| s.billing_start_at.unwrap_or(DateTime::UNIX_EPOCH);
    vec![
        column(standings.clone(), |s| s.organization_id).into(),
        column(standings.clone(), |s| s.status.as_str().to_owned()).into(),
        column(standings.clone(), deployment).into(),
        column(standings.clone(), |s| {
            s.stripe_customer_id.clone().unwrap_or_default()
        })
        .into(),
        column(standings.clone(), |s| s.billing_start_at.is_some()).into(),
        column(standings.clone(), start).into(),
        column(standings.clone(), |s| s.billable).into(),
        column(standings.clone(), |s| s.version).into(),
        column(standings, |s| s.drain != Drain::None).into(),
    ]
}

/// Brings forward when an organization's queue is next looked at.
pub(crate) async fn schedule(
    db: &impl ConnectionTrait,
    queued: &[(Uuid, DateTime<Utc>)],
) -> Result<(), DbErr> {
    const SCHEDULE: &str = "
        UPDATE organization_reporting r SET next_delivery_at = least(r.next_delivery_at, q.due_at)
        FROM (SELECT id, min(due_at) AS due_at
            FROM unnest($1::uuid[], $2::timestamptz[]) AS t (id, due_at) GROUP BY id) q
        WHERE r.organization_id = q.id AND r.billable
            AND (r.next_delivery_at IS NULL OR r.next_delivery_at > q.due_at)";
    let (ids, times): (Vec<_>, Vec<_>) = queued.iter().copied().unzip();
    db.execute_raw(sql(SCHEDULE, [ids.into(), times.into()]))
        .await
        .map(drop)
}

/// What is known of an organization's reporting.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Reporting {
    pub(crate) organization_id: Uuid,
    pub(crate) user_count: i32,
    pub(crate) last_reported_at: DateTime<Utc>,
}

/// The latest report of each organization that has one.
pub(crate) async fn get_many(
    db: &impl ConnectionTrait,
    ids: Vec<Uuid>,
) -> Result<Vec<Reporting>, DbErr> {
    const GET_MANY: &str = "
        SELECT organization_id, user_count, last_reported_at FROM organization_reporting
        WHERE organization_id = ANY($1) AND last_reported_at IS NOT NULL";
    Reporting::find_by_statement(sql(GET_MANY, [ids.into()]))
        .all(db)
        .await
}
