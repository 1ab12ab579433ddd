//! The table `link_operations`: every link that was asked for, and the leases of those that run; and
//! every unlinking.

use std::time::Duration;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::extension::postgres::PgFunc,
};
use uuid::Uuid;

use super::{statement, unknown_word};
use crate::domain::{
    account::UserId,
    email::EmailAddress,
    link::{
        LinkOperation, LinkOperationId, LinkTerms, OperationState, Refusal, Setback, TrialDays,
    },
    organization::{DeploymentType, Organization, OrganizationId, OrganizationName, PlanType},
    unlink::UnlinkReason,
};

/// The kinds of operations that this release stores.
const LINK: &str = "link";
const UNLINK: &str = "unlink";

const RUNNING: &str = "running";
const SUCCEEDED: &str = "succeeded";
const REFUSED: &str = "refused";

pub(super) mod entity {
    use sea_orm::entity::prelude::*;

    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "link_operations")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(super) id: Uuid,
        pub(super) organization_id: Uuid,
        pub(super) organization_name: String,
        pub(super) kind: String,
        pub(super) state: String,
        pub(super) admin_email: String,
        pub(super) deployment_type: String,
        pub(super) plan_type: String,
        pub(super) trial_days: i32,
        pub(super) admin_user_id: String,
        pub(super) attempt_count: i32,
        pub(super) error_code: Option<String>,
        pub(super) error_message: Option<String>,
        pub(super) error_param: Option<String>,
        pub(super) stripe_request_id: Option<String>,
        pub(super) created_at: DateTimeUtc,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TryFrom<entity::Model> for LinkOperation {
    type Error = Fault;

    fn try_from(row: entity::Model) -> Result<Self, Fault> {
        let entity::Model {
            id,
            organization_id,
            organization_name,
            kind: _,
            state,
            admin_email,
            deployment_type,
            plan_type,
            trial_days,
            admin_user_id,
            attempt_count,
            error_code,
            error_message,
            error_param,
            stripe_request_id,
            created_at,
        } = row;
        let message = error_message.unwrap_or_default();
        let state = match (state.as_str(), error_code) {
            (RUNNING, code) => OperationState::Running(code.map(|code| Setback { code, message })),
            (SUCCEEDED, _) => OperationState::Succeeded,
            (REFUSED, Some(code)) => OperationState::Refused(Refusal {
                code,
                message,
                param: error_param,
                stripe_request_id,
            }),
            _ => return Err(unknown_word("state", &state)),
        };
        Ok(Self {
            id: LinkOperationId(id),
            organization_id: OrganizationId(organization_id),
            organization_name: OrganizationName::stored(organization_name),
            state,
            terms: LinkTerms {
                admin_email: EmailAddress::stored(admin_email),
                deployment_type: DeploymentType::from_word(&deployment_type)
                    .ok_or_else(|| unknown_word("deployment_type", &deployment_type))?,
                plan_type: PlanType::from_word(&plan_type)
                    .ok_or_else(|| unknown_word("plan_type", &plan_type))?,
                trial_days: TrialDays::parse(trial_days).map_err(Fault::internal)?,
            },
            admin_user_id: UserId(admin_user_id),
            attempt_count: u32::try_from(attempt_count).map_err(Fault::internal)?,
            created_at,
        })
    }
}

/// Whose turn it is to carry an operation on: one who holds it may settle, until it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) token: Uuid,
    pub(crate) until: DateTime<Utc>,
}

const INSERT: &str = r"
    INSERT INTO link_operations (id, organization_id, organization_name, state, admin_email,
        deployment_type, plan_type, trial_days, admin_user_id, attempt_count, next_attempt_at,
        lease_token, lease_until, created_at)
    VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, $8, $9, $10, $11, $12, $10)";

/// Stores an operation that has just begun, with the lease of whoever runs it first.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    operation: &LinkOperation,
    lease: Lease,
) -> Result<(), Fault> {
    let LinkOperation {
        id,
        organization_id,
        organization_name,
        state: _,
        terms,
        admin_user_id,
        attempt_count,
        created_at,
    } = operation;
    let values = [
        id.0.into(),
        organization_id.0.into(),
        organization_name.as_str().into(),
        terms.admin_email.as_str().into(),
        terms.deployment_type.as_str().into(),
        terms.plan_type.as_str().into(),
        terms.trial_days.as_i32().into(),
        admin_user_id.0.as_str().into(),
        i32::try_from(*attempt_count)
            .map_err(Fault::internal)?
            .into(),
        (*created_at).into(),
        lease.token.into(),
        lease.until.into(),
    ];
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// One operation.
pub(crate) async fn get(
    db: &impl ConnectionTrait,
    id: LinkOperationId,
) -> Result<Option<LinkOperation>, Fault> {
    entity::Entity::find_by_id(id.0)
        .one(db)
        .await
        .map_err(db_fault)?
        .map(LinkOperation::try_from)
        .transpose()
}

/// An organization's running operation: there is at most one.
pub(crate) async fn running_of(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
) -> Result<Option<LinkOperation>, Fault> {
    latest_in_state(db, organization_id, RUNNING).await
}

/// The operation that linked an organization.
pub(crate) async fn latest_succeeded_of(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
) -> Result<Option<LinkOperation>, Fault> {
    latest_in_state(db, organization_id, SUCCEEDED).await
}

async fn latest_in_state(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
    state: &str,
) -> Result<Option<LinkOperation>, Fault> {
    use entity::Column;
    entity::Entity::find()
        .filter(Column::OrganizationId.eq(organization_id.0))
        .filter(Column::Kind.eq(LINK))
        .filter(Column::State.eq(state))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .limit(1)
        .one(db)
        .await
        .map_err(db_fault)?
        .map(LinkOperation::try_from)
        .transpose()
}

/// The latest link of each of these organizations that ever had one.
pub(crate) async fn latest_of_many(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
) -> Result<Vec<LinkOperation>, Fault> {
    use entity::Column;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    entity::Entity::find()
        .filter(Column::OrganizationId.into_expr().eq(PgFunc::any(ids)))
        .filter(Column::Kind.eq(LINK))
        .distinct_on([Column::OrganizationId])
        .order_by_asc(Column::OrganizationId)
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .all(db)
        .await
        .map_err(db_fault)?
        .into_iter()
        .map(LinkOperation::try_from)
        .collect()
}

/// Those that are due and that nobody holds. `SKIP LOCKED`: two workers never wait for each other,
/// and never get the same one.
const CLAIM_DUE: &str = r"
    UPDATE link_operations AS op
    SET lease_token = $2, lease_until = $3, attempt_count = op.attempt_count + 1
    FROM (
        SELECT id FROM link_operations
        WHERE kind = 'link' AND state = 'running' AND next_attempt_at <= $1
          AND (lease_until IS NULL OR lease_until <= $1)
        ORDER BY next_attempt_at
        LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE op.id = due.id
    RETURNING op.id, op.organization_id, op.organization_name, op.kind, op.state, op.admin_email,
              op.deployment_type, op.plan_type, op.trial_days, op.admin_user_id, op.attempt_count,
              op.error_code, op.error_message, op.error_param, op.stripe_request_id, op.created_at";

/// Takes up to `limit` due operations under one lease.
pub(crate) async fn claim_due(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
    lease: Lease,
    limit: usize,
) -> Result<Vec<LinkOperation>, Fault> {
    let values = [
        now.into(),
        lease.token.into(),
        lease.until.into(),
        i64::try_from(limit).map_err(Fault::internal)?.into(),
    ];
    entity::Entity::find()
        .from_raw_sql(statement(CLAIM_DUE, values))
        .all(db)
        .await
        .map_err(db_fault)?
        .into_iter()
        .map(LinkOperation::try_from)
        .collect()
}

const INSERT_UNLINKING: &str = r"
    INSERT INTO link_operations (id, organization_id, organization_name, kind, state,
        stripe_customer_id, stripe_subscription_id, reason, admin_user_id, attempt_count,
        next_attempt_at, created_at, ended_at)
    VALUES ($1, $2, $3, 'unlink', 'succeeded', $4, $5, $6, $7, 1, $8, $8, $8)";

/// Stores an unlinking: it asks nothing of Stripe, so it has ended with its own transaction.
pub(crate) async fn insert_unlinking(
    db: &impl ConnectionTrait,
    id: Uuid,
    organization: &Organization,
    reason: &UnlinkReason,
    admin_user_id: &UserId,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let customer = organization.stripe_customer_id.as_ref();
    let subscription = organization.stripe_subscription_id.as_ref();
    let values = [
        id.into(),
        organization.id.0.into(),
        organization.name.as_str().into(),
        customer.map(|id| id.0.clone()).into(),
        subscription.map(|id| id.0.clone()).into(),
        reason.as_str().into(),
        admin_user_id.0.as_str().into(),
        now.into(),
    ];
    db.execute_raw(statement(INSERT_UNLINKING, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// Whether an organization was linked once and then unlinked.
pub(crate) async fn was_unlinked(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
) -> Result<bool, Fault> {
    use entity::Column;
    let count = entity::Entity::find()
        .filter(Column::OrganizationId.eq(organization_id.0))
        .filter(Column::Kind.eq(UNLINK))
        .count(db)
        .await
        .map_err(db_fault)?;
    Ok(count > 0)
}

const SUCCEED: &str = r"
    UPDATE link_operations
    SET state = 'succeeded', ended_at = $3, lease_token = NULL, lease_until = NULL,
        error_code = NULL, error_message = NULL
    WHERE id = $1 AND lease_token = $2 AND state = 'running'";

/// Ends an operation well; says whether the lease was still held.
pub(crate) async fn succeed(
    db: &impl ConnectionTrait,
    id: LinkOperationId,
    lease_token: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, Fault> {
    let values = [id.0.into(), lease_token.into(), now.into()];
    settled(db, SUCCEED, values).await
}

const REFUSE: &str = r"
    UPDATE link_operations
    SET state = 'refused', ended_at = $3, lease_token = NULL, lease_until = NULL,
        error_code = $4, error_message = $5, error_param = $6, stripe_request_id = $7
    WHERE id = $1 AND lease_token = $2 AND state = 'running'";

/// Ends an operation with Stripe's no; says whether the lease was still held.
pub(crate) async fn refuse(
    db: &impl ConnectionTrait,
    id: LinkOperationId,
    lease_token: Uuid,
    refusal: &Refusal,
    now: DateTime<Utc>,
) -> Result<bool, Fault> {
    let Refusal {
        code,
        message,
        param,
        stripe_request_id,
    } = refusal.clone();
    let values = [
        id.0.into(),
        lease_token.into(),
        now.into(),
        code.into(),
        message.into(),
        param.into(),
        stripe_request_id.into(),
    ];
    settled(db, REFUSE, values).await
}

const RENEW: &str = r"
    UPDATE link_operations SET lease_until = $3
    WHERE id = $1 AND lease_token = $2 AND state = 'running'";

/// Holds an operation for longer; says whether the lease was still held.
pub(crate) async fn renew(
    db: &impl ConnectionTrait,
    id: LinkOperationId,
    lease: Lease,
) -> Result<bool, Fault> {
    settled(
        db,
        RENEW,
        [id.0.into(), lease.token.into(), lease.until.into()],
    )
    .await
}

const POSTPONE: &str = r"
    UPDATE link_operations
    SET next_attempt_at = $3, lease_token = NULL, lease_until = NULL,
        error_code = $4, error_message = $5
    WHERE id = $1 AND lease_token = $2 AND state = 'running'";

/// Lets an operation go until its next attempt; says whether the lease was still held.
pub(crate) async fn postpone(
    db: &impl ConnectionTrait,
    id: LinkOperationId,
    lease_token: Uuid,
    setback: &Setback,
    now: DateTime<Utc>,
    delay: Duration,
) -> Result<bool, Fault> {
    let Setback { code, message } = setback.clone();
    let values = [
        id.0.into(),
        lease_token.into(),
        (now + delay).into(),
        code.into(),
        message.into(),
    ];
    settled(db, POSTPONE, values).await
}

async fn settled(
    db: &impl ConnectionTrait,
    sql: &'static str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<bool, Fault> {
    let result = db
        .execute_raw(statement(sql, values))
        .await
        .map_err(db_fault)?;
    Ok(result.rows_affected() > 0)
}
