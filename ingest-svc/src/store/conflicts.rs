//! `report_conflicts`: what was refused because another count is recorded for its time.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{sources::address_text, sql, unknown_word};
use crate::domain::{delivery::DeliveryState, replacement::Recorded, report::Report};

/// How many are kept of an organization.
pub(crate) const KEPT_MAX: i64 = 20;

/// Keeps refused reports, each with an id of its own, under the locks of their organizations; of each
/// organization the last ones. One that came before is counted. Answers the organizations of which one
/// was not replaced since.
pub(crate) async fn keep(
    db: &impl ConnectionTrait,
    refused: &[(Uuid, &Report)],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
    }
    const KEEP: &str = "
        WITH kept AS (
            INSERT INTO report_conflicts AS c (id, organization_id, reported_at, user_count,
                organization_name, instance_url, source_address, first_refused_at, last_refused_at,
                refused_count)
            SELECT id, organization_id, reported_at, user_count, organization_name, instance_url,
                nullif(source_address, '')::inet, $8, $8, 1
            FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[], $5::text[],
                $6::text[], $7::text[])
                AS t (id, organization_id, reported_at, user_count, organization_name, instance_url,
                    source_address)
            ORDER BY organization_id, reported_at, user_count
            ON CONFLICT (organization_id, reported_at, user_count) DO UPDATE SET
                last_refused_at = excluded.last_refused_at, refused_count = c.refused_count + 1,
                source_address = coalesce(excluded.source_address, c.source_address)
            RETURNING organization_id, replaced_at)
        SELECT DISTINCT organization_id FROM kept WHERE replaced_at IS NULL";
    const FORGET: &str = "
        DELETE FROM report_conflicts WHERE id IN (
            SELECT id FROM (
                SELECT id, row_number() OVER (PARTITION BY organization_id
                    ORDER BY last_refused_at DESC, id DESC) AS place
                FROM report_conflicts WHERE organization_id = ANY($1)) ranked
            WHERE place > $2)";
    fn column<T>(refused: &[(Uuid, &Report)], of: impl Fn(&Report) -> T) -> Vec<T> {
        refused.iter().map(|(_, report)| of(report)).collect()
    }
    let ids: Vec<_> = refused.iter().map(|(id, _)| *id).collect();
    let organizations = column(refused, |it| it.organization_id);
    let values = [
        ids.into(),
        organizations.clone().into(),
        column(refused, |it| it.reported_at).into(),
        column(refused, |it| it.content.user_count).into(),
        column(refused, |it| it.content.organization_name.clone()).into(),
        column(refused, |it| it.content.instance_url.clone()).into(),
        column(refused, address_text).into(),
        now.into(),
    ];
    let rows = Row::find_by_statement(sql(KEEP, values)).all(db).await?;
    db.execute_raw(sql(FORGET, [organizations.into(), KEPT_MAX.into()]))
        .await?;
    Ok(rows.into_iter().map(|row| row.organization_id).collect())
}

/// A refused report, and what is recorded in its place.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct Conflict {
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) user_count: i32,
    pub(crate) organization_name: String,
    pub(crate) instance_url: String,
    pub(crate) source_address: Option<String>,
    pub(crate) first_refused_at: DateTime<Utc>,
    pub(crate) last_refused_at: DateTime<Utc>,
    pub(crate) refused_count: i64,
    pub(crate) replaced_at: Option<DateTime<Utc>>,
    pub(crate) replacement_id: Option<Uuid>,
    /// None while the recorded one waits for org-svc.
    pub(crate) recorded_id: Option<Uuid>,
    pub(crate) recorded_user_count: Option<i32>,
}

impl Conflict {
    /// Where it came from, as long as that is kept.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source_address.as_ref().and_then(|it| it.parse().ok())
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.organization_id, c.reported_at, c.user_count, c.organization_name,
                c.instance_url, host(c.source_address) AS source_address, c.first_refused_at,
                c.last_refused_at, c.refused_count, c.replaced_at, c.replacement_id,
                u.id AS recorded_id, u.user_count AS recorded_user_count
            FROM report_conflicts c LEFT JOIN usage_reports u ON NOT u.adopted
                AND u.organization_id = c.organization_id AND u.reported_at = c.reported_at ",
            $rest
        )
    };
}

/// The refused reports of an organization, those that came last first.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<Vec<Conflict>, DbErr> {
    const LIST: &str =
        select!("WHERE c.organization_id = $1 ORDER BY c.last_refused_at DESC, c.id DESC LIMIT $2");
    Conflict::find_by_statement(sql(LIST, [organization_id.into(), KEPT_MAX.into()]))
        .all(db)
        .await
}

/// One of them.
pub(crate) async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Conflict>, DbErr> {
    const FIND: &str = select!("WHERE c.id = $1");
    Conflict::find_by_statement(sql(FIND, [id.into()]))
        .one(db)
        .await
}

/// What is recorded, as far as it matters to whether it can be replaced; under the lock of its
/// organization.
pub(crate) async fn recorded(
    db: &impl ConnectionTrait,
    report_id: Uuid,
) -> Result<Option<Recorded>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        delivery_state: String,
        reported_at: DateTime<Utc>,
        was_under_way: bool,
        last_reported_at: DateTime<Utc>,
    }
    // Those that were put in its place stand directly behind it.
    const RECORDED: &str = "
        SELECT u.delivery_state, u.reported_at, u.first_sent_at IS NOT NULL AS was_under_way,
            (SELECT max(o.reported_at) FROM usage_reports o
                WHERE o.organization_id = u.organization_id AND NOT o.adopted
                    AND o.reported_at >= u.reported_at
                    AND o.reported_at < u.reported_at + interval '1 millisecond') AS last_reported_at
        FROM usage_reports u WHERE u.id = $1 AND NOT u.adopted";
    let row = Row::find_by_statement(sql(RECORDED, [report_id.into()]))
        .one(db)
        .await?;
    row.map(|row| {
        Ok(Recorded {
            state: DeliveryState::parse(&row.delivery_state)
                .ok_or_else(|| unknown_word("delivery_state", &row.delivery_state))?,
            reported_at: row.reported_at,
            was_under_way: row.was_under_way,
            last_reported_at: row.last_reported_at,
        })
    })
    .transpose()
}

/// Writes a refused report over the recorded one, under the lock of their organization.
pub(crate) async fn overwrite(
    db: &impl ConnectionTrait,
    report_id: Uuid,
    conflict_id: Uuid,
    state: DeliveryState,
    first_attempt_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const OVERWRITE: &str = "
        UPDATE usage_reports u SET user_count = c.user_count, organization_name = c.organization_name,
            instance_url = c.instance_url, source_address = c.source_address, delivery_state = $3,
            next_attempt_at = CASE WHEN $3 = 'queued' THEN $4::timestamptz END,
            settled_at = CASE WHEN $3 NOT IN ('queued', 'waiting') THEN $5::timestamptz END,
            hold_reason = NULL, error_code = NULL, error_message = NULL, hold_cause = NULL,
            compared_with = NULL, count_low = false
        FROM report_conflicts c WHERE u.id = $1 AND c.id = $2";
    let values = [
        report_id.into(),
        conflict_id.into(),
        state.as_str().into(),
        first_attempt_at.into(),
        now.into(),
    ];
    db.execute_raw(sql(OVERWRITE, values)).await.map(drop)
}

/// Takes note that a refused report is recorded now, as this one.
pub(crate) async fn mark_replaced(
    db: &impl ConnectionTrait,
    id: Uuid,
    replacement_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const MARK: &str =
        "UPDATE report_conflicts SET replaced_at = $3, replacement_id = $2 WHERE id = $1";
    let values = [id.into(), replacement_id.into(), now.into()];
    db.execute_raw(sql(MARK, values)).await.map(drop)
}
