//! Held reports in `usage_reports`, and `hold_decisions`: who said what of them.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{audit_events::Author, hold_groups::GroupSelection, sql, unknown_word};
use crate::domain::{
    delivery::DeliveryState,
    hold::{Decision, HoldReason},
};

/// A held report, and what it was compared with.
#[derive(Debug)]
pub(crate) struct HeldReport {
    pub(crate) id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) user_count: i32,
    pub(crate) instance_url: String,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) reason: HoldReason,
    pub(crate) message: String,
    pub(crate) baseline_user_count: Option<i32>,
    pub(crate) baseline_instance_url: Option<String>,
    /// The last count that would not have been held.
    pub(crate) limit_user_count: Option<i32>,
}

#[derive(Debug, FromQueryResult)]
struct HeldRow {
    id: Uuid,
    organization_id: Uuid,
    user_count: i32,
    instance_url: String,
    reported_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    hold_reason: String,
    error_message: String,
    baseline_user_count: Option<i32>,
    baseline_instance_url: Option<String>,
    limit_user_count: Option<i32>,
}

impl HeldRow {
    fn into_domain(self) -> Result<HeldReport, DbErr> {
        let Self {
            id,
            organization_id,
            user_count,
            instance_url,
            reported_at,
            received_at,
            hold_reason,
            error_message,
            baseline_user_count,
            baseline_instance_url,
            limit_user_count,
        } = self;
        Ok(HeldReport {
            id,
            organization_id,
            user_count,
            instance_url,
            reported_at,
            received_at,
            reason: HoldReason::parse(&hold_reason)
                .ok_or_else(|| unknown_word("hold_reason", &hold_reason))?,
            message: error_message,
            baseline_user_count,
            baseline_instance_url,
            limit_user_count,
        })
    }
}

/// That the invoice of a held report `u`, of the organization `r`, is final before this moment and the
/// draft's time: a report of an earlier period belongs on the invoice that ended, at the latest, where the
/// present one begins.
macro_rules! ends_before {
    ($moment:literal) => {
        concat!(
            "CASE WHEN u.reported_at < r.period_start_at THEN r.period_start_at
                ELSE r.period_end_at END <= ",
            $moment
        )
    };
}

pub(super) use ends_before;

/// Which held reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldFilter {
    /// Of this organization; `None` of all.
    pub(crate) organization_id: Option<Uuid>,
    /// Only of periods that end before this.
    pub(crate) period_ends_before: Option<DateTime<Utc>>,
}

/// Where a page of held reports ends: the organization, time and id of its last.
pub(crate) type HeldEnd = (Uuid, DateTime<Utc>, Uuid);

/// Held reports, by organization and time.
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    filter: HeldFilter,
    after: Option<HeldEnd>,
    limit: i64,
) -> Result<Vec<HeldReport>, DbErr> {
    const LIST: &str = concat!(
        "SELECT u.id, u.organization_id, u.user_count, u.instance_url, u.reported_at, u.received_at,
            u.hold_reason, coalesce(u.error_message, '') AS error_message,
            coalesce((u.compared_with ->> 'baseline_user_count')::integer, r.baseline_user_count)
                AS baseline_user_count,
            coalesce(u.compared_with ->> 'baseline_instance_url', r.baseline_instance_url)
                AS baseline_instance_url,
            (u.compared_with ->> 'limit_user_count')::integer AS limit_user_count
        FROM usage_reports u JOIN organization_reporting r USING (organization_id)
        WHERE u.delivery_state = 'held' AND ($1::uuid IS NULL OR u.organization_id = $1)
            AND ($2::uuid IS NULL OR (u.organization_id, u.reported_at, u.id) > ($2, $3, $4))
            AND ($6::timestamptz IS NULL OR ",
        ends_before!("$6"),
        ") ORDER BY u.organization_id, u.reported_at, u.id LIMIT $5"
    );
    let (after_organization, after_time, after_id) = match after {
        Some((organization, time, id)) => (Some(organization), Some(time), Some(id)),
        None => (None, None, None),
    };
    let values = [
        filter.organization_id.into(),
        after_organization.into(),
        after_time.into(),
        after_id.into(),
        limit.into(),
        filter.period_ends_before.into(),
    ];
    let rows = HeldRow::find_by_statement(sql(LIST, values))
        .all(db)
        .await?;
    rows.into_iter().map(HeldRow::into_domain).collect()
}

/// How many of an organization's reports are held.
pub(crate) async fn count(db: &impl ConnectionTrait, organization_id: Uuid) -> Result<i64, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        held: i64,
    }
    const COUNT: &str = "
        SELECT count(*) AS held FROM usage_reports
        WHERE organization_id = $1 AND delivery_state = 'held'";
    let row = Row::find_by_statement(sql(COUNT, [organization_id.into()]))
        .one(db)
        .await?;
    Ok(row.map_or(0, |row| row.held))
}

/// A report that is or was held.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    pub(crate) user_count: i32,
    pub(crate) instance_url: String,
    pub(crate) reported_at: DateTime<Utc>,
    /// What was said of it; none while it is held.
    pub(crate) decision: Option<Decision>,
}

#[derive(Debug, FromQueryResult)]
struct CandidateRow {
    id: Uuid,
    user_count: i32,
    instance_url: String,
    reported_at: DateTime<Utc>,
    decision: Option<String>,
}

impl CandidateRow {
    fn into_domain(self) -> Result<Candidate, DbErr> {
        let Self {
            id,
            user_count,
            instance_url,
            reported_at,
            decision,
        } = self;
        let decision = decision
            .map(|word| Decision::parse(&word).ok_or_else(|| unknown_word("decision", &word)))
            .transpose()?;
        Ok(Candidate {
            id,
            user_count,
            instance_url,
            reported_at,
            decision,
        })
    }
}

/// Of these reports those of the organization that are or were held, the earliest first; under the
/// organization's lock.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    reports: Vec<Uuid>,
) -> Result<Vec<Candidate>, DbErr> {
    const FIND: &str = "
        SELECT u.id, u.user_count, u.instance_url, u.reported_at, d.decision
        FROM usage_reports u LEFT JOIN hold_decisions d ON d.report_id = u.id
        WHERE u.id = ANY($2) AND u.organization_id = $1
            AND (u.delivery_state = 'held' OR d.decision IS NOT NULL)
        ORDER BY u.reported_at, u.id";
    let statement = sql(FIND, [organization_id.into(), reports.into()]);
    let rows = CandidateRow::find_by_statement(statement).all(db).await?;
    rows.into_iter().map(CandidateRow::into_domain).collect()
}

/// The organization's earliest held reports, under its lock.
pub(crate) async fn find_held(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    limit: i64,
) -> Result<Vec<Candidate>, DbErr> {
    const FIND_HELD: &str = "
        SELECT id, user_count, instance_url, reported_at, NULL AS decision FROM usage_reports
        WHERE organization_id = $1 AND delivery_state = 'held' ORDER BY reported_at, id LIMIT $2";
    let statement = sql(FIND_HELD, [organization_id.into(), limit.into()]);
    let rows = CandidateRow::find_by_statement(statement).all(db).await?;
    rows.into_iter().map(CandidateRow::into_domain).collect()
}

/// The organization's earliest held reports of a group, under its lock.
pub(crate) async fn find_of_group(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    group: &GroupSelection,
    limit: i64,
) -> Result<Vec<Candidate>, DbErr> {
    const FIND_OF_GROUP: &str = "
        SELECT id, user_count, instance_url, reported_at, NULL AS decision FROM usage_reports
        WHERE organization_id = $1 AND delivery_state = 'held' AND hold_reason = $2
            AND ($3::text IS NULL OR coalesce(hold_cause, '') = $3) AND received_at <= $4
        ORDER BY reported_at, id LIMIT $5";
    let values = [
        organization_id.into(),
        group.reason.as_str().into(),
        group.cause.clone().into(),
        group.received_until.into(),
        limit.into(),
    ];
    let rows = CandidateRow::find_by_statement(sql(FIND_OF_GROUP, values))
        .all(db)
        .await?;
    rows.into_iter().map(CandidateRow::into_domain).collect()
}

/// A report with the state that a decision brings it to.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) report_id: Uuid,
    pub(crate) state: DeliveryState,
    /// For one that is queued.
    pub(crate) first_attempt_at: DateTime<Utc>,
    /// For one that is discarded: the code and the sentence.
    pub(crate) error: Option<(&'static str, String)>,
}

/// Brings held reports to these states, under the organization's lock.
pub(crate) async fn settle(
    db: &impl ConnectionTrait,
    decided: &[Decided],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const SETTLE: &str = "
        UPDATE usage_reports u SET delivery_state = s.state,
            next_attempt_at = CASE WHEN s.state = 'queued' THEN s.first_attempt_at END,
            settled_at = CASE WHEN s.state NOT IN ('queued', 'waiting') THEN $6::timestamptz END,
            error_code = nullif(s.error_code, ''), error_message = nullif(s.error_message, '')
        FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
            AS s (id, state, first_attempt_at, error_code, error_message)
        WHERE u.id = s.id AND u.delivery_state = 'held'";
    fn column<T>(decided: &[Decided], of: impl Fn(&Decided) -> T) -> Vec<T> {
        decided.iter().map(of).collect()
    }
    let error = |it: &Decided| it.error.clone().unwrap_or_default();
    let values = [
        column(decided, |it| it.report_id).into(),
        column(decided, |it| it.state.as_str().to_owned()).into(),
        column(decided, |it| it.first_attempt_at).into(),
        column(decided, |it| error(it).0.to_owned()).into(),
        column(decided, |it| error(it).1).into(),
        now.into(),
    ];
    db.execute_raw(sql(SETTLE, values)).await.map(drop)
}

/// Who decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decider {
    pub(crate) author: Author,
    /// None for the configuration.
    pub(crate) admin_email: Option<String>,
}

/// Writes down who decided what of these reports; each with an id of its own.
pub(crate) async fn record(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    reports: &[(Uuid, Uuid)],
    decision: Decision,
    decider: &Decider,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const RECORD: &str = "
        INSERT INTO hold_decisions (id, report_id, organization_id, decision, admin_user_id,
            admin_email, request_id, decided_at)
        SELECT id, report_id, $3, $4, $5, $6, $7, $8
        FROM unnest($1::uuid[], $2::uuid[]) AS t (id, report_id)";
    let (ids, reports): (Vec<_>, Vec<_>) = reports.iter().copied().unzip();
    let values = [
        ids.into(),
        reports.into(),
        organization_id.into(),
        decision.as_str().into(),
        decider.author.admin_user_id.clone().into(),
        decider.admin_email.clone().into(),
        decider.author.request_id.clone().into(),
        now.into(),
    ];
    db.execute_raw(sql(RECORD, values)).await.map(drop)
}
