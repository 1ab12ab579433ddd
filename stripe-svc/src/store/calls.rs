//! `stripe_calls`: every call that creates or changes something in Stripe, written before it is sent.
//!
//! Two processes may work on one call at the same time. What keeps them from doubling it is not a
//! lock, which would have to be held while Stripe is asked, but that a step of an operation is one
//! row, that the row's key is what both send, and that every change of a row is made on condition of
//! what its maker last saw.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, entity::prelude::*};

use crate::{
    domain::{
        call::{Call, CallRequest, CallState, Step},
        ids::{CallId, IdempotencyKey, OperationId, OrganizationId},
        refusal::Refusal,
    },
    store::{sql, unknown_value},
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stripe_calls")]
struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    operation_id: Uuid,
    step: String,
    organization_id: Uuid,
    idempotency_key: String,
    params: Json,
    state: String,
    attempt_count: i32,
    first_sent_at: Option<DateTime<Utc>>,
    last_sent_at: Option<DateTime<Utc>>,
    response: Option<Json>,
    stripe_object_id: Option<String>,
    stripe_request_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    error_param: Option<String>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Call {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let Model {
            id,
            operation_id,
            step,
            organization_id,
            idempotency_key,
            params,
            state,
            attempt_count: _,
            first_sent_at,
            last_sent_at,
            response,
            stripe_object_id,
            stripe_request_id,
            error_code,
            error_message,
            error_param,
            created_at: _,
            settled_at: _,
        } = row;
        let state = match state.as_str() {
            "open" => CallState::Open,
            "succeeded" => CallState::Succeeded {
                object_id: stripe_object_id.unwrap_or_default(),
                response: response.unwrap_or_default(),
            },
            "refused" => CallState::Refused(Refusal {
                code: error_code.unwrap_or_default(),
                message: error_message.unwrap_or_default(),
                param: error_param,
                request_id: stripe_request_id,
            }),
            other => return Err(unknown_value("stripe_calls.state", other)),
        };
        Ok(Self {
            id: CallId(id),
            operation_id: OperationId(operation_id),
            organization_id: OrganizationId(organization_id),
            step: Step::read(&step).ok_or_else(|| unknown_value("stripe_calls.step", step))?,
            key: IdempotencyKey::new(idempotency_key),
            request: CallRequest::from_params(&params)
                .ok_or_else(|| unknown_value("stripe_calls.params", params))?,
            state,
            first_sent_at,
            last_sent_at,
        })
    }
}

/// The call of an operation's step, if it was stored.
async fn find(
    db: &impl ConnectionTrait,
    operation: OperationId,
    step: Step,
) -> Result<Option<Call>, DbErr> {
    let row = Entity::find()
        .filter(Column::OperationId.eq(operation.0))
        .filter(Column::Step.eq(step.as_str()))
        .one(db)
        .await?;
    row.map(Call::try_from).transpose()
}

/// What an operation has stored so far: a call per step at most.
pub(crate) async fn of_operation(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Vec<Call>, DbErr> {
    let rows = Entity::find()
        .filter(Column::OperationId.eq(operation.0))
        .all(db)
        .await?;
    rows.into_iter().map(Call::try_from).collect()
}

/// A call as it stands now.
pub(crate) async fn get(db: &impl ConnectionTrait, id: CallId) -> Result<Call, DbErr> {
    let row = Entity::find_by_id(id.0).one(db).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(format!("stripe_calls {id}")))?
        .try_into()
}

/// Stores a call, to be sent afterwards; or one that is refused before it is sent. Where the step has
/// a call already, that one stays. Answers which call the step has.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    call: &Call,
    now: DateTime<Utc>,
) -> Result<Call, DbErr> {
    const STORE: &str = "
        INSERT INTO stripe_calls (id, operation_id, step, organization_id, idempotency_key, params,
            state, error_code, error_message, created_at, settled_at)
        VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7::text IS NULL THEN 'open' ELSE 'refused' END,
            $7, $8, $9, CASE WHEN $7 IS NOT NULL THEN $9::timestamptz END)
        ON CONFLICT (operation_id, step) DO NOTHING";
    let refusal = match &call.state {
        CallState::Refused(refusal) => Some(refusal),
        CallState::Open | CallState::Succeeded { .. } => None,
    };
    let values = [
        call.id.0.into(),
        call.operation_id.0.into(),
        call.step.as_str().into(),
        call.organization_id.0.into(),
        call.key.as_str().into(),
        call.request.to_params().into(),
        refusal.map(|refusal| refusal.code.clone()).into(),
        refusal.map(|refusal| refusal.message.clone()).into(),
        now.into(),
    ];
    db.execute_raw(sql(STORE, values)).await?;
    let stored = find(db, call.operation_id, call.step).await?;
    stored.ok_or_else(|| DbErr::RecordNotFound(format!("stripe_calls {}", call.id)))
}

/// Takes note that the call is about to be sent, under the key that its holder knows. `false` where
/// it was settled, or given another key, meanwhile: then it must not be sent.
pub(crate) async fn mark_sent(
    db: &impl ConnectionTrait,
    call: &Call,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    const MARK_SENT: &str = "
        UPDATE stripe_calls SET attempt_count = attempt_count + 1,
            first_sent_at = coalesce(first_sent_at, $3), last_sent_at = $3
        WHERE id = $1 AND state = 'open' AND idempotency_key = $2";
    let values = [call.id.0.into(), call.key.as_str().into(), now.into()];
    Ok(db
        .execute_raw(sql(MARK_SENT, values))
        .await?
        .rows_affected()
        == 1)
}

/// Stores Stripe's success. Of a call that is settled already nothing changes: then `false`.
pub(crate) async fn succeed(
    db: &impl ConnectionTrait,
    call: &Call,
    object_id: &str,
    response: Json,
    request_id: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    const SUCCEED: &str = "
        UPDATE stripe_calls SET state = 'succeeded', stripe_object_id = $2, response = $3,
            stripe_request_id = $4, settled_at = $5,
            error_code = NULL, error_message = NULL, error_param = NULL
        WHERE id = $1 AND state = 'open'";
    let values = [
        call.id.0.into(),
        object_id.into(),
        response.into(),
        request_id.map(str::to_owned).into(),
        now.into(),
    ];
    let settled = db.execute_raw(sql(SUCCEED, values)).await?;
    Ok(settled.rows_affected() == 1)
}

/// Stores Stripe's refusal. Of a call that is settled already nothing changes.
pub(crate) async fn refuse(
    db: &impl ConnectionTrait,
    call: &Call,
    refusal: &Refusal,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    const REFUSE: &str = "
        UPDATE stripe_calls SET state = 'refused', error_code = $2, error_message = $3,
            error_param = $4, stripe_request_id = $5, settled_at = $6
        WHERE id = $1 AND state = 'open'";
    let Refusal {
        code,
        message,
        param,
        request_id,
    } = refusal.clone();
    let values = [
        call.id.0.into(),
        code.into(),
        message.into(),
        param.into(),
        request_id.into(),
        now.into(),
    ];
    db.execute_raw(sql(REFUSE, values)).await.map(drop)
}

/// Notes why the outcome of an open call is not known, and what Stripe answered, if anything.
pub(crate) async fn note_unknown(
    db: &impl ConnectionTrait,
    call: &Call,
    code: &str,
    message: &str,
    response: Option<Json>,
    request_id: Option<&str>,
) -> Result<(), DbErr> {
    const NOTE_UNKNOWN: &str = "
        UPDATE stripe_calls SET error_code = $2, error_message = $3, response = coalesce($4, response),
            stripe_request_id = coalesce($5, stripe_request_id)
        WHERE id = $1 AND state = 'open'";
    let values = [
        call.id.0.into(),
        code.into(),
        message.into(),
        response.into(),
        request_id.map(str::to_owned).into(),
    ];
    db.execute_raw(sql(NOTE_UNKNOWN, values)).await.map(drop)
}

/// Gives an open call another key, as if it had never been sent: only where it is known that under the old key nothing was done and nothing can be done any more. Where
/// somebody else settled it or did the same meanwhile, nothing changes.
pub(crate) async fn start_over(
    db: &impl ConnectionTrait,
    call: &Call,
    key: &IdempotencyKey,
) -> Result<(), DbErr> {
    const START_OVER: &str = "
        UPDATE stripe_calls SET idempotency_key = $3, first_sent_at = NULL, last_sent_at = NULL
        WHERE id = $1 AND state = 'open' AND idempotency_key = $2";
    let values = [
        call.id.0.into(),
        call.key.as_str().into(),
        key.as_str().into(),
    ];
    db.execute_raw(sql(START_OVER, values)).await.map(drop)
}
