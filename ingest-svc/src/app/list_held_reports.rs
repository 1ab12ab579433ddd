//! `ListHeldReports`: the reports that wait for a person, a page at a time.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use uuid::Uuid;

use crate::{
    Parts,
    store::holds::{self, HeldEnd, HeldReport},
};

/// A page of held reports, by organization and time.
#[derive(Debug)]
pub(crate) struct HeldPage {
    pub(crate) reports: Vec<HeldReport>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<HeldEnd>,
}

/// Lists held reports after `after`, at most `size`; of one organization, or of all.
pub(crate) async fn list_held_reports(
    parts: &Parts,
    organization_id: Option<Uuid>,
    after: Option<HeldEnd>,
    size: u32,
) -> Result<HeldPage, Fault> {
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(size) + 1;
    let mut reports = holds::list(&parts.db, organization_id, after, limit)
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
