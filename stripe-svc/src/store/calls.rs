//! `stripe_calls`: every call that creates or changes something in Stripe, written before it is sent.
//!
//! Two processes may work on one call at the same time. What keeps them from doubling it is not a
//! lock, which would have to be held while Stripe is asked, but that a step of an operation is one
//! row, that the row's key is what both send, and that every change of a row is made on condition of
//! what its maker last saw.

use billing_kit_db::StoreError;
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, ExprTrait, Set,
    entity::prelude::*,
    sea_query::{Expr, Func},
};

use crate::{
    domain::{
        call::{Call, CallRequest, CallState, Step},
        ids::{CallId, IdempotencyKey, OperationId, OrganizationId},
        refusal::Refusal,
    },
    store::entities::calls::{
        ActiveModel, Column, Entity, Model, OPEN, REFUSED, SUCCEEDED, Scope as _,
    },
};

impl TryFrom<Model> for Call {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
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
            OPEN => CallState::Open,
            SUCCEEDED => CallState::Succeeded {
                object_id: stripe_object_id.unwrap_or_default(),
                response: response.unwrap_or_default(),
            },
            REFUSED => CallState::Refused(Refusal {
                code: error_code.unwrap_or_default(),
                message: error_message.unwrap_or_default(),
                param: error_param,
                request_id: stripe_request_id,
            }),
            other => return Err(StoreError::unknown("stripe_calls.state", other)),
        };
        Ok(Self {
            id: CallId(id),
            operation_id: OperationId(operation_id),
            organization_id: OrganizationId(organization_id),
            step: Step::read(&step)
                .ok_or_else(|| StoreError::unknown("stripe_calls.step", step))?,
            key: IdempotencyKey::new(idempotency_key),
            request: CallRequest::from_params(&params)
                .ok_or_else(|| StoreError::unknown("stripe_calls.params", params))?,
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
) -> Result<Option<Call>, StoreError> {
    let row = Entity::find()
        .of_operation(operation)
        .of_step(step)
        .one(db)
        .await?;
    row.map(Call::try_from).transpose()
}

/// What an operation has stored so far: a call per step at most.
pub(crate) async fn of_operation(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Vec<Call>, StoreError> {
    let rows = Entity::find().of_operation(operation).all(db).await?;
    rows.into_iter().map(Call::try_from).collect()
}

/// A call as it stands now.
pub(crate) async fn get(db: &impl ConnectionTrait, id: CallId) -> Result<Call, StoreError> {
    let row = Entity::find_by_id(id.0).one(db).await?;
    row.ok_or_else(|| StoreError::Missing(format!("stripe_calls {id}")))?
        .try_into()
}

/// Stores a call, to be sent afterwards; or one that is refused before it is sent. Where the step has
/// a call already, that one stays. Answers which call the step has.
pub(crate) async fn store(
    db: &impl ConnectionTrait,
    call: &Call,
    now: DateTime<Utc>,
) -> Result<Call, StoreError> {
    let refusal = match &call.state {
        CallState::Refused(refusal) => Some(refusal),
        CallState::Open | CallState::Succeeded { .. } => None,
    };
    let row = ActiveModel {
        id: Set(call.id.0),
        operation_id: Set(call.operation_id.0),
        step: Set(call.step.as_str().to_owned()),
        organization_id: Set(call.organization_id.0),
        idempotency_key: Set(call.key.as_str().to_owned()),
        params: Set(call.request.to_params()),
        state: Set(refusal.map_or(OPEN, |_| REFUSED).to_owned()),
        error_code: Set(refusal.map(|refusal| refusal.code.clone())),
        error_message: Set(refusal.map(|refusal| refusal.message.clone())),
        created_at: Set(now),
        settled_at: Set(refusal.map(|_| now)),
        ..Default::default()
    };
    Entity::insert(row)
        .on_conflict_do_nothing_on([Column::OperationId, Column::Step])
        .exec_without_returning(db)
        .await?;
    let stored = find(db, call.operation_id, call.step).await?;
    stored.ok_or_else(|| StoreError::Missing(format!("stripe_calls {}", call.id)))
}

/// Takes note that the call is about to be sent, under the key that its holder knows. `false` where
/// it was settled, or given another key, meanwhile: then it must not be sent.
pub(crate) async fn mark_sent(
    db: &impl ConnectionTrait,
    call: &Call,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let first_sent_at = Func::coalesce([Column::FirstSentAt.into_expr(), Expr::val(now)]);
    let sent = Entity::update_many()
        .col_expr(
            Column::AttemptCount,
            Column::AttemptCount.into_expr().add(1),
        )
        .col_expr(Column::FirstSentAt, first_sent_at.into())
        .col_expr(Column::LastSentAt, Expr::val(now))
        .still_open(call)
        .with_key(&call.key)
        .exec(db)
        .await?;
    Ok(sent.rows_affected == 1)
}

/// Stores Stripe's success. Of a call that is settled already nothing changes: then `false`.
pub(crate) async fn succeed(
    db: &impl ConnectionTrait,
    call: &Call,
    object_id: &str,
    response: Json,
    request_id: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let succeeded = ActiveModel {
        state: Set(SUCCEEDED.to_owned()),
        stripe_object_id: Set(Some(object_id.to_owned())),
        response: Set(Some(response)),
        stripe_request_id: Set(request_id.map(str::to_owned)),
        settled_at: Set(Some(now)),
        error_code: Set(None),
        error_message: Set(None),
        error_param: Set(None),
        ..Default::default()
    };
    let settled = Entity::update_many()
        .set(succeeded)
        .still_open(call)
        .exec(db)
        .await?;
    Ok(settled.rows_affected == 1)
}

/// Stores Stripe's refusal. Of a call that is settled already nothing changes.
pub(crate) async fn refuse(
    db: &impl ConnectionTrait,
    call: &Call,
    refusal: &Refusal,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Refusal {
        code,
        message,
        param,
        request_id,
    } = refusal.clone();
    let refused = ActiveModel {
        state: Set(REFUSED.to_owned()),
        error_code: Set(Some(code)),
        error_message: Set(Some(message)),
        error_param: Set(param),
        stripe_request_id: Set(request_id),
        settled_at: Set(Some(now)),
        ..Default::default()
    };
    let update = Entity::update_many().set(refused).still_open(call);
    update.exec(db).await?;
    Ok(())
}

/// Notes why the outcome of an open call is not known, and what Stripe answered, if anything.
pub(crate) async fn note_unknown(
    db: &impl ConnectionTrait,
    call: &Call,
    code: &str,
    message: &str,
    response: Option<Json>,
    request_id: Option<&str>,
) -> Result<(), StoreError> {
    let mut noted = ActiveModel {
        error_code: Set(Some(code.to_owned())),
        error_message: Set(Some(message.to_owned())),
        ..Default::default()
    };
    // What an earlier attempt brought stays where this one brought nothing.
    if response.is_some() {
        noted.response = Set(response);
    }
    if let Some(request_id) = request_id {
        noted.stripe_request_id = Set(Some(request_id.to_owned()));
    }
    let update = Entity::update_many().set(noted).still_open(call);
    update.exec(db).await?;
    Ok(())
}

/// Gives an open call another key, as if it had never been sent: only where it is known that under the
/// old key nothing was done and nothing can be done any more. Where somebody else settled it or did the same meanwhile, nothing changes.
pub(crate) async fn start_over(
    db: &impl ConnectionTrait,
    call: &Call,
    key: &IdempotencyKey,
) -> Result<(), StoreError> {
    let renewed = ActiveModel {
        idempotency_key: Set(key.as_str().to_owned()),
        first_sent_at: Set(None),
        last_sent_at: Set(None),
        ..Default::default()
    };
    Entity::update_many()
        .set(renewed)
        .still_open(call)
        .with_key(&call.key)
        .exec(db)
        .await?;
    Ok(())
}
