//! Held reports of many organizations with one cause, and `hold_group_decisions`: what was said of them,
//! carried out organization by organization.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::{audit_events::Author, holds::Decider, sql, unknown_word};
use crate::domain::hold::{Decision, HoldReason};

/// Held reports of one reason and cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldGroup {
    pub(crate) reason: HoldReason,
    /// The change that they show; empty for one that an older release held.
    pub(crate) cause: String,
    pub(crate) report_count: i64,
    pub(crate) organization_count: i64,
    /// When the last of them came.
    pub(crate) last_received_at: DateTime<Utc>,
    /// One of the organizations.
    pub(crate) example_organization_id: Uuid,
}

#[derive(Debug, FromQueryResult)]
struct GroupRow {
    hold_reason: String,
    cause: String,
    report_count: i64,
    organization_count: i64,
    last_received_at: DateTime<Utc>,
    example_organization_id: Uuid,
}

/// The groups, those of the most organizations first.
pub(crate) async fn list(db: &impl ConnectionTrait, limit: i64) -> Result<Vec<HeldGroup>, DbErr> {
    const LIST: &str = "
        SELECT hold_reason, coalesce(hold_cause, '') AS cause, count(*) AS report_count,
            count(DISTINCT organization_id) AS organization_count, max(received_at) AS last_received_at,
            (array_agg(organization_id ORDER BY received_at DESC, id))[1] AS example_organization_id
        FROM usage_reports WHERE delivery_state = 'held'
        GROUP BY hold_reason, coalesce(hold_cause, '')
        ORDER BY organization_count DESC, hold_reason, cause LIMIT $1";
    let rows = GroupRow::find_by_statement(sql(LIST, [limit.into()]))
        .all(db)
        .await?;
    let groups = rows.into_iter().map(|row| {
        let GroupRow {
            hold_reason,
            cause,
            report_count,
            organization_count,
            last_received_at,
            example_organization_id,
        } = row;
        Ok(HeldGroup {
            reason: HoldReason::parse(&hold_reason)
                .ok_or_else(|| unknown_word("hold_reason", &hold_reason))?,
            cause,
            report_count,
            organization_count,
            last_received_at,
            example_organization_id,
        })
    });
    groups.collect()
}

/// The held reports that a decision is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupSelection {
    pub(crate) reason: HoldReason,
    /// None for every cause.
    pub(crate) cause: Option<String>,
    /// Those that came later are not decided.
    pub(crate) received_until: DateTime<Utc>,
}

/// A decision that is being carried out.
#[derive(Debug)]
pub(crate) struct OpenDecision {
    pub(crate) id: Uuid,
    pub(crate) selection: GroupSelection,
    pub(crate) decision: Decision,
    pub(crate) decider: Decider,
    pub(crate) after: Option<Uuid>,
    pub(crate) report_count: i64,
}

/// Stores a decision.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    id: Uuid,
    selection: &GroupSelection,
    decision: Decision,
    decider: &Decider,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const INSERT: &str = "
        INSERT INTO hold_group_decisions (id, decided_at, hold_reason, hold_cause, received_until, decision,
            admin_user_id, admin_email, api_key_id, client_address, request_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let Decider {
        author,
        admin_email,
    } = decider.clone();
    let values = [
        id.into(),
        now.into(),
        selection.reason.as_str().into(),
        selection.cause.clone().into(),
        selection.received_until.into(),
        decision.as_str().into(),
        author.admin_user_id.into(),
        admin_email.into(),
        author.api_key_id.into(),
        author.client_address.into(),
        author.request_id.into(),
    ];
    db.execute_raw(sql(INSERT, values)).await.map(drop)
}

/// Whether reports are held for this reason, and nothing is under way that releases them because the rule
/// was switched off.
pub(crate) async fn is_left_by_rule(
    db: &impl ConnectionTrait,
    reason: HoldReason,
) -> Result<bool, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        is_left: bool,
    }
    const IS_LEFT: &str = "
        SELECT EXISTS (SELECT 1 FROM usage_reports WHERE delivery_state = 'held' AND hold_reason = $1)
            AND NOT EXISTS (SELECT 1 FROM hold_group_decisions
                WHERE finished_at IS NULL AND hold_reason = $1 AND admin_user_id IS NULL) AS is_left";
    let row = Row::find_by_statement(sql(IS_LEFT, [reason.as_str().into()]))
        .one(db)
        .await?;
    Ok(row.is_some_and(|row| row.is_left))
}

#[derive(Debug, FromQueryResult)]
struct OpenRow {
    id: Uuid,
    hold_reason: String,
    hold_cause: Option<String>,
    received_until: DateTime<Utc>,
    decision: String,
    admin_user_id: Option<String>,
    admin_email: Option<String>,
    api_key_id: Option<Uuid>,
    client_address: Option<String>,
    request_id: String,
    after_id: Option<Uuid>,
    report_count: i64,
}

/// The oldest decision that is being carried out; or this one, if it is.
pub(crate) async fn find_open(
    db: &impl ConnectionTrait,
    id: Option<Uuid>,
) -> Result<Option<OpenDecision>, DbErr> {
    const FIND_OPEN: &str = "
        SELECT id, hold_reason, hold_cause, received_until, decision, admin_user_id, admin_email, api_key_id,
            client_address, request_id, after_id, report_count
        FROM hold_group_decisions WHERE finished_at IS NULL AND ($1::uuid IS NULL OR id = $1)
        ORDER BY decided_at LIMIT 1";
    let row = OpenRow::find_by_statement(sql(FIND_OPEN, [id.into()]))
        .one(db)
        .await?;
    row.map(|row| {
        let OpenRow {
            id,
            hold_reason,
            hold_cause,
            received_until,
            decision,
            admin_user_id,
            admin_email,
            api_key_id,
            client_address,
            request_id,
            after_id,
            report_count,
        } = row;
        Ok(OpenDecision {
            id,
            selection: GroupSelection {
                reason: HoldReason::parse(&hold_reason)
                    .ok_or_else(|| unknown_word("hold_reason", &hold_reason))?,
                cause: hold_cause,
                received_until,
            },
            decision: Decision::parse(&decision)
                .ok_or_else(|| unknown_word("decision", &decision))?,
            decider: Decider {
                author: Author {
                    admin_user_id,
                    api_key_id,
                    client_address,
                    request_id,
                },
                admin_email,
            },
            after: after_id,
            report_count,
        })
    })
    .transpose()
}

#[derive(Debug, FromQueryResult)]
struct IdRow {
    organization_id: Uuid,
}

/// The next organizations that have reports of a group.
pub(crate) async fn organizations(
    db: &impl ConnectionTrait,
    selection: &GroupSelection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>, DbErr> {
    const ORGANIZATIONS: &str = "
        SELECT DISTINCT organization_id FROM usage_reports
        WHERE delivery_state = 'held' AND hold_reason = $1
            AND ($2::text IS NULL OR coalesce(hold_cause, '') = $2) AND received_at <= $3
            AND ($4::uuid IS NULL OR organization_id > $4)
        ORDER BY organization_id LIMIT $5";
    let values = [
        selection.reason.as_str().into(),
        selection.cause.clone().into(),
        selection.received_until.into(),
        after.into(),
        limit.into(),
    ];
    let rows = IdRow::find_by_statement(sql(ORGANIZATIONS, values))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.organization_id).collect())
}

/// Notes that a decision was carried out up to this organization.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    id: Uuid,
    after: Uuid,
    report_count: i64,
) -> Result<(), DbErr> {
    const ADVANCE: &str = "
        UPDATE hold_group_decisions SET after_id = greatest(after_id, $2), report_count = report_count + $3
        WHERE id = $1";
    db.execute_raw(sql(ADVANCE, [id.into(), after.into(), report_count.into()]))
        .await
        .map(drop)
}

/// Notes that nothing of a decision is left to do.
pub(crate) async fn finish(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const FINISH: &str = "
        UPDATE hold_group_decisions SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL";
    db.execute_raw(sql(FINISH, [id.into(), now.into()]))
        .await
        .map(drop)
}
