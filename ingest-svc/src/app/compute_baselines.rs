//! Computes the baselines that a migrated database lacks, in small steps: one that a report needs earlier
//! is computed with the report.

use billing_kit::Fault;
use billing_kit_db::{StoreError, db_fault};
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{Parts, app::baselines::learn_unknown, store::baselines};

/// How many organizations are locked at once.
const STEP_MAX: u64 = 200;

/// Computes those of the next linked organizations after this id. Answers the last id; `None` at the end.
pub(crate) async fn compute_baselines(parts: &Parts, after: Uuid) -> Result<Option<Uuid>, Fault> {
    compute(parts, after).await.map_err(db_fault)
}

async fn compute(parts: &Parts, after: Uuid) -> Result<Option<Uuid>, StoreError> {
    let txn = parts.db.begin().await?;
    let locked = baselines::lock_unknown(&txn, after, STEP_MAX).await?;
    let last = locked.last().copied();
    learn_unknown(&txn, parts.hold_rules, locked).await?;
    txn.commit().await?;
    Ok(last)
}
