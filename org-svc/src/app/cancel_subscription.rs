//! CancelSubscription: ends an organization's subscription, as a stored operation.
//!
//! At once means: once everything that was reported until now is with Stripe. So nobody carries the
//! operation on yet; the organization drains, which ingest-svc hears by the feed, and ConfirmDrained
//! lets Stripe be asked. Should that not come in time, the operation ends and nothing was canceled.

use std::sync::Arc;

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;

use super::{
    Described, Organizations, get_organization,
    operation::{self, Begun},
    run_link_operation::{self, Claimed},
};
use crate::{
    domain::{
        account::UserId,
        change::{Cancel, CancelMode, Decision, decide_cancel},
        link::{LinkOperation, OperationState, Setback, Work},
        organization::{Drain, Organization, OrganizationId},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        link_operations::{self, Begin},
        organization_changes, organizations,
    },
};

/// What an operation that drains tells meanwhile.
const DRAINING: &str = "draining";
const DRAINING_MESSAGE: &str =
    "The reports so far are delivered first, so that they are on the last invoice.";

/// Cancels a subscription, or answers with the operation that goes on in the background.
pub(crate) async fn cancel_subscription(
    app: &Arc<Organizations>,
    admin: &Admin,
    id: OrganizationId,
    mode: CancelMode,
) -> Result<Described, Fault> {
    let answer_by = operation::answer_by();
    let begun = begin(app, admin, id, mode).await?;
    operation::finish(app, begun, answer_by).await
}

/// Decides under the organization's lock, and stores a new operation where there is to be one.
async fn begin(
    app: &Organizations,
    admin: &Admin,
    id: OrganizationId,
    mode: CancelMode,
) -> Result<Begun, Fault> {
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = organizations::lock(&transaction, id)
        .await?
        .ok_or_else(get_organization::not_found)?;
    let running = link_operations::running_of(&transaction, id).await?;
    let succeeded = link_operations::latest_succeeded_of(&transaction, id).await?;
    match decide_cancel(&organization, running.as_ref(), succeeded.as_ref(), mode) {
        Decision::Start(cancel) => {
            let begun = start(app, &transaction, &organization, admin, cancel).await?;
            transaction.commit().await.map_err(db_fault)?;
            app.changed.notify_waiters();
            Ok(begun)
        }
        Decision::Join(operation_id) => Ok(Begun::elsewhere(operation_id)),
        Decision::Conflict(message) => Err(Fault::new(ErrorReason::LinkConflict, message)),
        Decision::Unchanged | Decision::Incomplete(_) => {
            Err(Fault::internal("an end has no terms to be compared"))
        }
    }
}

async fn start(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    organization: &Organization,
    admin: &Admin,
    cancel: Cancel,
) -> Result<Begun, Fault> {
    let now = app.clock.now();
    let (mode, drains) = (cancel.mode, cancel.drains());
    let admin_user_id = UserId(admin.user_id.clone());
    let operation = operation::new(app, organization, Work::Cancel(cancel), admin_user_id, now);
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(organization.id),
        admin_user_id: Some(&operation.admin_user_id),
        action: Action::SubscriptionCancelRequested,
        before: Some(run_link_operation::link_as_json(organization)),
        after: Some(operation::with_id(
            &operation,
            json!({ "mode": mode.as_str() }),
        )),
    };
    audit_events::insert(transaction, event).await?;
    if drains {
        begin_to_drain(app, transaction, &operation, now).await?;
        return Ok(Begun::elsewhere(operation.id));
    }
    let lease = run_link_operation::lease(app, now);
    link_operations::insert(transaction, &operation, Begin::Now(lease)).await?;
    Ok(Begun {
        operation_id: operation.id,
        claimed: Some(Claimed {
            operation,
            lease_token: lease.token,
        }),
    })
}

/// Stores an operation that waits, and tells the feed what it waits for.
async fn begin_to_drain(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    operation: &LinkOperation,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    let draining = LinkOperation {
        state: OperationState::Running(Some(Setback {
            code: DRAINING.to_owned(),
            message: DRAINING_MESSAGE.to_owned(),
        })),
        attempt_count: 0,
        ..operation.clone()
    };
    let begin = Begin::At(now + app.drain_max);
    link_operations::insert(transaction, &draining, begin).await?;
    let id = operation.organization_id;
    organizations::update_drain(transaction, id, Drain::Draining, now).await?;
    organization_changes::append(transaction, &[id], now).await?;
    Ok(())
}
