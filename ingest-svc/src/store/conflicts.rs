//! `report_conflicts`: what was refused because another count is recorded for its time.

use std::net::IpAddr;

use billing_kit_db::{
    StoreError,
    query::{column, composed},
};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, Set, raw_sql,
};
use uuid::Uuid;

use super::{
    entities::conflicts::{ActiveModel, Column, Entity},
    sources::address_text,
};
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
) -> Result<Vec<Uuid>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        organization_id: Uuid,
    }
    let organizations = column(refused, |(_, it)| it.organization_id);
    let ids = column(refused, |(id, _)| *id);
    let reported_at = column(refused, |(_, it)| it.reported_at);
    let user_counts = column(refused, |(_, it)| it.content.user_count);
    let names = column(refused, |(_, it)| it.content.organization_name.clone());
    let urls = column(refused, |(_, it)| it.content.instance_url.clone());
    let addresses = column(refused, |(_, it)| address_text(it));
    let keep = raw_sql!(
        Postgres,
        "WITH kept AS (
            INSERT INTO report_conflicts AS c (id, organization_id, reported_at, user_count,
                organization_name, instance_url, source_address, first_refused_at, last_refused_at,
                refused_count)
            SELECT id, organization_id, reported_at, user_count, organization_name, instance_url,
                nullif(source_address, '')::inet, {now}, {now}, 1
            FROM unnest({ids}::uuid[], {organizations}::uuid[], {reported_at}::timestamptz[], {user_counts}::integer[], {names}::text[],
                {urls}::text[], {addresses}::text[])
                AS t (id, organization_id, reported_at, user_count, organization_name, instance_url,
                    source_address)
            ORDER BY organization_id, reported_at, user_count
            ON CONFLICT (organization_id, reported_at, user_count) DO UPDATE SET
                last_refused_at = excluded.last_refused_at, refused_count = c.refused_count + 1,
                source_address = coalesce(excluded.source_address, c.source_address)
            RETURNING organization_id, replaced_at)
        SELECT DISTINCT organization_id FROM kept WHERE replaced_at IS NULL"
    );
    let rows = Row::find_by_statement(keep).all(db).await?;
    let forget = raw_sql!(
        Postgres,
        "DELETE FROM report_conflicts WHERE id IN (
            SELECT id FROM (
                SELECT id, row_number() OVER (PARTITION BY organization_id
                    ORDER BY last_refused_at DESC, id DESC) AS place
                FROM report_conflicts WHERE organization_id = ANY({organizations})) ranked
            WHERE place > {KEPT_MAX})"
    );
    db.execute_raw(forget).await?;
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
) -> Result<Vec<Conflict>, StoreError> {
    const LIST: &str = select!(
        "WHERE c.organization_id = {organization_id} ORDER BY c.last_refused_at DESC, c.id DESC LIMIT {kept}"
    );
    let values = [
        ("organization_id", organization_id.into()),
        ("kept", KEPT_MAX.into()),
    ];
    let list = Conflict::find_by_statement(composed(LIST, values));
    Ok(list.all(db).await?)
}

/// One of them.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Conflict>, StoreError> {
    const FIND: &str = select!("WHERE c.id = {id}");
    let find = Conflict::find_by_statement(composed(FIND, [("id", id.into())]));
    Ok(find.one(db).await?)
}

/// What is recorded, as far as it matters to whether it can be replaced; under the lock of its
/// organization.
pub(crate) async fn recorded(
    db: &impl ConnectionTrait,
    report_id: Uuid,
) -> Result<Option<Recorded>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        delivery_state: String,
        reported_at: DateTime<Utc>,
        was_under_way: bool,
        last_reported_at: DateTime<Utc>,
    }
    // Those that were put in its place stand directly behind it.
    let recorded = raw_sql!(
        Postgres,
        "SELECT u.delivery_state, u.reported_at, u.first_sent_at IS NOT NULL AS was_under_way,
            (SELECT max(o.reported_at) FROM usage_reports o
                WHERE o.organization_id = u.organization_id AND NOT o.adopted
                    AND o.reported_at >= u.reported_at
                    AND o.reported_at < u.reported_at + interval '1 millisecond') AS last_reported_at
        FROM usage_reports u WHERE u.id = {report_id} AND NOT u.adopted"
    );
    let row = Row::find_by_statement(recorded).one(db).await?;
    row.map(|row| {
        Ok(Recorded {
            state: DeliveryState::parse(&row.delivery_state)
                .ok_or_else(|| StoreError::unknown("delivery_state", &row.delivery_state))?,
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
) -> Result<(), StoreError> {
    let state = state.as_str();
    let overwrite = raw_sql!(
        Postgres,
        "UPDATE usage_reports u SET user_count = c.user_count, organization_name = c.organization_name,
            instance_url = c.instance_url, source_address = c.source_address, delivery_state = {state},
            next_attempt_at = CASE WHEN {state} = 'queued' THEN {first_attempt_at}::timestamptz END,
            settled_at = CASE WHEN {state} NOT IN ('queued', 'waiting') THEN {now}::timestamptz END,
            hold_reason = NULL, error_code = NULL, error_message = NULL, hold_cause = NULL,
            compared_with = NULL, count_low = false
        FROM report_conflicts c WHERE u.id = {report_id} AND c.id = {conflict_id}"
    );
    db.execute_raw(overwrite).await?;
    Ok(())
}

/// Takes note that a refused report is recorded now, as this one.
pub(crate) async fn mark_replaced(
    db: &impl ConnectionTrait,
    id: Uuid,
    replacement_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let replaced = ActiveModel {
        replaced_at: Set(Some(now)),
        replacement_id: Set(Some(replacement_id)),
        ..Default::default()
    };
    Entity::update_many()
        .set(replaced)
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}
