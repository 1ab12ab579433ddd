//! Held reports in `usage_reports`, and `hold_decisions`: who said what of them.

use std::net::IpAddr;

use billing_kit_db::{
    StoreError,
    query::{column, composed},
};
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, EntityTrait, FromQueryResult, PaginatorTrait, QueryOrder, QuerySelect, Select,
    prelude::IpNetwork, raw_sql, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    audit_events::Author,
    entities::reports::{Column, Entity, Scope as _},
    hold_groups::GroupSelection,
};
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
    fn into_domain(self) -> Result<HeldReport, StoreError> {
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
                .ok_or_else(|| StoreError::unknown("hold_reason", &hold_reason))?,
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
) -> Result<Vec<HeldReport>, StoreError> {
    const LIST: &str = concat!(
        "SELECT u.id, u.organization_id, u.user_count, u.instance_url, u.reported_at, u.received_at,
            u.hold_reason, coalesce(u.error_message, '') AS error_message,
            coalesce((u.compared_with ->> 'baseline_user_count')::integer, r.baseline_user_count)
                AS baseline_user_count,
            coalesce(u.compared_with ->> 'baseline_instance_url', r.baseline_instance_url)
                AS baseline_instance_url,
            (u.compared_with ->> 'limit_user_count')::integer AS limit_user_count
        FROM usage_reports u JOIN organization_reporting r USING (organization_id)
        WHERE u.delivery_state = 'held' AND ({organization_id}::uuid IS NULL OR u.organization_id = {organization_id})
            AND ({after_organization}::uuid IS NULL OR (u.organization_id, u.reported_at, u.id) > ({after_organization}, {after_time}, {after_id}))
            AND ({period_ends_before}::timestamptz IS NULL OR ",
        ends_before!("{period_ends_before}"),
        ") ORDER BY u.organization_id, u.reported_at, u.id LIMIT {limit}"
    );
    let (after_organization, after_time, after_id) = match after {
        Some((organization, time, id)) => (Some(organization), Some(time), Some(id)),
        None => (None, None, None),
    };
    let values = [
        ("organization_id", filter.organization_id.into()),
        ("after_organization", after_organization.into()),
        ("after_time", after_time.into()),
        ("after_id", after_id.into()),
        ("limit", limit.into()),
        ("period_ends_before", filter.period_ends_before.into()),
    ];
    let rows = HeldRow::find_by_statement(composed(LIST, values))
        .all(db)
        .await?;
    rows.into_iter().map(HeldRow::into_domain).collect()
}

/// How many of an organization's reports are held.
pub(crate) async fn count(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
) -> Result<i64, StoreError> {
    let held = Entity::find()
        .of_organization(organization_id)
        .in_state(DeliveryState::Held)
        .count(db)
        .await?;
    Ok(i64::try_from(held).unwrap_or(i64::MAX))
}

/// A report that is or was held.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) id: Uuid,
    pub(crate) user_count: i32,
    pub(crate) instance_url: String,
    pub(crate) reported_at: DateTime<Utc>,
    pub(crate) received_at: Option<DateTime<Utc>>,
    /// Where it came from, as long as that is kept.
    pub(crate) source: Option<IpAddr>,
    /// What was said of it; none while it is held.
    pub(crate) decision: Option<Decision>,
}

#[derive(Debug, FromQueryResult)]
struct CandidateRow {
    id: Uuid,
    user_count: i32,
    instance_url: String,
    reported_at: DateTime<Utc>,
    received_at: Option<DateTime<Utc>>,
    source_address: Option<IpNetwork>,
    decision: Option<String>,
}

impl CandidateRow {
    fn into_domain(self) -> Result<Candidate, StoreError> {
        let Self {
            id,
            user_count,
            instance_url,
            reported_at,
            received_at,
            source_address,
            decision,
        } = self;
        let decision = decision
            .map(|word| {
                Decision::parse(&word).ok_or_else(|| StoreError::unknown("decision", &word))
            })
            .transpose()?;
        Ok(Candidate {
            id,
            user_count,
            instance_url,
            reported_at,
            received_at,
            source: source_address.map(|network| network.ip()),
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
) -> Result<Vec<Candidate>, StoreError> {
    let find = raw_sql!(
        Postgres,
        "SELECT u.id, u.user_count, u.instance_url, u.reported_at, u.received_at, u.source_address, d.decision
        FROM usage_reports u LEFT JOIN hold_decisions d ON d.report_id = u.id
        WHERE u.id = ANY({reports}) AND u.organization_id = {organization_id}
            AND (u.delivery_state = 'held' OR d.decision IS NOT NULL)
        ORDER BY u.reported_at, u.id"
    );
    let rows = CandidateRow::find_by_statement(find).all(db).await?;
    rows.into_iter().map(CandidateRow::into_domain).collect()
}

/// The organization's earliest held reports, under its lock.
pub(crate) async fn find_held(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    limit: u64,
) -> Result<Vec<Candidate>, StoreError> {
    let held = Entity::find()
        .of_organization(organization_id)
        .in_state(DeliveryState::Held);
    candidates(held, limit, db).await
}

/// The earliest of the reports that a query finds, of which nothing was said yet.
async fn candidates(
    query: Select<Entity>,
    limit: u64,
    db: &impl ConnectionTrait,
) -> Result<Vec<Candidate>, StoreError> {
    let rows = query
        .select_only()
        .columns([
            Column::Id,
            Column::UserCount,
            Column::InstanceUrl,
            Column::ReportedAt,
            Column::ReceivedAt,
            Column::SourceAddress,
        ])
        .expr_as(Expr::val(Option::<String>::None), "decision")
        .order_by_asc(Column::ReportedAt)
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_model::<CandidateRow>()
        .all(db)
        .await?;
    rows.into_iter().map(CandidateRow::into_domain).collect()
}

/// The organization's earliest held reports of a group, under its lock.
pub(crate) async fn find_of_group(
    db: &impl ConnectionTrait,
    organization_id: Uuid,
    group: &GroupSelection,
    limit: u64,
) -> Result<Vec<Candidate>, StoreError> {
    let cause = group.cause.as_deref();
    let held = Entity::find().of_organization(organization_id).held_for(
        group.reason,
        cause,
        group.received_until,
    );
    candidates(held, limit, db).await
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
) -> Result<(), StoreError> {
    let error = |it: &Decided| it.error.clone().unwrap_or_default();
    let ids = column(decided, |it| it.report_id);
    let states = column(decided, |it| it.state.as_str().to_owned());
    let first_attempts = column(decided, |it| it.first_attempt_at);
    let codes = column(decided, |it| error(it).0.to_owned());
    let messages = column(decided, |it| error(it).1);
    let settle = raw_sql!(
        Postgres,
        "UPDATE usage_reports u SET delivery_state = s.state,
            next_attempt_at = CASE WHEN s.state = 'queued' THEN s.first_attempt_at END,
            settled_at = CASE WHEN s.state NOT IN ('queued', 'waiting') THEN {now}::timestamptz END,
            error_code = nullif(s.error_code, ''), error_message = nullif(s.error_message, '')
        FROM unnest({ids}::uuid[], {states}::text[], {first_attempts}::timestamptz[], {codes}::text[], {messages}::text[])
            AS s (id, state, first_attempt_at, error_code, error_message)
        WHERE u.id = s.id AND u.delivery_state = 'held'"
    );
    db.execute_raw(settle).await?;
    Ok(())
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
) -> Result<(), StoreError> {
    let (ids, reports): (Vec<_>, Vec<_>) = reports.iter().copied().unzip();
    let word = decision.as_str();
    let user_id = decider.author.admin_user_id.clone();
    let email = decider.admin_email.clone();
    let request_id = decider.author.request_id.clone();
    let record = raw_sql!(
        Postgres,
        "INSERT INTO hold_decisions (id, report_id, organization_id, decision, admin_user_id,
            admin_email, request_id, decided_at)
        SELECT id, report_id, {organization_id}, {word}, {user_id}, {email}, {request_id}, {now}
        FROM unnest({ids}::uuid[], {reports}::uuid[]) AS t (id, report_id)"
    );
    db.execute_raw(record).await?;
    Ok(())
}
