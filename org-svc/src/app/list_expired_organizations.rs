//! ListExpiredOrganizations: those that nobody ever linked and that are older than 13 months.
//!
//! ingest-svc asks for them, deletes the reports of those that are silent for as long, and then calls
//! DeleteOrganizations.

use billing_kit::Fault;
use chrono::{DateTime, Months, TimeDelta, Utc};

use super::Organizations;
use crate::{
    domain::{keyset::Keyset, organization::OrganizationId},
    store::{admissions, expired},
};

/// How many organizations are listed or deleted at once.
pub(crate) const EXPIRED_AT_ONCE_MAX: usize = 100;
/// How long an organization is kept that nobody links.
const KEPT: Months = Months::new(13);
/// How long the counts of new organizations are kept.
const ADMISSIONS_KEPT: TimeDelta = TimeDelta::days(400);

/// A page of ids, and where the next one begins; `None` after the last.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) ids: Vec<OrganizationId>,
    pub(crate) next: Option<Keyset>,
}

/// A page, the oldest first.
pub(crate) async fn list_expired_organizations(
    app: &Organizations,
    after: Option<Keyset>,
) -> Result<Expired, Fault> {
    let now = app.clock.now();
    if after.is_none() {
        let day = (now - ADMISSIONS_KEPT).date_naive();
        admissions::forget_before(&app.db, day).await?;
    }
    let found = expired::list(&app.db, expired_before(now), after, EXPIRED_AT_ONCE_MAX).await?;
    let next = found
        .last()
        .filter(|_| found.len() == EXPIRED_AT_ONCE_MAX)
        .copied();
    Ok(Expired {
        ids: found.iter().map(|row| OrganizationId(row.id)).collect(),
        next,
    })
}

/// What was created before is expired.
pub(super) fn expired_before(now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_sub_months(KEPT).unwrap_or(DateTime::UNIX_EPOCH)
}
