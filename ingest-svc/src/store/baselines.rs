//! The baselines in `organization_reporting`: what the next reports of linked organizations are compared
//! with. Every function here is called under the locks of the organizations.

use billing_kit_db::{
    StoreError,
    query::{column, composed},
};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DerivePartialModel, EntityTrait, FromQueryResult,
    QueryFilter, QueryOrder, QuerySelect, Set, raw_sql,
    sea_query::{LockBehavior, LockType},
};
use serde_json::Value as Json;
use uuid::Uuid;

use super::entities::reporting::{ActiveModel, Column, Entity, Scope as _};
use crate::domain::{
    baseline::{Anchor, Baseline, CountedDay, DAYS_KEPT, LINK_DAYS, RELEASE_DAYS, TIMELY},
    hold::Hold,
    report::{Content, Report},
};

/// That the report `u` counts: it was never held, or was released. One that waits may be held once it
/// could be sent; one that was discarded is not billed.
macro_rules! counts {
    () => {
        "(u.hold_reason IS NULL OR u.delivery_state NOT IN ('held', 'waiting', 'not_billed', 'too_late')
            OR EXISTS (SELECT 1 FROM hold_decisions h WHERE h.report_id = u.id AND h.decision = 'released'))"
    };
}

pub(super) use counts;

#[derive(Debug, DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct BaselineRow {
    organization_id: Uuid,
    baseline_user_count: Option<i32>,
    baseline_reported_at: Option<DateTime<Utc>>,
    baseline_instance_url: Option<String>,
    day_user_counts: Option<Vec<i32>>,
    day_reported_at: Option<Vec<DateTime<Utc>>>,
    anchor_user_count: Option<i32>,
    anchor_at: Option<DateTime<Utc>>,
    anchor_days: Option<i16>,
    low_since: Option<DateTime<Utc>>,
}

impl BaselineRow {
    fn into_domain(self) -> (Uuid, Known) {
        let Self {
            organization_id,
            baseline_user_count,
            baseline_reported_at,
            baseline_instance_url,
            day_user_counts,
            day_reported_at,
            anchor_user_count,
            anchor_at,
            anchor_days,
            low_since,
        } = self;
        let is_known = day_user_counts.is_some();
        let counts = day_user_counts.unwrap_or_default().into_iter();
        let days = counts.zip(day_reported_at.unwrap_or_default());
        let anchor = anchor_user_count.zip(anchor_at).zip(anchor_days);
        let latest = baseline_user_count.zip(baseline_reported_at);
        let Some((user_count, reported_at)) = latest.filter(|_| is_known) else {
            return (organization_id, Known::No);
        };
        let baseline = Baseline {
            user_count,
            reported_at,
            instance_url: baseline_instance_url,
            days: days
                .map(|(user_count, reported_at)| CountedDay {
                    user_count,
                    reported_at,
                })
                .collect(),
            anchor: anchor.map(|((user_count, at), days)| Anchor {
                user_count,
                at,
                days,
            }),
            low_since,
        };
        (organization_id, Known::Yes(baseline))
    }
}

/// What is known of what an organization's reports are compared with.
#[derive(Debug)]
pub(crate) enum Known {
    Yes(Baseline),
    /// It is to be computed, because a link is new or the database was migrated.
    No,
}

/// What the next reports of these linked organizations are compared with. One of which no report counts
/// yet is left out.
pub(crate) async fn get_many(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
) -> Result<Vec<(Uuid, Known)>, StoreError> {
    let counts_or_is_unknown = Condition::any()
        .add(Column::BaselineReportedAt.is_not_null())
        .add(Column::DayUserCounts.is_null());
    let rows = Entity::find()
        .among(organizations)
        .filter(counts_or_is_unknown)
        .into_partial_model::<BaselineRow>()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(BaselineRow::into_domain).collect())
}

/// Keeps baselines. The anchor stays: [`compute`] sets it.
pub(crate) async fn set_many(
    db: &impl ConnectionTrait,
    baselines: &[(Uuid, Baseline)],
) -> Result<(), StoreError> {
    // An array of arrays would have to be rectangular: each is a text.
    fn array(items: impl Iterator<Item = String>) -> String {
        format!("{{{}}}", items.collect::<Vec<_>>().join(","))
    }
    let counts = |it: &Baseline| array(it.days.iter().map(|day| day.user_count.to_string()));
    let times = |it: &Baseline| array(it.days.iter().map(|day| day.reported_at.to_rfc3339()));
    let low_since = |it: &Baseline| it.low_since.map_or_else(String::new, |at| at.to_rfc3339());
    let ids = column(baselines, |(id, _)| *id);
    let user_counts = column(baselines, |(_, it)| it.user_count);
    let reported_at = column(baselines, |(_, it)| it.reported_at);
    let urls = column(baselines, |(_, it)| {
        it.instance_url.clone().unwrap_or_default()
    });
    let day_counts = column(baselines, |(_, it)| counts(it));
    let day_times = column(baselines, |(_, it)| times(it));
    let low_since = column(baselines, |(_, it)| low_since(it));
    let set_many = raw_sql!(
        Postgres,
        "UPDATE organization_reporting r SET baseline_user_count = b.user_count,
            baseline_reported_at = b.reported_at, baseline_instance_url = nullif(b.instance_url, ''),
            day_user_counts = b.day_counts::integer[], day_reported_at = b.day_times::timestamptz[],
            low_since = nullif(b.low_since, '')::timestamptz
        FROM unnest({ids}::uuid[], {user_counts}::integer[], {reported_at}::timestamptz[], {urls}::text[], {day_counts}::text[], {day_times}::text[],
            {low_since}::text[])
            AS b (id, user_count, reported_at, instance_url, day_counts, day_times, low_since)
        WHERE r.organization_id = b.id"
    );
    db.execute_raw(set_many).await?;
    Ok(())
}

/// Locks the next linked organizations after this id whose counted days are to be computed, and that
/// nobody else has.
pub(crate) async fn lock_unknown(
    db: &impl ConnectionTrait,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Uuid>, StoreError> {
    let ids: Vec<Uuid> = Entity::find()
        .linked()
        .behind(after)
        .filter(Column::DayUserCounts.is_null())
        .select_only()
        .column(Column::OrganizationId)
        .order_by_asc(Column::OrganizationId)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids)
}

/// Computes baselines from the stored reports: the latest report that counts, the last days that
/// counted since the link, and the count that was confirmed last. A released report confirms its count;
/// before one is released, the last report from before the subscription's start does, or else the last
/// one that was known when the link was learned of. A rule that was switched off confirms nothing.
pub(crate) async fn compute(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
) -> Result<(), StoreError> {
    // So far back is looked for days: eight of an instance that reports once a week.
    const COMPUTE: &str = concat!(
        "WITH of AS (
            SELECT o.organization_id, o.billing_start_at, l.user_count, l.reported_at, l.instance_url,
                d.counts, d.times, a.user_count AS anchor_count, a.at AS anchor_at, a.days AS anchor_days
            FROM organization_reporting o
            LEFT JOIN LATERAL (SELECT u.user_count, u.reported_at, u.instance_url FROM usage_reports u
                WHERE u.organization_id = o.organization_id AND u.reported_at IS NOT NULL AND ",
        counts!(),
        " ORDER BY u.reported_at DESC, u.id DESC LIMIT 1) l ON true
            LEFT JOIN LATERAL (SELECT array_agg(user_count ORDER BY reported_at) AS counts,
                    array_agg(reported_at ORDER BY reported_at) AS times
                FROM (SELECT DISTINCT ON (date_trunc('day', u.reported_at, 'UTC')) u.user_count, u.reported_at
                    FROM usage_reports u
                    WHERE u.organization_id = o.organization_id
                        AND u.reported_at >= greatest(o.billing_start_at, l.reported_at - interval '60 days')
                        AND coalesce(u.received_at, u.reported_at) <= u.reported_at + {timely}::text::interval AND ",
        counts!(),
        " ORDER BY date_trunc('day', u.reported_at, 'UTC') DESC, u.reported_at DESC, u.id DESC
                    LIMIT {kept}) days) d ON true
            LEFT JOIN LATERAL (
                (SELECT u.user_count, u.reported_at AS at, {release_days}::smallint AS days, 1 AS rank
                FROM hold_decisions h JOIN usage_reports u ON u.id = h.report_id
                WHERE h.organization_id = o.organization_id AND h.decision = 'released'
                    AND h.admin_user_id IS NOT NULL
                    AND u.reported_at >= coalesce(o.billing_start_at, '-infinity')
                ORDER BY u.reported_at DESC LIMIT 1)
                UNION ALL
                (SELECT u.user_count, o.billing_start_at, {link_days}::smallint, 2 FROM usage_reports u
                WHERE u.organization_id = o.organization_id AND u.reported_at < o.billing_start_at AND ",
        counts!(),
        " ORDER BY u.reported_at DESC, u.id DESC LIMIT 1)
                UNION ALL
                SELECT o.baseline_user_count, o.billing_start_at, {link_days}::smallint, 3
                WHERE o.baseline_user_count IS NOT NULL AND o.billing_start_at IS NOT NULL
                ORDER BY rank LIMIT 1) a ON true
            WHERE o.organization_id = ANY({organizations}))
        UPDATE organization_reporting r SET
            baseline_user_count = coalesce(of.user_count, r.baseline_user_count),
            baseline_reported_at = coalesce(of.reported_at, r.baseline_reported_at),
            baseline_instance_url = coalesce(r.baseline_instance_url, of.instance_url),
            day_user_counts = coalesce(of.counts, '{}'), day_reported_at = coalesce(of.times, '{}'),
            anchor_user_count = of.anchor_count, anchor_at = of.anchor_at, anchor_days = of.anchor_days
        FROM of WHERE r.organization_id = of.organization_id"
    );
    let kept = i64::try_from(DAYS_KEPT).unwrap_or(i64::MAX);
    let timely = format!("{} seconds", TIMELY.num_seconds());
    let compute = composed(
        COMPUTE,
        [
            ("organizations", organizations.into()),
            ("timely", timely.into()),
            ("kept", kept.into()),
            ("release_days", RELEASE_DAYS.into()),
            ("link_days", LINK_DAYS.into()),
        ],
    );
    db.execute_raw(compute).await?;
    Ok(())
}

/// Sets where reports of an organization are expected from.
pub(crate) async fn set_url(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    instance_url: &str,
) -> Result<(), StoreError> {
    let expected = ActiveModel {
        baseline_instance_url: Set(Some(instance_url.to_owned())),
        ..Default::default()
    };
    Entity::update_many()
        .set(expected)
        .of_organization(organization_id)
        .exec(db)
        .await?;
    Ok(())
}

/// A report that waited while its link was not known.
#[derive(Debug)]
pub(crate) struct Unjudged {
    pub(crate) id: Uuid,
    pub(crate) report: Report,
    pub(crate) received_at: DateTime<Utc>,
    /// The last report that counts from before the subscription's start: its count, time and URL.
    pub(crate) before: Option<(i32, DateTime<Utc>, Option<String>)>,
}

#[derive(Debug, FromQueryResult)]
struct UnjudgedRow {
    id: Uuid,
    organization_id: Uuid,
    organization_name: String,
    instance_url: String,
    user_count: i32,
    reported_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    before_count: Option<i32>,
    before_at: Option<DateTime<Utc>>,
    before_url: Option<String>,
}

/// The reports of these organizations that wait, were never compared, and are from after the start of the
/// subscription; by organization and time.
pub(crate) async fn unjudged(
    db: &impl ConnectionTrait,
    organizations: Vec<Uuid>,
) -> Result<Vec<Unjudged>, StoreError> {
    const UNJUDGED: &str = concat!(
        "SELECT w.id, w.organization_id, w.organization_name, w.instance_url, w.user_count, w.reported_at,
            w.received_at, b.user_count AS before_count, b.reported_at AS before_at,
            b.instance_url AS before_url
        FROM usage_reports w JOIN organization_reporting r USING (organization_id)
        LEFT JOIN LATERAL (SELECT u.user_count, u.reported_at, u.instance_url FROM usage_reports u
            WHERE u.organization_id = w.organization_id AND u.reported_at < r.billing_start_at AND ",
        counts!(),
        " ORDER BY u.reported_at DESC, u.id DESC LIMIT 1) b ON true
        WHERE w.organization_id = ANY({organizations}) AND w.delivery_state = 'waiting' AND w.hold_reason IS NULL
            AND NOT w.adopted AND w.received_at IS NOT NULL AND w.reported_at >= r.billing_start_at
        ORDER BY w.organization_id, w.reported_at"
    );
    let unjudged = composed(UNJUDGED, [("organizations", organizations.into())]);
    let rows = UnjudgedRow::find_by_statement(unjudged);
    let found = rows.all(db).await?.into_iter().map(|row| {
        let UnjudgedRow {
            id,
            organization_id,
            organization_name,
            instance_url,
            user_count,
            reported_at,
            received_at,
            before_count,
            before_at,
            before_url,
        } = row;
        Unjudged {
            id,
            before: before_count
                .zip(before_at)
                .map(|(count, at)| (count, at, before_url)),
            report: Report {
                organization_id,
                content: Content {
                    organization_name,
                    instance_url,
                    user_count,
                },
                reported_at,
                signature: None,
                source: None,
            },
            received_at,
        }
    });
    Ok(found.collect())
}

/// Notes why waiting reports are to be held once they could be sent.
pub(crate) async fn mark_held(
    db: &impl ConnectionTrait,
    held: &[(Uuid, Hold)],
) -> Result<(), StoreError> {
    fn json(hold: &Hold) -> String {
        let compared: &Json = &hold.compared_with;
        compared.to_string()
    }
    let ids = column(held, |(id, _)| *id);
    let reasons = column(held, |(_, it)| it.reason.as_str().to_owned());
    let messages = column(held, |(_, it)| it.message.clone());
    let causes = column(held, |(_, it)| it.cause.clone());
    let compared_with = column(held, |(_, it)| json(it));
    let mark_held = raw_sql!(
        Postgres,
        "UPDATE usage_reports u SET hold_reason = h.reason, error_code = h.reason,
            error_message = h.message, hold_cause = h.cause, compared_with = h.compared_with::jsonb
        FROM unnest({ids}::uuid[], {reasons}::text[], {messages}::text[], {causes}::text[], {compared_with}::text[])
            AS h (id, reason, message, cause, compared_with)
        WHERE u.id = h.id AND u.delivery_state IN ('waiting', 'held')"
    );
    db.execute_raw(mark_held).await?;
    Ok(())
}
