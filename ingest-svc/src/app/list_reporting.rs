//! `ListReporting`: the organizations that are late, or silent, or on time, a page at a time.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use super::batch_get_reporting::{Observed, observed};
use crate::{
    Parts,
    domain::expectation::ReportingState,
    store::reporting::{self, ExpectedEnd},
};

/// A page of organizations, those first that have been silent longest.
#[derive(Debug)]
pub(crate) struct ReportingPage {
    pub(crate) reporting: Vec<Observed>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<ExpectedEnd>,
}

/// Lists the organizations in a state after `after`, at most `size`.
pub(crate) async fn list_reporting(
    parts: &Parts,
    state: ReportingState,
    after: Option<ExpectedEnd>,
    size: u32,
) -> Result<ReportingPage, Fault> {
    let now = parts.deps.clock.now();
    let span = parts.patience.span(state, now);
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(size) + 1;
    let mut found = reporting::list_expected(&parts.db, span, after, limit)
        .await
        .map_err(db_fault)?;
    let size = usize::try_from(size).map_err(Fault::internal)?;
    let more = found.len() > size;
    found.truncate(size);
    let next = found
        .last()
        .filter(|_| more)
        .and_then(|last| Some((last.expected_since?, last.organization_id)));
    let reporting = found
        .into_iter()
        .map(|it| observed(it, parts.patience, now))
        .collect();
    Ok(ReportingPage { reporting, next })
}
