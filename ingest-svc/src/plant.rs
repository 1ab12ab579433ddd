//! A defect on purpose, which `cargo xtask chaos --plant` must find.
//!
//! It must never be part of what is shipped: a release build refuses it.

#[cfg(not(debug_assertions))]
compile_error!("this feature plants a defect: no release build has it");

use std::time::Duration;

use sea_orm::DatabaseTransaction;

/// Between the answer and the commit.
const TOO_LATE: Duration = Duration::from_millis(150);

/// Lets the answer go before its reports are committed (openmeter#5118).
pub(crate) fn commit_later(txn: DatabaseTransaction) {
    tokio::spawn(async move {
        tokio::time::sleep(TOO_LATE).await;
        if let Err(error) = txn.commit().await {
            tracing::warn!(%error, "what was acknowledged is not committed");
        }
    });
}
