//! Carries a link operation on: the one function that does, for the request that stored it and for
//! the worker that finds it later.
//!
//! Claim, call, settle: the lease is held while stripe-svc is called, no transaction is. Only who
//! still holds the lease settles, so an operation that was given up and taken by another process is
//! settled once. Calling twice is harmless: stripe-svc does each operation once.

use std::time::Duration;

use billing_kit::{Fault, context::RequestContext};
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use rand::RngExt;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;
use uuid::Uuid;

use super::{Organizations, keep_subscriptions};
use crate::{
    domain::{
        link::{Attempt, LinkOperation, Provisioned, Refusal, Setback},
        organization::Organization,
        retry,
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        link_operations::{self, Lease},
        organization_changes, organizations, unclaimed_subscriptions,
    },
};

/// Short, for after a crash it is what has to be waited for; renewed for as long as the call takes,
/// so that nobody takes over what is still under way.
const LEASE: Duration = Duration::from_secs(6);
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// A process that is told to stop waits this long for a call that is under way.
const PATIENCE_AT_STOP: Duration = Duration::from_secs(5);

/// An operation that this process may carry on, and settle under this token.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) operation: LinkOperation,
    pub(crate) lease_token: Uuid,
}

/// A new lease that begins now.
pub(crate) fn lease(app: &Organizations, now: DateTime<Utc>) -> Lease {
    Lease {
        token: app.ids.next(),
        until: now + LEASE,
    }
}

/// Makes one attempt and stores how it ended.
#[tracing::instrument(
    name = "link_operation",
    skip_all,
    fields(
        operation_id = %claimed.operation.id.0,
        organization_id = %claimed.operation.organization_id.0,
        attempt = claimed.operation.attempt_count,
        request_id = RequestContext::current().request_id,
    )
)]
pub(crate) async fn run_link_operation(app: &Organizations, claimed: Claimed) {
    let call = app.stripe_svc.provision(&claimed.operation);
    let (attempt, at_once) = tokio::select! {
        attempt = call => (attempt, false),
        () = out_of_patience(app) => (stopped(), true),
        never = keep_lease(app, &claimed) => match never {},
    };
    let settled = match &attempt {
        Attempt::Provisioned(provisioned) => settle_linked(app, &claimed, provisioned).await,
        Attempt::Refused(refusal) => settle_refused(app, &claimed, refusal).await,
        Attempt::Unknown(setback) => postpone(app, &claimed, setback, at_once).await,
    };
    if let Err(fault) = settled {
        // stripe-svc keeps the answer; the next attempt gets it again.
        fault.log();
        let setback = Setback {
            code: "internal".to_owned(),
            message: fault.message,
        };
        if let Err(fault) = postpone(app, &claimed, &setback, false).await {
            // The lease runs out by itself.
            fault.log();
        }
    }
    app.changed.notify_waiters();
}

/// Renews the lease for as long as it is polled. One that was lost stays lost: who took it settles,
/// and what this process learns is learned by that one too.
async fn keep_lease(app: &Organizations, claimed: &Claimed) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(RENEW_INTERVAL).await;
        let renewed = Lease {
            token: claimed.lease_token,
            until: app.clock.now() + LEASE,
        };
        match link_operations::renew(&app.db, claimed.operation.id, renewed).await {
            Ok(true) => {}
            Ok(false) => std::future::pending().await,
            // The database is away: the next renewal may come in time.
            Err(fault) => fault.log(),
        }
    }
}

async fn out_of_patience(app: &Organizations) {
    app.life.stop.cancelled().await;
    tokio::time::sleep(PATIENCE_AT_STOP).await;
}

fn stopped() -> Attempt {
    tracing::info!("stopped in the middle of a link; another process goes on");
    Attempt::Unknown(Setback {
        code: "unavailable".to_owned(),
        message: "The process was stopped; another one goes on.".to_owned(),
    })
}

/// The organization is linked: it, the operation, the feed and the audit trail say so together.
async fn settle_linked(
    app: &Organizations,
    claimed: &Claimed,
    provisioned: &Provisioned,
) -> Result<(), Fault> {
    let operation = &claimed.operation;
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let before = lock_organization(&transaction, operation).await?;
    if !link_operations::succeed(&transaction, operation.id, claimed.lease_token, now).await? {
        return Ok(());
    }
    organizations::update_linked(&transaction, before.id, provisioned, &operation.terms, now)
        .await?;
    let after = organizations::get(&transaction, before.id)
        .await?
        .ok_or_else(|| Fault::internal("an organization is gone"))?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(before.id),
        admin_user_id: Some(&operation.admin_user_id),
        action: Action::OrganizationLinked,
        before: Some(link_as_json(&before)),
        after: Some(link_as_json(&after)),
    };
    audit_events::insert(&transaction, event).await?;
    // What happened to the subscription while the link was not settled yet.
    let subscription = &provisioned.stripe_subscription_id;
    if let Some(state) = unclaimed_subscriptions::take(&transaction, subscription).await? {
        keep_subscriptions::apply(app, &transaction, &after, &state, now).await?;
    }
    organization_changes::append(&transaction, &[before.id], now).await?;
    transaction.commit().await.map_err(db_fault)
}

/// The operation has ended, and the organization is pending as before.
async fn settle_refused(
    app: &Organizations,
    claimed: &Claimed,
    refusal: &Refusal,
) -> Result<(), Fault> {
    let operation = &claimed.operation;
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    lock_organization(&transaction, operation).await?;
    let held = link_operations::refuse(
        &transaction,
        operation.id,
        claimed.lease_token,
        refusal,
        now,
    )
    .await?;
    if !held {
        return Ok(());
    }
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(operation.organization_id),
        admin_user_id: Some(&operation.admin_user_id),
        action: Action::OrganizationLinkRefused,
        before: None,
        after: Some(json!({
            "operation_id": operation.id.0,
            "stripe_code": refusal.code,
            "stripe_message": refusal.message,
            "stripe_param": refusal.param,
            "stripe_request_id": refusal.stripe_request_id,
        })),
    };
    audit_events::insert(&transaction, event).await?;
    transaction.commit().await.map_err(db_fault)
}

/// Nobody knows yet: lets the operation go until its next attempt.
async fn postpone(
    app: &Organizations,
    claimed: &Claimed,
    setback: &Setback,
    at_once: bool,
) -> Result<(), Fault> {
    let operation = &claimed.operation;
    let delay = if at_once {
        Duration::ZERO
    } else {
        let range = retry::delay_range_ms(operation.attempt_count);
        Duration::from_millis(rand::rng().random_range(range))
    };
    let now = app.clock.now();
    link_operations::postpone(
        &app.db,
        operation.id,
        claimed.lease_token,
        setback,
        now,
        delay,
    )
    .await?;
    Ok(())
}

async fn lock_organization(
    transaction: &DatabaseTransaction,
    operation: &LinkOperation,
) -> Result<Organization, Fault> {
    organizations::lock(transaction, operation.organization_id)
        .await?
        .ok_or_else(|| Fault::internal("the organization of a link operation is gone"))
}

/// What of an organization a link changes.
pub(super) fn link_as_json(organization: &Organization) -> serde_json::Value {
    json!({
        "stripe_customer_id": organization.stripe_customer_id.as_ref().map(|id| &id.0),
        "stripe_subscription_id": organization.stripe_subscription_id.as_ref().map(|id| &id.0),
        "subscription_status": organization.subscription_status.as_str(),
        "deployment_type": organization.deployment_type.map(|deployment| deployment.as_str()),
        "plan_type": organization.plan_type.map(|plan| plan.as_str()),
        "admin_email": organization.admin_email,
        "trial_end": organization.trial_end,
        "billing_start_at": organization.billing_start_at,
        "billing_problem": organization.billing_problem,
    })
}
