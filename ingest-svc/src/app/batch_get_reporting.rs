//! `BatchGetReporting`: what is known of the reporting of some organizations.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    Parts,
    domain::expectation::{Patience, ReportingState},
    store::reporting::{self, Reporting},
};

/// An organization's reporting, and what the clock says of it.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) reporting: Reporting,
    /// None where no report is expected.
    pub(crate) state: Option<ReportingState>,
    /// When the next report is late.
    pub(crate) due_at: Option<DateTime<Utc>>,
}

/// The reporting of each of these organizations that has reported or is expected to.
pub(crate) async fn batch_get_reporting(
    parts: &Parts,
    organizations: Vec<Uuid>,
) -> Result<Vec<Observed>, Fault> {
    let now = parts.deps.clock.now();
    let found = reporting::get_many(&parts.db, organizations)
        .await
        .map_err(db_fault)?;
    Ok(found
        .into_iter()
        .map(|reporting| observed(reporting, parts.patience, now))
        .collect())
}

pub(super) fn observed(reporting: Reporting, patience: Patience, now: DateTime<Utc>) -> Observed {
    let since = reporting.expected_since;
    Observed {
        state: since.map(|since| patience.state(since, now)),
        due_at: since.map(|since| since + patience.late_after),
        reporting,
    }
}
