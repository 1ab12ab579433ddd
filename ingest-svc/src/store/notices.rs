//! `notices_to_tell`: what org-svc has yet to be handed for the operator's own channel, stored in the
//! transaction of what it tells of.
//!
//! What concerns one organization is told under its lock, so no two transactions wait for each other's
//! keys. `hold.ending` is told under it too.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{
    outbox::{Leased, Outbox, outbox},
    sql,
};
use crate::domain::notice::{HeldSpan, NewNotice, Period, Silent, join_silent, silent_facts};

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

/// Tells, beside the `moved` reports of a statement whose `$2` is now, of those that are held: of each
/// organization the first, once a day.
macro_rules! tell_held {
    () => {
        concat!(
            "INSERT INTO notices_to_tell (key, kind, organization_id, occurred_at, data, next_attempt_at)
            SELECT 'report.held/' || organization_id || '/' || ",
            $crate::store::notices::day_text!("$2::timestamptz"),
            ", 'report.held', organization_id, $2, jsonb_build_object('report_id', id, 'reported_at', ",
            $crate::store::notices::time_text!("reported_at"),
            ", 'user_count', user_count, 'instance_url', instance_url, 'reason', hold_reason,
                'message', error_message, 'compared_with', compared_with), $2
            FROM moved WHERE delivery_state = 'held' ORDER BY organization_id, reported_at
            ON CONFLICT (key) DO NOTHING"
        )
    };
}

/// Tells, beside the `recorded` findings of a statement whose `$2` is now, of those that were not in
/// `open_before`: of each organization and kind the earliest and how many there are, once a day.
macro_rules! tell_opened {
    () => {
        concat!(
            "INSERT INTO notices_to_tell (key, kind, organization_id, occurred_at, data, next_attempt_at)
            SELECT DISTINCT ON (organization_id)
                'finding.opened/' || organization_id || '/' || kind || '/' || ",
            $crate::store::notices::day_text!("$2::timestamptz"),
            ", 'finding.opened', organization_id, $2::timestamptz, jsonb_build_object('finding_id', id,
                'finding', kind, 'finding_count', count(*) OVER (PARTITION BY organization_id),
                'day', day, 'stripe_invoice_id', nullif(stripe_invoice_id, ''),
                'expected', expected, 'found', trim_scale(found)::text), $2::timestamptz
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
) -> Result<(), DbErr> {
    const TELL: &str = "
        INSERT INTO notices_to_tell (key, kind, organization_id, occurred_at, data, next_attempt_at)
        SELECT key, kind, organization_id, $5, data::jsonb, $5
        FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[])
            AS t (key, kind, organization_id, data)
        ORDER BY organization_id, key
        ON CONFLICT (key) DO NOTHING";
    fn column<T>(notices: &[NewNotice], of: impl Fn(&NewNotice) -> T) -> Vec<T> {
        notices.iter().map(of).collect()
    }
    if notices.is_empty() {
        return Ok(());
    }
    let values = [
        column(notices, NewNotice::key).into(),
        column(notices, |it| it.kind.as_str().to_owned()).into(),
        column(notices, |it| it.organization_id).into(),
        column(notices, |it| it.facts.to_string()).into(),
        now.into(),
    ];
    db.execute_raw(sql(TELL, values)).await.map(drop)
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
) -> Result<Vec<Silent>, DbErr> {
    const MARK_SILENT: &str = "
        WITH silent AS (
            SELECT organization_id, greatest(last_reported_at, billing_start_at) AS since
            FROM organization_reporting
            WHERE billable AND billing_end_at IS NULL
                AND greatest(last_reported_at, billing_start_at) < $1
                AND (greatest(last_reported_at, billing_start_at), organization_id) > ($2, $3)
                AND silence_told_since IS DISTINCT FROM greatest(last_reported_at, billing_start_at)
            ORDER BY greatest(last_reported_at, billing_start_at), organization_id
            LIMIT $4 FOR UPDATE SKIP LOCKED),
        marked AS (
            UPDATE organization_reporting r SET silence_told_since = s.since
            FROM silent s WHERE r.organization_id = s.organization_id
            RETURNING r.organization_id, s.since, r.last_reported_at,
                r.baseline_user_count AS user_count)
        SELECT organization_id, since, last_reported_at, user_count FROM marked
        ORDER BY since, organization_id";
    let (since, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
    let values = [silent.into(), since.into(), id.into(), limit.into()];
    let rows = SilentRow::find_by_statement(sql(MARK_SILENT, values));
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

#[derive(Debug, FromQueryResult)]
struct Gathering {
    key: String,
    data: Json,
}

/// Tells of silent instances in the notice that is still being gathered, or in a new one that is handed
/// over at `due`. Of two replicas that begin one at the same moment each tells of its own instances.
pub(crate) async fn gather_silent(
    db: &impl ConnectionTrait,
    id: Uuid,
    silent: &[Silent],
    now: DateTime<Utc>,
    due: DateTime<Utc>,
) -> Result<(), DbErr> {
    const GATHERING: &str = "
        SELECT key, data FROM notices_to_tell
        WHERE kind = 'instances.silent' AND next_attempt_at > $1 AND attempt_count = 0
            AND lease_token IS NULL
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE";
    const JOIN: &str = "UPDATE notices_to_tell SET data = $2 WHERE key = $1";
    const BEGIN: &str = "
        INSERT INTO notices_to_tell (key, kind, occurred_at, data, next_attempt_at)
        VALUES ('instances.silent/' || $1::uuid, 'instances.silent', $2, $3, $4)";
    if silent.is_empty() {
        return Ok(());
    }
    let facts = silent_facts(silent);
    let gathering = Gathering::find_by_statement(sql(GATHERING, [now.into()]))
        .one(db)
        .await?;
    let statement = match gathering {
        Some(Gathering { key, data }) => sql(JOIN, [key.into(), join_silent(&data, &facts).into()]),
        None => sql(BEGIN, [id.into(), now.into(), facts.into(), due.into()]),
    };
    db.execute_raw(statement).await.map(drop)
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
    limit: i64,
) -> Result<Vec<Holding>, DbErr> {
    const HOLDING_AFTER: &str = "
        SELECT organization_id, count(*) AS held_count, min(reported_at) AS first_reported_at,
            max(reported_at) AS last_reported_at
        FROM usage_reports WHERE delivery_state = 'held' AND organization_id > $1
        GROUP BY organization_id ORDER BY organization_id LIMIT $2";
    Holding::find_by_statement(sql(HOLDING_AFTER, [after.into(), limit.into()]))
        .all(db)
        .await
}

/// Keeps the present periods of organizations with held reports, where they are others. Of several that do
/// so at once each locks in the same order.
pub(crate) async fn keep_periods(
    db: &impl ConnectionTrait,
    periods: &[(Uuid, Period)],
) -> Result<(), DbErr> {
    const KEEP_PERIODS: &str = "
        WITH others AS (
            SELECT r.organization_id, p.start_at, p.end_at
            FROM organization_reporting r
            JOIN (SELECT organization_id, nullif(start_at, '')::timestamptz AS start_at,
                    nullif(end_at, '')::timestamptz AS end_at
                FROM unnest($1::uuid[], $2::text[], $3::text[])
                    AS t (organization_id, start_at, end_at)) p USING (organization_id)
            WHERE (r.period_start_at, r.period_end_at) IS DISTINCT FROM (p.start_at, p.end_at)
            ORDER BY organization_id FOR UPDATE OF r)
        UPDATE organization_reporting r SET period_start_at = o.start_at, period_end_at = o.end_at
        FROM others o WHERE r.organization_id = o.organization_id";
    if periods.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = periods.iter().map(|(id, _)| *id).collect();
    // An array of this driver has no NULL.
    let text = |time: Option<DateTime<Utc>>| time.map_or_else(String::new, |it| it.to_rfc3339());
    let starts = periods.iter().map(|(_, period)| text(period.start));
    let ends = periods.iter().map(|(_, period)| text(period.end));
    let (starts, ends): (Vec<_>, Vec<_>) = starts.zip(ends).unzip();
    let values = [ids.into(), starts.into(), ends.into()];
    db.execute_raw(sql(KEEP_PERIODS, values)).await.map(drop)
}

/// Takes note that it is told of an organization's deadline; whether it was not told before. Locks the
/// organization.
pub(crate) async fn mark_deadline(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    deadline: DateTime<Utc>,
) -> Result<bool, DbErr> {
    const MARK_DEADLINE: &str = "
        UPDATE organization_reporting SET hold_deadline_told = $2
        WHERE organization_id = $1 AND hold_deadline_told IS DISTINCT FROM $2";
    let values = [organization_id.into(), deadline.into()];
    let marked = db.execute_raw(sql(MARK_DEADLINE, values)).await?;
    Ok(marked.rows_affected() > 0)
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
