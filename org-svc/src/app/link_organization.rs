//! LinkOrganization: links an organization to Stripe, as a stored operation.
//!
//! The operation is committed before anything is done. Whoever holds its lease carries it on: here
//! that is a task of this process, which outlives the request. The request only waits for the row to
//! say that the operation has ended, whoever ended it.

use std::{sync::Arc, time::Duration};

use billing_kit::{Fault, assertion::Admin, context::RequestContext};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Described, Organizations, get_organization, run_link_operation};
use crate::{
    domain::{
        account::UserId,
        link::{
            Decision, LinkOperation, LinkOperationId, LinkTerms, OperationState, Refusal, decide,
        },
        organization::{Organization, OrganizationId},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        link_operations, organizations,
    },
};

/// A request that brings no deadline of its own is answered within this time.
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(25);
/// What an answer needs to travel: it leaves this much before the caller's deadline.
const ANSWER_MARGIN: Duration = Duration::from_millis(400);
/// How soon the end of an operation that another process runs is seen.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// What stripe-svc calls a gap in the catalog.
const PRICE_NOT_FOUND: &str = "price_not_found";

/// Links an organization, or answers with the operation that goes on in the background.
pub(crate) async fn link_organization(
    app: &Arc<Organizations>,
    admin: &Admin,
    id: OrganizationId,
    terms: LinkTerms,
) -> Result<Described, Fault> {
    let context = RequestContext::current();
    let answer_by = Instant::now()
        + context
            .time_left(ANSWER_WITHIN_MAX)
            .saturating_sub(ANSWER_MARGIN);
    let begun = begin(app, admin, id, terms).await?;
    if let Some(claimed) = begun.claimed {
        run_in_background(app, claimed, context);
    }
    let operation = wait_for_end(app, begun.operation_id, answer_by).await?;
    if let OperationState::Refused(refusal) = &operation.state {
        return Err(refused(refusal));
    }
    let described = get_organization::get_organization(app, id).await?;
    Ok(Described {
        organization: described.organization,
        operation: Some(operation),
    })
}

/// The operation that a request waits for.
struct Begun {
    operation_id: LinkOperationId,
    /// It is new, and ours to run.
    claimed: Option<run_link_operation::Claimed>,
}

/// Decides under the organization's lock, and stores a new operation where there is to be one.
async fn begin(
    app: &Organizations,
    admin: &Admin,
    id: OrganizationId,
    terms: LinkTerms,
) -> Result<Begun, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    let running = link_operations::running_of(&transaction, id).await?;
    let succeeded = link_operations::latest_succeeded_of(&transaction, id).await?;
    match decide(&organization, running.as_ref(), succeeded.as_ref(), &terms) {
        Decision::Start => {
            let claimed = start(app, &transaction, &organization, admin, terms).await?;
            transaction.commit().await.map_err(db_fault)?;
            Ok(Begun {
                operation_id: claimed.operation.id,
                claimed: Some(claimed),
            })
        }
        Decision::Join(operation_id) | Decision::AlreadyLinked(operation_id) => Ok(Begun {
            operation_id,
            claimed: None,
        }),
        Decision::Conflict(conflict) => {
            Err(Fault::new(ErrorReason::LinkConflict, conflict.message()))
        }
    }
}

async fn start(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    organization: &Organization,
    admin: &Admin,
    terms: LinkTerms,
) -> Result<run_link_operation::Claimed, Fault> {
    let now = app.clock.now();
    let lease = run_link_operation::lease(app, now);
    let operation = LinkOperation {
        id: LinkOperationId(app.ids.next()),
        organization_id: organization.id,
        organization_name: organization.name.clone(),
        state: OperationState::Running(None),
        terms,
        admin_user_id: UserId(admin.user_id.clone()),
        attempt_count: 1,
        created_at: now,
    };
    link_operations::insert(transaction, &operation, lease).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(organization.id),
        admin_user_id: Some(&operation.admin_user_id),
        action: Action::OrganizationLinkRequested,
        before: None,
        after: Some(json!({
            "operation_id": operation.id.0,
            "admin_email": operation.terms.admin_email.as_str(),
            "deployment_type": operation.terms.deployment_type.as_str(),
            "plan_type": operation.terms.plan_type.as_str(),
            "trial_days": operation.terms.trial_days.as_i32(),
        })),
    };
    audit_events::insert(transaction, event).await?;
    Ok(run_link_operation::Claimed {
        operation,
        lease_token: lease.token,
    })
}

/// Runs the operation in a task of its own, so that it does not end with the request. It keeps the
/// request's id and trace, but not its deadline: the operation has its own.
fn run_in_background(
    app: &Arc<Organizations>,
    claimed: run_link_operation::Claimed,
    mut context: RequestContext,
) {
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

/// Stripe's no, in Stripe's words.
fn refused(refusal: &Refusal) -> Fault {
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
