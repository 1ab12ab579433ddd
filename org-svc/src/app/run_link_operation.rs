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

use super::{Organizations, keep_subscriptions, tell};
use crate::{
    domain::{
        link::{Attempt, LinkOperation, LinkTerms, Provisioned, Refusal, Setback, Work},
        organization::{Drain, Organization},
        retry,
        subscription::SubscriptionState,
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

/// The end of a cancellation at once that could not drain in time.
const DRAIN_TIMEOUT: &str = "drain_timeout";
const DRAIN_TIMEOUT_MESSAGE: &str =
    "The reports could not be delivered in time. Nothing was canceled.";

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
    let (attempt, at_once) = tokio::select! {
        attempt = attempt(app, &claimed.operation) => (attempt, false),
        () = out_of_patience(app) => (Ok(stopped()), true),
        never = keep_lease(app, &claimed) => match never {},
    };
    let settled = match attempt {
        Ok(attempt) => settle(app, &claimed, &attempt, at_once).await,
        Err(fault) => Err(fault),
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

/// Has stripe-svc do what the operation is for.
async fn attempt(app: &Organizations, operation: &LinkOperation) -> Result<Attempt, Fault> {
    let stripe_svc = &app.stripe_svc;
    Ok(match &operation.work {
        Work::Link(terms) => stripe_svc.provision(operation, terms).await,
        Work::Update(update) => {
            // It changes by operations alone, of which this one runs: every attempt sees the same.
            let organization = organizations::get(&app.db, operation.organization_id)
                .await?
                .ok_or_else(|| Fault::internal("an organization is gone"))?;
            stripe_svc.update(operation, update, &organization).await
        }
        // Nobody carries it on while it drains, until it has taken too long.
        Work::Cancel(cancel) if cancel.drains() => Attempt::Refused(Refusal {
            code: DRAIN_TIMEOUT.to_owned(),
            message: DRAIN_TIMEOUT_MESSAGE.to_owned(),
            param: None,
            stripe_request_id: None,
        }),
        Work::Cancel(cancel) => stripe_svc.cancel(operation, cancel).await,
    })
}

/// Stores how an attempt ended.
async fn settle(
    app: &Organizations,
    claimed: &Claimed,
    attempt: &Attempt,
    at_once: bool,
) -> Result<(), Fault> {
    match (attempt, &claimed.operation.work) {
        (Attempt::Provisioned(provisioned), Work::Link(terms)) => {
            settle_linked(app, claimed, provisioned, terms).await
        }
        (Attempt::Changed(state), Work::Update(_) | Work::Cancel(_)) => {
            settle_changed(app, claimed, state).await
        }
        (Attempt::Refused(refusal), _) => settle_refused(app, claimed, refusal).await,
        (Attempt::Unknown(setback), _) => postpone(app, claimed, setback, at_once).await,
        (Attempt::Provisioned(_) | Attempt::Changed(_), _) => Err(Fault::internal(
            "an operation was answered with another's end",
        )),
    }
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
    tracing::info!("stopped in the middle of an operation; another process goes on");
    Attempt::Unknown(Setback {
        code: "unavailable".to_owned(),
        message: "The process was stopped; another one continues.".to_owned(),
    })
}

/// The organization is linked: it, the operation, the feed and the audit trail say so together.
async fn settle_linked(
    app: &Organizations,
    claimed: &Claimed,
    provisioned: &Provisioned,
    terms: &LinkTerms,
) -> Result<(), Fault> {
    let operation = &claimed.operation;
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let before = lock_organization(&transaction, operation).await?;
    if !link_operations::succeed(&transaction, operation.id, claimed.lease_token, now).await? {
        return Ok(());
    }
    organizations::update_linked(&transaction, before.id, provisioned, terms, now).await?;
    let after = read_again(&transaction, &before).await?;
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

/// The subscription is changed, or has its end: it, the operation, the feed and the audit trail say so
/// together.
async fn settle_changed(
    app: &Organizations,
    claimed: &Claimed,
    state: &SubscriptionState,
) -> Result<(), Fault> {
    let operation = &claimed.operation;
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let before = lock_organization(&transaction, operation).await?;
    if !link_operations::succeed(&transaction, operation.id, claimed.lease_token, now).await? {
        return Ok(());
    }
    let action = match &operation.work {
        Work::Update(update) => {
            organizations::update_terms(&transaction, before.id, &update.terms, now).await?;
            Action::SubscriptionUpdated
        }
        Work::Link(_) | Work::Cancel(_) => {
            organizations::update_drain(&transaction, before.id, Drain::None, now).await?;
            Action::SubscriptionCanceled
        }
    };
    let changed = read_again(&transaction, &before).await?;
    keep_subscriptions::apply(app, &transaction, &changed, state, now).await?;
    let after = read_again(&transaction, &before).await?;
    let event = AuditEvent {
        id: app.ids.next(),
        occurred_at: now,
        organization_id: Some(before.id),
        admin_user_id: Some(&operation.admin_user_id),
        action,
        before: Some(link_as_json(&before)),
        after: Some(link_as_json(&after)),
    };
    audit_events::insert(&transaction, event).await?;
    organization_changes::append(&transaction, &[before.id], now).await?;
    transaction.commit().await.map_err(db_fault)
}

/// The operation has ended, and the organization is as before.
async fn settle_refused(
    app: &Organizations,
    claimed: &Claimed,
    refusal: &Refusal,
) -> Result<(), Fault> {
    let operation = &claimed.operation;
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let organization = lock_organization(&transaction, operation).await?;
    if was_drained_meanwhile(&transaction, operation).await? {
        // Just in time: Stripe is asked by the next attempt.
        drop(transaction);
        return go_on(app, claimed).await;
    }
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
        action: match &operation.work {
            Work::Link(_) => Action::OrganizationLinkRefused,
            Work::Update(_) => Action::SubscriptionUpdateRefused,
            Work::Cancel(_) => Action::SubscriptionCancelRefused,
        },
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
    tell::refused(app, &transaction, operation, refusal, now).await?;
    if organization.drain.is_under_way() {
        // It goes on: what waited is sent after all.
        organizations::update_drain(&transaction, organization.id, Drain::None, now).await?;
        organization_changes::append(&transaction, &[organization.id], now).await?;
    }
    transaction.commit().await.map_err(db_fault)
}

/// Whether an operation that drained when it was claimed is drained by now. The organization's row is
/// locked, under which it is drained.
async fn was_drained_meanwhile(
    transaction: &DatabaseTransaction,
    operation: &LinkOperation,
) -> Result<bool, Fault> {
    let drains = |work: &Work| match work {
        Work::Link(_) | Work::Update(_) => false,
        Work::Cancel(cancel) => cancel.drains(),
    };
    if !drains(&operation.work) {
        return Ok(false);
    }
    let stored = link_operations::get(transaction, operation.id).await?;
    Ok(stored.is_some_and(|stored| !drains(&stored.work)))
}

/// Lets an operation go that is due at once.
async fn go_on(app: &Organizations, claimed: &Claimed) -> Result<(), Fault> {
    let setback = Setback {
        code: "unavailable".to_owned(),
        message: "It goes on.".to_owned(),
    };
    postpone(app, claimed, &setback, true).await?;
    app.due.notify_one();
    Ok(())
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

async fn read_again(
    transaction: &DatabaseTransaction,
    organization: &Organization,
) -> Result<Organization, Fault> {
    organizations::get(transaction, organization.id)
        .await?
        .ok_or_else(|| Fault::internal("an organization is gone"))
}

/// What of an organization its link's operations change.
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
        "cancel_at": organization.cancel_at,
    })
}
