//! `ReplaceReport`: a report that was refused, because another count was recorded for its time, takes the
//! place of that one.

use billing_kit::{Fault, assertion::Admin};
use billing_kit_db::{StoreError, db_fault};
use billing_proto::common::v1::ErrorReason;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait};
use uuid::Uuid;

use crate::{
    Parts,
    app::recording::new_report,
    domain::{
        audit::{Change, Replaced},
        delivery::{DeliveryState, first_attempt_at},
        replacement::{self, Replacement},
        report::{Content, Report},
        standing::Standing,
    },
    store::{
        audit_events, baselines,
        conflicts::{self, Conflict},
        delivery, reporting,
        reports::{self, NewReport, RecordedReport},
    },
};

/// Replaces under the organization's lock; answers the report that has the refused count now. One that
/// was replaced before is answered as it is.
///
/// # Errors
/// REPORT_NOT_FOUND; REPORT_NOT_REPLACEABLE with the reason.
pub(crate) async fn replace_report(
    parts: &Parts,
    admin: &Admin,
    conflict_id: Uuid,
) -> Result<RecordedReport, Fault> {
    let now = parts.deps.clock.now();
    let found = conflicts::find(&parts.db, conflict_id).await;
    let organization_id = found
        .map_err(db_fault)?
        .ok_or_else(not_found)?
        .organization_id;
    let txn = parts.db.begin().await.map_err(db_fault)?;
    let standing = reporting::lock(&txn, organization_id).await;
    let standing = standing.map_err(db_fault)?.ok_or_else(not_found)?;
    let conflict = conflicts::find(&txn, conflict_id).await;
    let conflict = conflict.map_err(db_fault)?.ok_or_else(not_found)?;
    let replacement_id = match conflict.replacement_id {
        Some(replaced) => replaced,
        None => replace(parts, &txn, admin, &conflict, &standing, now).await?,
    };
    let report = reports::get_many(&txn, organization_id, vec![replacement_id]).await;
    let report = report.map_err(db_fault)?.into_iter().next();
    txn.commit().await.map_err(db_fault)?;
    parts
        .touched_days
        .note(std::iter::once(conflict.reported_at), now);
    parts.queued.notify_one();
    parts.decided.notify_one();
    report.ok_or_else(not_found)
}

/// Puts the refused report in the place of the recorded one, with all that this entails. Answers the id
/// of the report that has its count.
async fn replace(
    parts: &Parts,
    txn: &DatabaseTransaction,
    admin: &Admin,
    conflict: &Conflict,
    standing: &Standing,
    now: DateTime<Utc>,
) -> Result<Uuid, Fault> {
    let refuse = |why: &'static str| Fault::new(ErrorReason::ReportNotReplaceable, why);
    let recorded_id = conflict.recorded_id.ok_or_else(|| {
        refuse("The recorded report waits for org-svc. Try again when org-svc answers.")
    })?;
    let recorded = conflicts::recorded(txn, recorded_id).await;
    let recorded = recorded.map_err(db_fault)?.ok_or_else(not_found)?;
    let replacement = replacement::judge(&recorded, standing, now).map_err(refuse)?;
    let (id, at, state) = write(
        parts,
        txn,
        conflict,
        (recorded_id, replacement),
        standing,
        now,
    )
    .await
    .map_err(db_fault)?;
    follow(txn, conflict, at, state, now)
        .await
        .map_err(db_fault)?;
    conflicts::mark_replaced(txn, conflict.id, id, now)
        .await
        .map_err(db_fault)?;
    let change = Change::replaced(&Replaced {
        organization_id: conflict.organization_id,
        reported_at: recorded.reported_at,
        recorded: (recorded_id, conflict.recorded_user_count, recorded.state),
        replacement: (id, conflict.user_count, state),
        conflict_id: conflict.id,
    });
    audit_events::record(txn, parts.deps.ids.next(), change, admin, now)
        .await
        .map_err(db_fault)?;
    Ok(id)
}

/// Writes the report; answers its id, time and state.
async fn write(
    parts: &Parts,
    txn: &DatabaseTransaction,
    conflict: &Conflict,
    (recorded_id, replacement): (Uuid, Replacement),
    standing: &Standing,
    now: DateTime<Utc>,
) -> Result<(Uuid, DateTime<Utc>, DeliveryState), StoreError> {
    match replacement {
        Replacement::InPlace(state) => {
            let at = conflict.reported_at;
            let due = first_attempt_at(at, now);
            conflicts::overwrite(txn, recorded_id, conflict.id, state, due, now).await?;
            Ok((recorded_id, at, state))
        }
        Replacement::Later(at, state) => {
            let report = Report {
                organization_id: conflict.organization_id,
                content: Content {
                    organization_name: conflict.organization_name.clone(),
                    instance_url: conflict.instance_url.clone(),
                    user_count: conflict.user_count,
                },
                reported_at: at,
                source: conflict.source(),
                // An admin vouches for it.
                signature: None,
            };
            let id = parts.deps.ids.next();
            let new = NewReport {
                state,
                ..new_report(id, report, now, standing, now)
            };
            if reports::insert_new(txn, &[new]).await?.is_empty() {
                return Err(DbErr::Custom("another report has this time".to_owned()).into());
            }
            Ok((id, at, state))
        }
    }
}

/// Schedules what is queued, drops what the day rule does not permit, and moves what is shown and
/// compared with where this is the organization's latest report.
async fn follow(
    txn: &DatabaseTransaction,
    conflict: &Conflict,
    at: DateTime<Utc>,
    state: DeliveryState,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let id = conflict.organization_id;
    if state == DeliveryState::Queued {
        delivery::drop_outdated(txn, vec![id], now).await?;
        reporting::schedule(txn, &[(id, first_attempt_at(at, now))]).await?;
    }
    reporting::correct_latest(txn, id, conflict.user_count, at).await?;
    baselines::compute(txn, vec![id]).await
}

fn not_found() -> Fault {
    Fault::new(
        ErrorReason::ReportNotFound,
        "There is no stored refused report with this id.",
    )
}
