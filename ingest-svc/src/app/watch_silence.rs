//! Finds what the clock alone brings about, and has it told: instances that went silent, and held
//! reports whose invoice is soon final.

use std::collections::HashMap;

use billing_kit::{Fault, proto_time};
use billing_kit_db::{StoreError, db_fault};
use billing_proto::org::v1::BatchGetOrganizationsRequest;
use chrono::{DateTime, Utc};
use sea_orm::TransactionTrait;
use uuid::Uuid;

use crate::{
    Parts,
    domain::notice::{NewNotice, Period, Silent, near_deadline},
    store::notices::{self, Holding, SilentCursor},
};

/// How many silent instances are taken note of at once: a transaction locks no more.
const SILENT_MAX: i64 = 500;
/// How many organizations with held reports org-svc is asked about at once: the most that it takes.
const HOLDING_MAX: u64 = 500;

/// Has it told of instances that are silent and of whom it was not told since their last report: those
/// that are found within a while are one notice. A look goes once past those that are silent.
///
/// # Errors
/// The database is away; whoever was not taken note of is found next time.
pub(crate) async fn watch_silence(parts: &Parts) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let found = tell_silent(parts, after).await.map_err(db_fault)?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = Some((last.since, last.organization_id));
    }
}

/// Tells of the next silent instances: that it was told is stored with the notice.
async fn tell_silent(
    parts: &Parts,
    after: Option<SilentCursor>,
) -> Result<Vec<Silent>, StoreError> {
    let now = parts.deps.clock.now();
    let silent = now - parts.patience.silent_after;
    let due = now + parts.silence_gathered;
    let txn = parts.db.begin().await?;
    let found = notices::mark_silent(&txn, after, silent, SILENT_MAX).await?;
    notices::gather_silent(&txn, parts.deps.ids.next(), &found, now, due).await?;
    txn.commit().await?;
    Ok(found)
}

/// Has it told of held reports whose invoice is final within a day. Of its period org-svc is asked,
/// without a transaction.
///
/// # Errors
/// The database or org-svc is away; what was not looked at is looked at next time.
pub(crate) async fn watch_holds(parts: &Parts) -> Result<(), Fault> {
    let mut after = Uuid::nil();
    loop {
        let holding = notices::holding_after(&parts.db, after, HOLDING_MAX)
            .await
            .map_err(db_fault)?;
        let Some(last) = holding.last() else {
            return Ok(());
        };
        after = last.organization_id;
        let periods = periods(parts, &holding).await?;
        notices::keep_periods(&parts.db, &periods)
            .await
            .map_err(db_fault)?;
        let periods: HashMap<_, _> = periods.into_iter().collect();
        for it in &holding {
            let now = parts.deps.clock.now();
            let period = periods.get(&it.organization_id);
            let deadline = period.and_then(|period| near_deadline(it.span(), *period, now));
            if let Some(deadline) = deadline {
                tell_ending(parts, it, deadline, now)
                    .await
                    .map_err(db_fault)?;
            }
        }
    }
}

/// The present periods of organizations.
async fn periods(parts: &Parts, holding: &[Holding]) -> Result<Vec<(Uuid, Period)>, Fault> {
    let ids = holding.iter().map(|it| it.organization_id.to_string());
    let request = BatchGetOrganizationsRequest {
        organization_ids: ids.collect(),
    };
    let mut org = parts.org.clone();
    let answer = org.batch_get_organizations(request).await;
    let organizations = answer
        .map_err(Fault::from_status)?
        .into_inner()
        .organizations;
    let time =
        |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(proto_time::from_proto);
    organizations
        .iter()
        .map(|it| {
            let period = Period {
                start: time(&it.current_period_start_time),
                end: time(&it.current_period_end_time),
            };
            Ok((it.id.parse().map_err(Fault::internal)?, period))
        })
        .collect()
}

/// Tells once of a deadline: that it was told is stored with the notice.
async fn tell_ending(
    parts: &Parts,
    holding: &Holding,
    deadline: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let organization_id = holding.organization_id;
    let txn = parts.db.begin().await?;
    if notices::mark_deadline(&txn, organization_id, deadline).await? {
        let notice = NewNotice::hold_ending(organization_id, holding.held_count, deadline);
        notices::tell(&txn, &[notice], now).await?;
    }
    txn.commit().await?;
    Ok(())
}
