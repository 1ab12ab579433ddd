//! `ListUsageReports`: an organization's reports, a page at a time.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use uuid::Uuid;

use crate::{
    Parts,
    store::reports::{self, PageEnd, RecordedReport},
};

/// A page of reports, the latest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) reports: Vec<RecordedReport>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<PageEnd>,
}

/// Lists an organization's reports after `after`, at most `size`.
pub(crate) async fn list_usage_reports(
    parts: &Parts,
    organization_id: Uuid,
    after: Option<PageEnd>,
    size: u32,
) -> Result<Page, Fault> {
    let size = usize::try_from(size).map_err(Fault::internal)?;
    // One more than asked for tells whether there is a next page.
    let limit = u64::try_from(size).map_err(Fault::internal)? + 1;
    let mut reports = reports::list(&parts.db, organization_id, after, limit)
        .await
        .map_err(db_fault)?;
    let more = reports.len() > size;
    reports.truncate(size);
    let next = reports
        .last()
        .filter(|_| more)
        .and_then(|last| last.reported_at.map(|time| (time, last.id)));
    Ok(Page { reports, next })
}
