//! `ListRefusedReports`: the reports that Stripe refused, a page at a time.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use crate::{
    Parts,
    store::{
        holds::HeldEnd,
        reports::{self, RecordedReport},
    },
};

/// A page of refused reports, by organization and time.
#[derive(Debug)]
pub(crate) struct RefusedPage {
    pub(crate) reports: Vec<RecordedReport>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<HeldEnd>,
}

/// Lists refused reports after `after`, at most `size`.
pub(crate) async fn list_refused_reports(
    parts: &Parts,
    after: Option<HeldEnd>,
    size: u32,
) -> Result<RefusedPage, Fault> {
    let size = usize::try_from(size).map_err(Fault::internal)?;
    // One more than asked for tells whether there is a next page.
    let limit = u64::try_from(size).map_err(Fault::internal)? + 1;
    let mut reports = reports::list_refused(&parts.db, after, limit)
        .await
        .map_err(db_fault)?;
    let more = reports.len() > size;
    reports.truncate(size);
    let next = reports
        .last()
        .filter(|_| more)
        .and_then(|last| Some((last.organization_id, last.reported_at?, last.id)));
    Ok(RefusedPage { reports, next })
}
