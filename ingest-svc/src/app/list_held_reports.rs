//! `ListHeldReports`: the reports that wait for a person, a page at a time.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    Parts,
    domain::notice::{DRAFT_TIME, HOLD_NOTICE},
    store::holds::{self, HeldEnd, HeldFilter, HeldReport},
};

/// A page of held reports, by organization and time.
#[derive(Debug)]
pub(crate) struct HeldPage {
    pub(crate) reports: Vec<HeldReport>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<HeldEnd>,
}

/// What is held of a period that ends before this is urgent: its invoice is final within a day, or was.
pub(super) fn urgent_before(now: DateTime<Utc>) -> DateTime<Utc> {
    now + HOLD_NOTICE - DRAFT_TIME
}

/// Lists held reports after `after`, at most `size`; of one organization, or of all; all of them, or those
/// that are urgent.
pub(crate) async fn list_held_reports(
    parts: &Parts,
    organization_id: Option<Uuid>,
    is_urgent: bool,
    after: Option<HeldEnd>,
    size: u32,
) -> Result<HeldPage, Fault> {
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(size) + 1;
    let filter = HeldFilter {
        organization_id,
        period_ends_before: is_urgent.then(|| urgent_before(parts.deps.clock.now())),
    };
    let mut reports = holds::list(&parts.db, filter, after, limit)
        .await
        .map_err(db_fault)?;
    let size = usize::try_from(size).map_err(Fault::internal)?;
    let more = reports.len() > size;
    reports.truncate(size);
    let next = reports
        .last()
        .filter(|_| more)
        .map(|last| (last.organization_id, last.reported_at, last.id));
    Ok(HeldPage { reports, next })
}
