//! Drains organizations whose subscription is about to be canceled at once: once everything that was
//! reported is delivered, marks that and tells org-svc, which has Stripe cancel then.
//!
//! The mark is committed before org-svc hears of it, under the lock that orders recording and delivery:
//! a report is either delivered before it or waits behind it. What waits is decided by how the
//! organization stands next: the subscription ended, or it goes on after all.

use std::time::Duration;

use billing_kit::Fault;
use billing_kit_db::{StoreError, db_fault};
use billing_proto::org::v1::{ConfirmDrainedRequest, ConfirmDrainedResponse};
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use sea_orm::{DatabaseConnection, TransactionTrait};

use crate::{
    Parts,
    domain::delivery::backoff,
    store::{
        delivery,
        drains::{self, Drain},
    },
};

/// How soon a queue that is not empty yet is looked at again.
const LOOK_PAUSE: TimeDelta = TimeDelta::milliseconds(500);
/// Longer than org-svc may take to answer: until then another replica does not ask too.
const CONFIRM_LEASE: TimeDelta = TimeDelta::seconds(5);
/// The longest pause before org-svc is told again: an admin waits.
const CONFIRM_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Takes the next step of one drain. Answers how many it looked at; 0 when none is due.
///
/// # Errors
/// The database is away. That org-svc is away is no error: it is told again.
pub(crate) async fn drain(parts: &Parts) -> Result<usize, Fault> {
    let now = parts.deps.clock.now();
    let Some(drain) = look(&parts.db, now).await.map_err(db_fault)? else {
        return Ok(0);
    };
    if !drain.is_drained {
        // Waiting reports may have joined the queue.
        parts.queued.notify_one();
        return Ok(1);
    }
    match confirm(parts, drain).await {
        Ok(accepted) => {
            let organization_id = drain.organization_id;
            tracing::info!(%organization_id, accepted, "an organization was drained");
            drains::acknowledge(&parts.db, drain).await
        }
        Err(fault) => {
            fault.log();
            let wait = backoff(drain.attempt_count.saturating_add(1)).min(CONFIRM_PAUSE_MAX);
            let wait = rand::rng().random_range(wait / 2..=wait);
            drains::put_off(&parts.db, drain, now + wait).await
        }
    }
    .map_err(db_fault)?;
    Ok(1)
}

/// Looks at the drain that is due, and marks it where nothing is left to deliver.
pub(crate) async fn look(
    db: &DatabaseConnection,
    now: DateTime<Utc>,
) -> Result<Option<Drain>, StoreError> {
    let txn = db.begin().await?;
    let Some(mut drain) = drains::lock_due(&txn, now).await? else {
        return Ok(None);
    };
    let organization_id = drain.organization_id;
    if !drain.is_drained {
        // What waits may be billed by now: this standing may have come without the feed.
        delivery::reconsider(&txn, vec![organization_id], now).await?;
        drain.is_drained = drains::is_empty(&txn, organization_id, now).await?;
        if drain.is_drained {
            drains::mark_drained(&txn, organization_id).await?;
        }
    }
    let pause = if drain.is_drained {
        CONFIRM_LEASE
    } else {
        LOOK_PAUSE
    };
    drains::look_again_at(&txn, organization_id, now + pause).await?;
    txn.commit().await?;
    Ok(Some(drain))
}

/// Tells org-svc; says whether it was waiting for it.
async fn confirm(parts: &Parts, drain: Drain) -> Result<bool, Fault> {
    let request = ConfirmDrainedRequest {
        organization_id: drain.organization_id.to_string(),
        standing_version: drain.standing_version,
    };
    let answer = parts.org.clone().confirm_drained(request).await;
    let ConfirmDrainedResponse { accepted } = answer.map_err(Fault::from_status)?.into_inner();
    Ok(accepted)
}
