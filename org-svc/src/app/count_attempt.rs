//! Counts attempts at a password, and refuses what is too much.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;

use super::{Admins, note_failure::note_failure, sign_in::Client, spend_attempt::too_many};
use crate::domain::{
    account::User,
    attempts::{Attempt, Counted, Verdict},
    sign_in_failure::FailedAction,
};

/// Counters at which nobody tried for so long are forgotten, in milliseconds: longer than any window
/// of a Better Auth that counts in the same table.
const FORGOTTEN_AFTER_MS: i64 = 24 * 60 * 60 * 1_000;

/// Counts an attempt from an address before a password is hashed for it.
///
/// # Errors
/// RATE_LIMITED; then it is counted as a failure.
pub(super) async fn count_attempt(
    app: &Admins,
    attempt: Attempt,
    client: &Client,
    user: Option<&User>,
) -> Result<(), Fault> {
    // An address that stands for many clients would keep all of them out at once.
    if client.is_shared {
        return Ok(());
    }
    let Some(rule) = app.rules.address_limit.rule() else {
        return Ok(());
    };
    let tables = app.known_tables().await?;
    let key = attempt.key(&client.ip_address);
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
            let action = match attempt {
                Attempt::SignIn => FailedAction::SignIn,
                Attempt::ChangePassword => FailedAction::PasswordChange,
            };
            note_failure(app, action, user, true).await;
            Err(too_many(wait_ms))
        }
    }
}
