//! Counts attempts at a password, and refuses what is too much.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::TransactionTrait;
use std::time::Duration;

use super::Admins;
use crate::domain::attempts::{Attempt, Counted, Verdict};

/// Counters at which nobody tried for so long are forgotten, in milliseconds: longer than any window
/// of a Better Auth that counts in the same table.
const FORGOTTEN_AFTER_MS: i64 = 24 * 60 * 60 * 1_000;

/// Counts an attempt from an address before anything of it is looked at: whoever guesses is stopped
/// before a password is hashed for them.
pub(super) async fn count_attempt(
    app: &Admins,
    attempt: Attempt,
    ip_address: &str,
) -> Result<(), Fault> {
    let Some(rule) = app.limit.rule() else {
        return Ok(());
    };
    let tables = app.known_tables().await?;
    let key = attempt.key(ip_address);
    let now_ms = app.clock.now().timestamp_millis();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let counted = tables.lock_counter(&transaction, &key).await?;
    match rule.judge(counted, now_ms) {
        Verdict::Allowed(count) => {
            let counted = Counted {
                count,
                last_ms: now_ms,
            };
            let id = app.new_id(tables.counter_ids());
            tables
                .store_counter(&transaction, &key, counted, id)
                .await?;
            if count == 1 {
                let before = now_ms - FORGOTTEN_AFTER_MS;
                tables.delete_counters_before(&transaction, before).await?;
            }
            transaction.commit().await.map_err(db_fault)
        }
        Verdict::Refused(wait_ms) => {
            // At once: whoever comes next under this key waits for the lock.
            transaction.rollback().await.map_err(db_fault)?;
            let mut fault = Fault::new(
                ErrorReason::RateLimited,
                "Too many attempts. Try again in a few seconds.",
            );
            let seconds = u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000);
            fault.retry_after = Some(Duration::from_secs(seconds));
            Err(fault)
        }
    }
}
