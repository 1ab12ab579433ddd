//! `notices_to_tell`: what org-svc has yet to be handed for the operator's own channel, stored in the
//! transaction of what it tells of.
//!
//! What concerns one organization is told under its lock, so no two transactions wait for each other's
//! keys. `hold.ending` is told under it too.

use billing_kit_db::{StoreError, query::column};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set, raw_sql, sea_query::LockType,
};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    entities::{
        notices::{self, ActiveModel, Entity, Scope as _},
        reporting::{self, Scope as _},
        reports::{self, Scope as _},
    },
    outbox::{Leased, Outbox, outbox},
};
use crate::domain::{
    delivery::DeliveryState,
    notice::{HeldSpan, NewNotice, Period, Silent, join_silent, silent_facts},
};

/// A time in JSON, as the domain writes it.
macro_rules! time_text {
    ($time:literal) => {
        concat!(
            "to_char(",
            $time,
            " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        )
    };
}

/// A UTC day in a key, as the domain writes it.
macro_rules! day_text {
    ($time:literal) => {
        concat!("to_char(", $time, " AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
    };
}

/// Tells, beside the `moved` reports of a statement with a parameter `now`, of those that are held: of each
/// organization the first, once a day.
macro_rules! tell_held {
    () => {
        concat!(
            "INSERT INTO notices_to_tell (key, kind, organization_id, occurred_at, data, next_attempt_at)
            SELECT 'report.held/' || organization_id || '/' || ",
            $crate::store::notices::day_text!("{now}::timestamptz"),
            ", 'report.held', organization_id, {now}, jsonb_build_object('report_id', id, 'reported_at', ",
            $crate::store::notices::time_text!("reported_at"),
            ", 'user_count', user_count, 'instance_url', instance_url, 'reason', hold_reason,
                'message', error_message, 'compared_with', compared_with), {now}
            FROM moved WHERE delivery_state = 'held' ORDER BY organization_id, reported_at
            ON CONFLICT (key) DO NOTHING"
        )
    };
}

/// Tells, beside the `recorded` findings of a statement with a parameter `now`, of those that were not in
/// `open_before`: of each organization and kind the earliest and how many there are, once a day.
macro_rules! tell_opened {
    () => {
        concat!(
            "INSERT INTO notices_to_tell (key, kind, organization_id, occurred_at, data, next_attempt_at)
            SELECT DISTINCT ON (organization_id)
                'finding.opened/' || organization_id || '/' || kind || '/' || ",
            $crate::store::notices::day_text!("{now}::timestamptz"),
            ", 'finding.opened', organization_id, {now}::timestamptz, jsonb_build_object('finding_id', id,
                'finding', kind, 'finding_count', count(*) OVER (PARTITION BY organization_id),
                'day', day, 'stripe_invoice_id', nullif(stripe_invoice_id, ''),
                'expected', expected, 'found', trim_scale(found)::text), {now}::timestamptz
            FROM recorded
            WHERE dismissed_at IS NULL AND id NOT IN (SELECT id FROM open_before)
            ORDER BY organization_id, day, id
            ON CONFLICT (key) DO NOTHING"
        )
    };
}

pub(crate) use {day_text, tell_held, tell_opened, time_text};

/// Stores notices; of one that is stored already the first stays.
pub(crate) async fn tell(
    db: &impl ConnectionTrait,
    notices: &[NewNotice],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if notices.is_empty() {
        return Ok(());
    }
    let keys = column(notices, NewNotice::key);
    let kinds = column(notices, |it| it.kind.as_str().to_owned());
    let organizations = column(notices, |it| it.organization_id);
    let facts = column(notices, |it| it.facts.to_string());
    let tell = raw_sql!(
        Postgres,
        "INSERT INTO notices_to_tell (key, kind, organization_id, occurred_at, data, next_attempt_at)
        SELECT key, kind, organization_id, {now}, data::jsonb, {now}
        FROM unnest({keys}::text[], {kinds}::text[], {organizations}::uuid[], {facts}::text[])
            AS t (key, kind, organization_id, data)
        ORDER BY organization_id, key
        ON CONFLICT (key) DO NOTHING"
    );
    db.execute_raw(tell).await?;
    Ok(())
}

/// Where a look at the silent instances goes on: behind the one that has been silent since then.
pub(crate) type SilentCursor = (DateTime<Utc>, Uuid);

#[derive(Debug, FromQueryResult)]
struct SilentRow {
    organization_id: Uuid,
    since: DateTime<Utc>,
    last_reported_at: Option<DateTime<Utc>>,
    user_count: Option<i32>,
}

/// Takes note that it is told of instances that are expected since before `silent`, the longest silence
/// first, where it was not. One whose reports are just being taken in is not waited for.
pub(crate) async fn mark_silent(
    db: &impl ConnectionTrait,
    after: Option<SilentCursor>,
    silent: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Silent>, StoreError> {
    let (since, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
    let mark_silent = raw_sql!(
        Postgres,
        "WITH silent AS (
            SELECT organization_id, greatest(last_reported_at, billing_start_at) AS since
            FROM organization_reporting
            WHERE billable AND billing_end_at IS NULL
                AND greatest(last_reported_at, billing_start_at) < {silent}
                AND (greatest(last_reported_at, billing_start_at), organization_id) > ({since}, {id})
                AND silence_told_since IS DISTINCT FROM greatest(last_reported_at, billing_start_at)
            ORDER BY greatest(last_reported_at, billing_start_at), organization_id
            LIMIT {limit} FOR UPDATE SKIP LOCKED),
        marked AS (
            UPDATE organization_reporting r SET silence_told_since = s.since
            FROM silent s WHERE r.organization_id = s.organization_id
            RETURNING r.organization_id, s.since, r.last_reported_at,
                r.baseline_user_count AS user_count)
        SELECT organization_id, since, last_reported_at, user_count FROM marked
        ORDER BY since, organization_id"
    );
    let rows = SilentRow::find_by_statement(mark_silent);
    let silent = rows.all(db).await?.into_iter().map(|row| {
        let SilentRow {
            organization_id,
            since,
            last_reported_at,
            user_count,
        } = row;
        Silent {
            organization_id,
            since,
            last_reported_at,
            user_count,
        }
    });
    Ok(silent.collect())
}

/// Tells of silent instances in the notice that is still being gathered, or in a new one that is handed
/// over at `due`. Of two replicas that begin one at the same moment each tells of its own instances.
pub(crate) async fn gather_silent(
    db: &impl ConnectionTrait,
    id: Uuid,
    silent: &[Silent],
    now: DateTime<Utc>,
    due: DateTime<Utc>,
) -> Result<(), StoreError> {
    if silent.is_empty() {
        return Ok(());
    }
    let facts = silent_facts(silent);
    let gathering = Entity::find()
        .gathering(now)
        .order_by_asc(notices::Column::NextAttemptAt)
        .lock(LockType::Update)
        .one(db)
        .await?;
    match gathering {
        Some(notice) => {
            let joined = ActiveModel {
                data: Set(join_silent(&notice.data, &facts)),
                ..Default::default()
            };
            Entity::update_many()
                .set(joined)
                .filter(notices::Column::Key.eq(notice.key))
                .exec(db)
                .await?;
        }
        None => {
            let begun = ActiveModel {
                key: Set(format!("instances.silent/{id}")),
                kind: Set("instances.silent".to_owned()),
                occurred_at: Set(now),
                data: Set(facts),
                next_attempt_at: Set(due),
                ..Default::default()
            };
            Entity::insert(begun).exec_without_returning(db).await?;
        }
    }
    Ok(())
}

/// An organization with held reports.
#[derive(Debug, FromQueryResult)]
pub(crate) struct Holding {
    pub(crate) organization_id: Uuid,
    pub(crate) held_count: i64,
    first_reported_at: DateTime<Utc>,
    last_reported_at: DateTime<Utc>,
}

impl Holding {
    pub(crate) fn span(&self) -> HeldSpan {
        HeldSpan {
            first: self.first_reported_at,
            last: self.last_reported_at,
        }
    }
}

/// Organizations with held reports, in the order of their ids.
pub(crate) async fn holding_after(
    db: &impl ConnectionTrait,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Holding>, StoreError> {
    use reports::Column;
    let holding = reports::Entity::find()
        .in_state(DeliveryState::Held)
        .filter(Column::OrganizationId.gt(after))
        .select_only()
        .column(Column::OrganizationId)
        .column_as(Column::Id.count(), "held_count")
        .column_as(Column::ReportedAt.min(), "first_reported_at")
        .column_as(Column::ReportedAt.max(), "last_reported_at")
        .group_by(Column::OrganizationId)
        .order_by_asc(Column::OrganizationId)
        .limit(limit)
        .into_model::<Holding>();
    Ok(holding.all(db).await?)
}

/// Keeps the present periods of organizations with held reports, where they are others. Of several that do
/// so at once each locks in the same order.
pub(crate) async fn keep_periods(
    db: &impl ConnectionTrait,
    periods: &[(Uuid, Period)],
) -> Result<(), StoreError> {
    if periods.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = periods.iter().map(|(id, _)| *id).collect();
    // An array of this driver has no NULL.
    let text = |time: Option<DateTime<Utc>>| time.map_or_else(String::new, |it| it.to_rfc3339());
    let starts = periods.iter().map(|(_, period)| text(period.start));
    let ends = periods.iter().map(|(_, period)| text(period.end));
    let (starts, ends): (Vec<_>, Vec<_>) = starts.zip(ends).unzip();
    let keep_periods = raw_sql!(
        Postgres,
        "WITH others AS (
            SELECT r.organization_id, p.start_at, p.end_at
            FROM organization_reporting r
            JOIN (SELECT organization_id, nullif(start_at, '')::timestamptz AS start_at,
                    nullif(end_at, '')::timestamptz AS end_at
                FROM unnest({ids}::uuid[], {starts}::text[], {ends}::text[])
                    AS t (organization_id, start_at, end_at)) p USING (organization_id)
            WHERE (r.period_start_at, r.period_end_at) IS DISTINCT FROM (p.start_at, p.end_at)
            ORDER BY organization_id FOR UPDATE OF r)
        UPDATE organization_reporting r SET period_start_at = o.start_at, period_end_at = o.end_at
        FROM others o WHERE r.organization_id = o.organization_id"
    );
    db.execute_raw(keep_periods).await?;
    Ok(())
}

/// Takes note that it is told of an organization's deadline; whether it was not told before. Locks the
/// organization.
pub(crate) async fn mark_deadline(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    deadline: DateTime<Utc>,
) -> Result<bool, StoreError> {
    use reporting::Column;
    let told = reporting::ActiveModel {
        hold_deadline_told: Set(Some(deadline)),
        ..Default::default()
    };
    let is_another = Condition::any()
        .add(Column::HoldDeadlineTold.is_null())
        .add(Column::HoldDeadlineTold.ne(deadline));
    let marked = reporting::Entity::update_many()
        .set(told)
        .of_organization(organization_id)
        .filter(is_another)
        .exec(db)
        .await?;
    Ok(marked.rows_affected > 0)
}

/// A notice that is being handed over.
#[derive(Debug, FromQueryResult)]
pub(crate) struct ToTell {
    pub(crate) key: String,
    pub(crate) kind: String,
    /// Whom it is about; `None` where its facts name several.
    pub(crate) organization_id: Option<Uuid>,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) data: Json,
    /// Attempts before this one.
    pub(crate) attempt_count: i32,
}

impl Leased for ToTell {
    const OUTBOX: Outbox = outbox!(
        "notices_to_tell",
        "key",
        "t.key, t.kind, t.organization_id, t.occurred_at, t.data, t.attempt_count"
    );

    fn key(&self) -> String {
        self.key.clone()
    }

    fn attempt_count(&self) -> i32 {
        self.attempt_count
    }
}
