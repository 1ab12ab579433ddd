//! `DismissFinding`: a person has seen a finding and leaves it as it is.

use billing_kit::{Fault, Violation, assertion::Admin};
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{
    Parts,
    domain::{
        audit::Change,
        finding::{DismissReason, Finding},
    },
    store::{audit_events, findings},
};

/// Dismisses a finding, or finds it dismissed; one that is resolved stays as it is. It opens again
/// when its numbers change.
///
/// # Errors
/// There is no such finding; the database could not be asked.
pub(crate) async fn dismiss_finding(
    parts: &Parts,
    admin: &Admin,
    id: Uuid,
    reason: &DismissReason,
) -> Result<Finding, Fault> {
    let now = parts.deps.clock.now();
    let txn = parts.db.begin().await.map_err(db_fault)?;
    let is_new = findings::dismiss(&txn, id, &admin.email, reason, now)
        .await
        .map_err(db_fault)?;
    let finding = findings::get(&txn, id).await.map_err(db_fault)?;
    let finding = finding.ok_or_else(|| {
        Fault::invalid(vec![Violation::new(
            "finding_id",
            "There is no such finding.",
        )])
    })?;
    if is_new {
        let change = Change::dismissed(&finding, reason);
        audit_events::record(&txn, parts.deps.ids.next(), change, admin, now)
            .await
            .map_err(db_fault)?;
    }
    txn.commit().await.map_err(db_fault)?;
    parts.decided.notify_one();
    tracing::info!(finding_id = %id, admin_user_id = admin.user_id, "an admin dismissed a finding");
    Ok(finding)
}
