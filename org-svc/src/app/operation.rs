//! What linking, updating and canceling share: the operation is committed before anything is done.
//!
//! Whoever holds its lease carries it on: here that is a task of this process, which outlives the
//! request. The request only waits for the row to say that the operation has ended, whoever ended it.

use std::{sync::Arc, time::Duration};

use billing_kit::{Fault, context::RequestContext};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Described, Organizations, get_organization, run_link_operation};
use crate::{
    domain::{
        account::UserId,
        link::{LinkOperation, LinkOperationId, OperationState, Refusal, Work},
        organization::Organization,
    },
    store::link_operations,
};

/// A request that brings no deadline of its own is answered within this time.
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(25);
/// What an answer needs to travel: it leaves this much before the caller's deadline.
const ANSWER_MARGIN: Duration = Duration::from_millis(400);
/// How soon the end of an operation that another process runs is seen.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// What stripe-svc calls a gap in the catalog.
const PRICE_NOT_FOUND: &str = "price_not_found";

/// The operation that a request waits for.
pub(super) struct Begun {
    pub(super) operation_id: LinkOperationId,
    /// It is new, and ours to run.
    pub(super) claimed: Option<run_link_operation::Claimed>,
}

impl Begun {
    /// One that somebody else runs, that waits for something, or that has ended.
    pub(super) fn elsewhere(operation_id: LinkOperationId) -> Self {
        Self {
            operation_id,
            claimed: None,
        }
    }
}

/// When the answer to the request that is being served must leave.
pub(super) fn answer_by() -> Instant {
    let time_left = RequestContext::current().time_left(ANSWER_WITHIN_MAX);
    Instant::now() + time_left.saturating_sub(ANSWER_MARGIN)
}

/// An operation that has just been asked for, in its first attempt.
pub(super) fn new(
    app: &Organizations,
    organization: &Organization,
    work: Work,
    admin_user_id: UserId,
    now: DateTime<Utc>,
) -> LinkOperation {
    LinkOperation {
        id: LinkOperationId(app.ids.next()),
        organization_id: organization.id,
        organization_name: organization.name.clone(),
        state: OperationState::Running(None),
        work,
        admin_user_id,
        attempt_count: 1,
        created_at: now,
    }
}

/// Runs an operation where it is ours to run, and answers with its end, or with how far it is when
/// the answer must leave.
///
/// # Errors
/// It was refused.
pub(super) async fn finish(
    app: &Arc<Organizations>,
    begun: Begun,
    answer_by: Instant,
) -> Result<Described, Fault> {
    if let Some(claimed) = begun.claimed {
        run_in_background(app, claimed);
    }
    let operation = wait_for_end(app, begun.operation_id, answer_by).await?;
    if let OperationState::Refused(refusal) = &operation.state {
        return Err(refused(refusal));
    }
    let organization = operation.organization_id;
    let described = get_organization::get_organization(app, organization).await?;
    Ok(Described {
        organization: described.organization,
        operation: Some(operation),
    })
}

/// Runs the operation in a task of its own, so that it does not end with the request. It keeps the
/// request's id and trace, but not its deadline: the operation has its own.
fn run_in_background(app: &Arc<Organizations>, claimed: run_link_operation::Claimed) {
    let mut context = RequestContext::current();
    context.deadline = None;
    let app = Arc::clone(app);
    let life = app.life.clone();
    let run = async move { run_link_operation::run_link_operation(&app, claimed).await };
    life.spawn(context.scope(run).in_current_span());
}

/// The operation once it has ended, or as it is when the answer must leave.
async fn wait_for_end(
    app: &Organizations,
    id: LinkOperationId,
    answer_by: Instant,
) -> Result<LinkOperation, Fault> {
    loop {
        let woken = app.changed.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        let operation = link_operations::get(&app.db, id)
            .await?
            .ok_or_else(|| Fault::internal("a link operation is gone"))?;
        let ended = match operation.state {
            OperationState::Running(_) => false,
            OperationState::Succeeded | OperationState::Refused(_) => true,
        };
        if ended || Instant::now() >= answer_by || app.life.stop.is_cancelled() {
            return Ok(operation);
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = tokio::time::sleep_until(answer_by) => {}
        }
    }
}

/// Stripe's no, in Stripe's words, or ours.
pub(super) fn refused(refusal: &Refusal) -> Fault {
    let Refusal {
        code,
        message,
        param,
        stripe_request_id,
    } = refusal;
    let reason = if code == PRICE_NOT_FOUND {
        ErrorReason::PriceNotFound
    } else {
        ErrorReason::StripeRefused
    };
    let mut fault = Fault::new(reason, message).with("stripe_code", code);
    if let Some(param) = param {
        fault = fault.with("stripe_param", param);
    }
    if let Some(request_id) = stripe_request_id {
        fault = fault.with("stripe_request_id", request_id);
    }
    fault
}

/// What was asked for, as the audit trail keeps it.
pub(super) fn with_id(operation: &LinkOperation, mut asked: Json) -> Json {
    if let Some(fields) = asked.as_object_mut() {
        fields.insert("operation_id".to_owned(), json!(operation.id.0));
    }
    asked
}
