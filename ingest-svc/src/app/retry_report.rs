//! `RetryReport`: a report that Stripe refused is sent once more, where that is safe.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    domain::{
        audit::Change,
        delivery::first_attempt_at,
        retry::{Retry, judge},
        standing::Standing,
    },
    store::{
        audit_events, reporting,
        reports::{self, RecordedReport},
        retries::{self, Found},
    },
};

/// Queues a refused report again, or finds it queued or sent; answers it as it is then.
///
/// # Errors
/// REPORT_NOT_FOUND; REPORT_NOT_RETRYABLE with the reason.
pub(crate) async fn retry_report(
    parts: &Parts,
    admin: &Admin,
    report_id: Uuid,
) -> Result<RecordedReport, Fault> {
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
    match judge(&found.report, &standing, parts.deps.clock.now()) {
        Retry::Nothing => {}
        Retry::Refuse(why) => return Err(Fault::new(ErrorReason::ReportNotRetryable, why)),
        Retry::Queue => queue(parts, &txn, admin, report_id, &standing, found).await?,
    }
    let reports = reports::get_many(&txn, organization_id, vec![report_id])
        .await
        .map_err(db_fault)?;
    txn.commit().await.map_err(db_fault)?;
    parts.queued.notify_one();
    parts.decided.notify_one();
    reports.into_iter().next().ok_or_else(not_found)
}

async fn queue(
    parts: &Parts,
    txn: &DatabaseTransaction,
    admin: &Admin,
    report_id: Uuid,
    standing: &Standing,
    found: Found,
) -> Result<(), Fault> {
    let now = parts.deps.clock.now();
    let Found { report, error } = found;
    let Some(retry_count) = retries::queue(txn, report_id, now)
        .await
        .map_err(db_fault)?
    else {
        return Err(Fault::internal(
            "a refused report changed under its organization's lock",
        ));
    };
    let organization_id = standing.organization_id;
    let due = first_attempt_at(report.reported_at, now);
    reporting::schedule(txn, &[(organization_id, due)])
        .await
        .map_err(db_fault)?;
    let error = error.as_ref().map(|(code, message)| (&**code, &**message));
    let change = Change::retried(
        organization_id,
        report_id,
        report.reported_at,
        error,
        retry_count,
    );
    audit_events::record(txn, parts.deps.ids.next(), change, admin, now)
        .await
        .map_err(db_fault)?;
    tracing::info!(
        %report_id,
        retry_count,
        admin_user_id = admin.user_id,
        "an admin has a refused report sent again"
    );
    Ok(())
}

fn not_found() -> Fault {
    Fault::new(
        ErrorReason::ReportNotFound,
        "No report of this id is recorded.",
    )
}
