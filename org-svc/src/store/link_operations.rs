//! The table `link_operations`: everything that was asked for of an organization's link, and the leases
//! of what runs.

use std::time::Duration;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Value, sea_query::extension::postgres::PgFunc,
};
use uuid::Uuid;

use super::{statement, unknown_word};
use crate::domain::{
    account::UserId,
    change::{Cancel, CancelMode, Subject, SubscriptionTerms, Update},
    email::EmailAddress,
    link::{
        LinkOperation, LinkOperationId, LinkTerms, OperationState, Refusal, Setback, TrialDays,
        Work,
    },
    organization::{
        DeploymentType, Organization, OrganizationId, OrganizationName, PlanType, StripeCustomerId,
        StripeSubscriptionId,
    },
    unlink::UnlinkReason,
};

/// The kinds of operations. An unlinking ends in the transaction that stores it, so it never runs.
const LINK: &str = "link";
const UPDATE: &str = "update";
const CANCEL: &str = "cancel";
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
        pub(super) admin_email: Option<String>,
        pub(super) deployment_type: Option<String>,
        pub(super) plan_type: Option<String>,
        pub(super) trial_days: Option<i32>,
        pub(super) adopt_customer_id: Option<String>,
        pub(super) stripe_customer_id: Option<String>,
        pub(super) stripe_subscription_id: Option<String>,
        pub(super) cancel_mode: Option<String>,
        pub(super) drained_at: Option<DateTimeUtc>,
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
        let work = work(&row)?;
        let entity::Model {
            id,
            organization_id,
            organization_name,
            kind: _,
            state,
            admin_email: _,
            deployment_type: _,
            plan_type: _,
            trial_days: _,
            adopt_customer_id: _,
            stripe_customer_id: _,
            stripe_subscription_id: _,
            cancel_mode: _,
            drained_at: _,
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
            work,
            admin_user_id: UserId(admin_user_id),
            attempt_count: u32::try_from(attempt_count).map_err(Fault::internal)?,
            created_at,
        })
    }
}

/// What an operation does: the columns of its kind.
fn work(row: &entity::Model) -> Result<Work, Fault> {
    match row.kind.as_str() {
        LINK => {
            let SubscriptionTerms {
                admin_email,
                deployment_type,
                plan_type,
            } = terms(row)?;
            let trial_days = row.trial_days.ok_or_else(|| lacking("trial_days"))?;
            Ok(Work::Link(LinkTerms {
                admin_email,
                deployment_type,
                plan_type,
                trial_days: TrialDays::parse(trial_days).map_err(Fault::internal)?,
                adopt_customer_id: row.adopt_customer_id.clone().map(StripeCustomerId),
            }))
        }
        UPDATE => Ok(Work::Update(Update {
            subject: subject(row)?,
            terms: terms(row)?,
        })),
        CANCEL => {
            let mode = filled(row.cancel_mode.as_deref(), "cancel_mode")?;
            Ok(Work::Cancel(Cancel {
                subject: subject(row)?,
                mode: CancelMode::from_word(mode)
                    .ok_or_else(|| unknown_word("cancel_mode", mode))?,
                is_drained: row.drained_at.is_some(),
            }))
        }
        other => Err(unknown_word("kind", other)),
    }
}

fn subject(row: &entity::Model) -> Result<Subject, Fault> {
    let customer = filled(row.stripe_customer_id.as_deref(), "stripe_customer_id")?;
    let subscription = filled(
        row.stripe_subscription_id.as_deref(),
        "stripe_subscription_id",
    )?;
    Ok(Subject {
        stripe_customer_id: StripeCustomerId(customer.to_owned()),
        stripe_subscription_id: StripeSubscriptionId(subscription.to_owned()),
    })
}

fn terms(row: &entity::Model) -> Result<SubscriptionTerms, Fault> {
    let admin_email = filled(row.admin_email.as_deref(), "admin_email")?;
    let deployment_type = filled(row.deployment_type.as_deref(), "deployment_type")?;
    let plan_type = filled(row.plan_type.as_deref(), "plan_type")?;
    Ok(SubscriptionTerms {
        admin_email: EmailAddress::stored(admin_email.to_owned()),
        deployment_type: DeploymentType::from_word(deployment_type)
            .ok_or_else(|| unknown_word("deployment_type", deployment_type))?,
        plan_type: PlanType::from_word(plan_type)
            .ok_or_else(|| unknown_word("plan_type", plan_type))?,
    })
}

fn filled<'a>(column: Option<&'a str>, name: &str) -> Result<&'a str, Fault> {
    column.ok_or_else(|| lacking(name))
}

/// A column that every operation of its kind has, which the schema's checks say too.
fn lacking(column: &str) -> Fault {
    Fault::internal(format!("an operation has no {column}"))
}

/// Whose turn it is to carry an operation on: one who holds it may settle, until it is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) token: Uuid,
    pub(crate) until: DateTime<Utc>,
}

const INSERT: &str = r"
    INSERT INTO link_operations (id, organization_id, organization_name, kind, state, admin_email,
        deployment_type, plan_type, trial_days, adopt_customer_id, stripe_customer_id,
        stripe_subscription_id, cancel_mode, error_code, error_message, admin_user_id, attempt_count,
        created_at, next_attempt_at, lease_token, lease_until)
    VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
        $18, $19, $20)";

/// When an operation that has just begun is first carried on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begin {
    /// At once, by whoever holds this lease.
    Now(Lease),
    /// Not before this moment, unless something happens that it waits for.
    At(DateTime<Utc>),
}

/// Stores an operation that has just begun.
pub(crate) async fn insert(
    db: &impl ConnectionTrait,
    operation: &LinkOperation,
    begin: Begin,
) -> Result<(), Fault> {
    let LinkOperation {
        id,
        organization_id,
        organization_name,
        state,
        work,
        admin_user_id,
        attempt_count,
        created_at,
    } = operation;
    let setback = match state {
        OperationState::Running(setback) => setback.clone(),
        OperationState::Succeeded | OperationState::Refused(_) => {
            return Err(Fault::internal("an operation that has ended cannot begin"));
        }
    };
    let (code, message) = setback
        .map(|Setback { code, message }| (code, message))
        .unzip();
    let (next_attempt_at, lease) = match begin {
        Begin::Now(lease) => (*created_at, Some(lease)),
        Begin::At(time) => (time, None),
    };
    let mut values = vec![
        id.0.into(),
        organization_id.0.into(),
        organization_name.as_str().into(),
    ];
    values.extend(work_columns(work));
    values.extend([
        code.into(),
        message.into(),
        admin_user_id.0.as_str().into(),
        i32::try_from(*attempt_count)
            .map_err(Fault::internal)?
            .into(),
        (*created_at).into(),
        next_attempt_at.into(),
        lease.map(|lease| lease.token).into(),
        lease.map(|lease| lease.until).into(),
    ]);
    db.execute_raw(statement(INSERT, values))
        .await
        .map_err(db_fault)?;
    Ok(())
}

/// The kind of an operation and the columns that kinds have, in the order of the statement.
fn work_columns(work: &Work) -> [Value; 9] {
    let (kind, terms, begin, subject, mode) = match work {
        Work::Link(link) => {
            let LinkTerms {
                admin_email,
                deployment_type,
                plan_type,
                trial_days,
                adopt_customer_id,
            } = link;
            let terms = (admin_email, *deployment_type, *plan_type);
            let begin = (trial_days.as_i32(), adopt_customer_id.as_ref());
            (LINK, Some(terms), Some(begin), None, None)
        }
        Work::Update(Update { subject, terms }) => {
            let SubscriptionTerms {
                admin_email,
                deployment_type,
                plan_type,
            } = terms;
            let terms = (admin_email, *deployment_type, *plan_type);
            (UPDATE, Some(terms), None, Some(subject), None)
        }
        Work::Cancel(Cancel {
            subject,
            mode,
            is_drained: _,
        }) => (CANCEL, None, None, Some(subject), Some(mode.as_str())),
    };
    [
        kind.into(),
        terms.map(|(email, _, _)| email.as_str()).into(),
        terms.map(|(_, deployment, _)| deployment.as_str()).into(),
        terms.map(|(_, _, plan)| plan.as_str()).into(),
        begin.map(|(trial_days, _)| trial_days).into(),
        begin
            .and_then(|(_, adopted)| adopted)
            .map(|id| id.0.as_str())
            .into(),
        subject.map(|it| it.stripe_customer_id.0.as_str()).into(),
        subject
            .map(|it| it.stripe_subscription_id.0.as_str())
            .into(),
        mode.into(),
    ]
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
    use entity::Column;
    latest(db, organization_id, Column::State.eq(RUNNING).into()).await
}

/// The operation that linked an organization.
pub(crate) async fn latest_link_of(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
) -> Result<Option<LinkOperation>, Fault> {
    use entity::Column;
    let linked = Condition::all()
        .add(Column::State.eq(SUCCEEDED))
        .add(Column::Kind.eq(LINK));
    latest(db, organization_id, linked).await
}

/// The latest operation of an organization that was done.
pub(crate) async fn latest_succeeded_of(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
) -> Result<Option<LinkOperation>, Fault> {
    use entity::Column;
    latest(db, organization_id, Column::State.eq(SUCCEEDED).into()).await
}

async fn latest(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
    condition: Condition,
) -> Result<Option<LinkOperation>, Fault> {
    use entity::Column;
    entity::Entity::find()
        .filter(Column::OrganizationId.eq(organization_id.0))
        .filter(Column::Kind.ne(UNLINK))
        .filter(condition)
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .limit(1)
        .one(db)
        .await
        .map_err(db_fault)?
        .map(LinkOperation::try_from)
        .transpose()
}

/// The latest operation of each of these organizations that ever had one.
pub(crate) async fn latest_of_many(
    db: &impl ConnectionTrait,
    ids: &[OrganizationId],
) -> Result<Vec<LinkOperation>, Fault> {
    use entity::Column;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    entity::Entity::find()
        .filter(Column::OrganizationId.into_expr().eq(PgFunc::any(ids)))
        .filter(Column::Kind.ne(UNLINK))
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
        WHERE state = 'running' AND next_attempt_at <= $1
          AND (lease_until IS NULL OR lease_until <= $1)
        ORDER BY next_attempt_at
        LIMIT $4
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE op.id = due.id
    RETURNING op.id, op.organization_id, op.organization_name, op.kind, op.state, op.admin_email,
              op.deployment_type, op.plan_type, op.trial_days, op.adopt_customer_id,
              op.stripe_customer_id, op.stripe_subscription_id, op.cancel_mode, op.drained_at, op.admin_user_id,
              op.attempt_count, op.error_code, op.error_message, op.error_param,
              op.stripe_request_id, op.created_at";

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

const END_DRAIN: &str = r"
    UPDATE link_operations
    SET drained_at = $2, next_attempt_at = $2, error_code = NULL, error_message = NULL
    WHERE organization_id = $1 AND state = 'running' AND kind = 'cancel' AND cancel_mode = 'now'
      AND drained_at IS NULL";

/// Lets Stripe be asked to end a subscription that drained until now; says whether it did. The
/// organization's row is locked already.
pub(crate) async fn end_drain(
    db: &impl ConnectionTrait,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<bool, Fault> {
    settled(db, END_DRAIN, [organization_id.0.into(), now.into()]).await
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
