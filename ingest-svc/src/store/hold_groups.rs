//! Held reports of many organizations with one cause, and `hold_group_decisions`: what was said of them,
//! carried out organization by organization.

use billing_kit_db::{StoreError, query::greatest};
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set, raw_sql, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    audit_events::Author,
    entities::{
        hold_group_decisions::{self, ActiveModel, Entity, Model, Scope as _},
        reports::{self, Scope as _},
    },
    holds::Decider,
};
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
pub(crate) async fn list(
    db: &impl ConnectionTrait,
    limit: i64,
) -> Result<Vec<HeldGroup>, StoreError> {
    let list = raw_sql!(
        Postgres,
        "SELECT hold_reason, coalesce(hold_cause, '') AS cause, count(*) AS report_count,
            count(DISTINCT organization_id) AS organization_count, max(received_at) AS last_received_at,
            (array_agg(organization_id ORDER BY received_at DESC, id))[1] AS example_organization_id
        FROM usage_reports WHERE delivery_state = 'held'
        GROUP BY hold_reason, coalesce(hold_cause, '')
        ORDER BY organization_count DESC, hold_reason, cause LIMIT {limit}"
    );
    let rows = GroupRow::find_by_statement(list).all(db).await?;
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
                .ok_or_else(|| StoreError::unknown("hold_reason", &hold_reason))?,
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
) -> Result<(), StoreError> {
    let Decider {
        author,
        admin_email,
    } = decider.clone();
    let row = ActiveModel {
        id: Set(id),
        decided_at: Set(now),
        hold_reason: Set(selection.reason.as_str().to_owned()),
        hold_cause: Set(selection.cause.clone()),
        received_until: Set(selection.received_until),
        decision: Set(decision.as_str().to_owned()),
        admin_user_id: Set(author.admin_user_id),
        admin_email: Set(admin_email),
        api_key_id: Set(author.api_key_id),
        client_address: Set(author.client_address),
        request_id: Set(author.request_id),
        ..Default::default()
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Whether reports are held for this reason, and nothing is under way that releases them because the rule
/// was switched off.
pub(crate) async fn is_left_by_rule(
    db: &impl ConnectionTrait,
    reason: HoldReason,
) -> Result<bool, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        is_left: bool,
    }
    let reason = reason.as_str();
    let is_left = raw_sql!(
        Postgres,
        "SELECT EXISTS (SELECT 1 FROM usage_reports WHERE delivery_state = 'held' AND hold_reason = {reason})
            AND NOT EXISTS (SELECT 1 FROM hold_group_decisions
                WHERE finished_at IS NULL AND hold_reason = {reason} AND admin_user_id IS NULL) AS is_left"
    );
    let row = Row::find_by_statement(is_left).one(db).await?;
    Ok(row.is_some_and(|row| row.is_left))
}

impl TryFrom<Model> for OpenDecision {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            decided_at: _,
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
            finished_at: _,
        } = row;
        Ok(Self {
            id,
            selection: GroupSelection {
                reason: HoldReason::parse(&hold_reason)
                    .ok_or_else(|| StoreError::unknown("hold_reason", &hold_reason))?,
                cause: hold_cause,
                received_until,
            },
            decision: Decision::parse(&decision)
                .ok_or_else(|| StoreError::unknown("decision", &decision))?,
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
    }
}

/// The oldest decision that is being carried out; or this one, if it is.
pub(crate) async fn find_open(
    db: &impl ConnectionTrait,
    id: Option<Uuid>,
) -> Result<Option<OpenDecision>, StoreError> {
    let mut query = Entity::find()
        .unfinished()
        .order_by_asc(hold_group_decisions::Column::DecidedAt);
    if let Some(id) = id {
        query = query.with_id(id);
    }
    let row = query.one(db).await?;
    row.map(OpenDecision::try_from).transpose()
}

/// How many reports a decision has decided, finished or not.
pub(crate) async fn report_count(db: &impl ConnectionTrait, id: Uuid) -> Result<i64, StoreError> {
    let row = Entity::find().with_id(id).one(db).await?;
    Ok(row.map_or(0, |row| row.report_count))
}

/// The next organizations that have reports of a group.
pub(crate) async fn organizations(
    db: &impl ConnectionTrait,
    selection: &GroupSelection,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Uuid>, StoreError> {
    use reports::Column;
    let cause = selection.cause.as_deref();
    let mut query =
        reports::Entity::find().held_for(selection.reason, cause, selection.received_until);
    if let Some(after) = after {
        query = query.filter(Column::OrganizationId.gt(after));
    }
    let ids: Vec<Uuid> = query
        .select_only()
        .column(Column::OrganizationId)
        .distinct()
        .order_by_asc(Column::OrganizationId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids)
}

/// Notes that a decision was carried out up to this organization.
pub(crate) async fn advance(
    db: &impl ConnectionTrait,
    id: Uuid,
    after: Uuid,
    report_count: i64,
) -> Result<(), StoreError> {
    use hold_group_decisions::Column;
    let further = greatest([Column::AfterId.into_expr(), Expr::val(after)]);
    let count = Column::ReportCount.into_expr().add(report_count);
    Entity::update_many()
        .col_expr(Column::AfterId, further)
        .col_expr(Column::ReportCount, count)
        .with_id(id)
        .exec(db)
        .await?;
    Ok(())
}

/// Notes that nothing of a decision is left to do.
pub(crate) async fn finish(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let finished = ActiveModel {
        finished_at: Set(Some(now)),
        ..Default::default()
    };
    let update = Entity::update_many().set(finished);
    update.with_id(id).unfinished().exec(db).await?;
    Ok(())
}
