//! Keeps what the feed tells of subscriptions: the organizations' standing, and the cursor behind it.

use std::collections::{BTreeSet, HashMap};

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::json;

use super::{Organizations, tell};
use crate::{
    domain::{
        organization::{Organization, OrganizationId},
        subscription::{self, SubscriptionState},
    },
    store::{
        audit_events::{self, Action, AuditEvent},
        feed_cursors, link_operations, organization_changes, organizations,
        unclaimed_subscriptions,
    },
};

/// Stores states and the cursor behind them in one transaction, so that neither is without the other.
/// The same states again, and older ones, change nothing.
pub(crate) async fn keep_subscriptions(
    app: &Organizations,
    states: &[SubscriptionState],
    cursor: i64,
) -> Result<(), Fault> {
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let candidates = organizations::for_subscriptions(&transaction, states).await?;
    // What is read under the lock is what is decided on: a link may have been settled meanwhile.
    let mut known: HashMap<OrganizationId, Organization> =
        organizations::lock_many(&transaction, &candidates)
            .await?
            .into_iter()
            .map(|organization| (organization.id, organization))
            .collect();
    let mut changed = BTreeSet::new();
    for state in states {
        let owner = known
            .values()
            .find(|it| it.stripe_subscription_id.as_ref() == Some(&state.stripe_subscription_id));
        let Some(before) = owner.cloned() else {
            put_aside(&transaction, &known, state).await?;
            continue;
        };
        if let Some(after) = apply(app, &transaction, &before, state, now).await? {
            // What was invoiced is nothing that an admin follows; what is billed depends on it.
            if subscription::differs(&before, &after) || before.standing() != after.standing() {
                changed.insert(after.id);
            }
            known.insert(after.id, after);
        }
    }
    if !changed.is_empty() {
        let changed: Vec<_> = changed.iter().copied().collect();
        organization_changes::append(&transaction, &changed, now).await?;
    }
    feed_cursors::advance(&transaction, feed_cursors::SUBSCRIPTIONS, cursor).await?;
    transaction.commit().await.map_err(db_fault)?;
    if !changed.is_empty() {
        app.changed.notify_waiters();
    }
    Ok(())
}

/// Brings an organization to its subscription's state, where that is newer than what is known, and
/// tells the audit trail what changed. Its row is locked; the feed is for the caller to tell.
pub(super) async fn apply(
    app: &Organizations,
    transaction: &DatabaseTransaction,
    before: &Organization,
    state: &SubscriptionState,
    now: DateTime<Utc>,
) -> Result<Option<Organization>, Fault> {
    let Some(after) = subscription::after(before, state) else {
        return Ok(None);
    };
    if before.drain.is_under_way() && !after.drain.is_under_way() {
        // It ended while it drained: there is nothing left to wait for.
        link_operations::end_drain(transaction, before.id, now).await?;
    }
    if subscription::differs(before, &after) {
        organizations::update_subscription(transaction, &after, now).await?;
        let event = AuditEvent {
            id: app.ids.next(),
            occurred_at: now,
            organization_id: Some(before.id),
            admin_user_id: None,
            action: Action::SubscriptionChanged,
            before: Some(subscription_as_json(before)),
            after: Some(subscription_as_json(&after)),
        };
        audit_events::insert(transaction, event).await?;
        tell::status_changed(app, transaction, before, &after, now).await?;
        tell::collection_paused(app, transaction, before, &after, now).await?;
        tracing::info!(
            organization_id = %before.id.0,
            before = before.subscription_status.as_str(),
            after = after.subscription_status.as_str(),
            "a subscription changed in Stripe"
        );
    } else {
        organizations::update_subscription(transaction, &after, before.updated_at).await?;
    }
    Ok(Some(after))
}

/// A state of nobody's subscription: kept for the link that is about to make it an organization's,
/// or not ours.
async fn put_aside(
    transaction: &DatabaseTransaction,
    known: &HashMap<OrganizationId, Organization>,
    state: &SubscriptionState,
) -> Result<(), Fault> {
    match state.organization_id.and_then(|id| known.get(&id)) {
        Some(organization) => {
            unclaimed_subscriptions::put(transaction, organization.id, state).await
        }
        None => {
            tracing::debug!(
                stripe_subscription_id = state.stripe_subscription_id.0,
                "a subscription is no organization's"
            );
            Ok(())
        }
    }
}

/// What of an organization its subscription changes.
fn subscription_as_json(organization: &Organization) -> serde_json::Value {
    json!({
        "subscription_status": organization.subscription_status.as_str(),
        "trial_end": organization.trial_end,
        "current_period_start_at": organization.current_period_start_at,
        "current_period_end_at": organization.current_period_end_at,
        "cancel_at": organization.cancel_at,
        "billing_problem": organization.billing_problem,
        "collection_pause": organization.collection_pause.map(|pause| pause.behavior.as_str()),
    })
}
