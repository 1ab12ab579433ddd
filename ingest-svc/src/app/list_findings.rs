//! `ListFindings`: where Stripe's books differ from ours, a page at a time.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use crate::{
    Parts,
    domain::finding::Finding,
    store::findings::{self, FindingsEnd},
};

/// A page of findings, the latest day first.
#[derive(Debug)]
pub(crate) struct FindingsPage {
    pub(crate) findings: Vec<Finding>,
    /// Where the next page begins; none after the last.
    pub(crate) next: Option<FindingsEnd>,
}

/// Lists findings after `after`, at most `size`.
pub(crate) async fn list_findings(
    parts: &Parts,
    after: Option<FindingsEnd>,
    include_closed: bool,
    size: u32,
) -> Result<FindingsPage, Fault> {
    // One more than asked for tells whether there is a next page.
    let limit = u64::from(size) + 1;
    let mut findings = findings::list(&parts.db, after, include_closed, limit)
        .await
        .map_err(db_fault)?;
    let size = usize::try_from(size).map_err(Fault::internal)?;
    let more = findings.len() > size;
    findings.truncate(size);
    let next = findings
        .last()
        .filter(|_| more)
        .map(|last| (last.day, last.id));
    Ok(FindingsPage { findings, next })
}
