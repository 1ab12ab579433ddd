//! `RetryReport`: a report that Stripe refused is sent once more, where that is safe, or settled as what it
//! has become meanwhile.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::{StoreError, db_fault};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    domain::{
        audit::Change,
        delivery::{DeliveryState, first_attempt_at},
        retry::{Retry, judge},
    },
    store::{
        audit_events, missed_invoices, reporting,
        reports::{self, RecordedReport},
        retries::{self, Found},
    },
};

/// Queues a refused report again, or brings it to the end that it has come to meanwhile, or finds it done;
/// answers it as it is then.
///
/// # Errors
/// REPORT_NOT_FOUND; REPORT_NOT_RETRYABLE with the reason.
pub(crate) async fn retry_report(
    parts: &Parts,
    admin: &Admin,
    report_id: Uuid,
) -> Result<RecordedReport, Fault> {
    let now = parts.deps.clock.now();
    let organization_id = retries::organization_of(&parts.db, report_id)
        .await
        .map_err(db_fault)?
        .ok_or_else(not_found)?;
    let txn = parts.db.begin().await.map_err(db_fault)?;
    let standing = reporting::lock(&txn, organization_id)
        .await
        .map_err(db_fault)?
        .ok_or_else(not_found)?;
    let found = retries::find(&txn, report_id)
        .await
        .map_err(db_fault)?
        .ok_or_else(not_found)?;
    let state = match judge(&found.report, &standing, now) {
        Retry::Queue => Some(DeliveryState::Queued),
        Retry::Settle(state) => Some(state),
        Retry::Nothing => None,
        Retry::Refuse(why) => return Err(Fault::new(ErrorReason::ReportNotRetryable, why)),
    };
    if let Some(state) = state {
        let Found { report, error } = found;
        let error = error.as_ref().map(|(code, message)| (&**code, &**message));
        let at = report.reported_at;
        bring_to(&txn, organization_id, (report_id, at), state, now)
            .await
            .map_err(db_fault)?;
        let change = Change::retried(organization_id, report_id, at, error, state);
        audit_events::record(&txn, parts.deps.ids.next(), change, admin, now)
            .await
            .map_err(db_fault)?;
    }
    let reports = reports::get_many(&txn, organization_id, vec![report_id])
        .await
        .map_err(db_fault)?;
    txn.commit().await.map_err(db_fault)?;
    if let Some(state) = state {
        let (user, state) = (&admin.user_id, state.as_str());
        tracing::info!(%report_id, state, admin_user_id = user, "an admin saw to a refused report");
    }
    parts.queued.notify_one();
    parts.decided.notify_one();
    reports.into_iter().next().ok_or_else(not_found)
}

/// Brings a refused report of this time to a state, with what that entails.
async fn bring_to(
    txn: &DatabaseTransaction,
    organization_id: Uuid,
    (report_id, reported_at): (Uuid, DateTime<Utc>),
    state: DeliveryState,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if state == DeliveryState::Queued {
        retries::queue(txn, report_id, now).await?;
        let due = first_attempt_at(reported_at, now);
        return reporting::schedule(txn, &[(organization_id, due)]).await;
    }
    retries::settle(txn, report_id, state, now).await?;
    if state == DeliveryState::MissedInvoice {
        // That is for a person to see, too.
        missed_invoices::settle(txn, vec![organization_id], now).await?;
    }
    Ok(())
}

fn not_found() -> Fault {
    Fault::new(
        ErrorReason::ReportNotFound,
        "There is no recorded report with this id.",
    )
}
