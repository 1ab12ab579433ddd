//! `ReleaseReports`: sends held reports, as far as the rules of delivery permit.

use billing_kit::{Fault, assertion::Admin};
use uuid::Uuid;

use super::decide_reports::{DecidedReports, Selection, decide};
use crate::{Parts, domain::hold::Decision};

/// Releases reports of an organization.
///
/// # Errors
/// One of them was never held, or was discarded.
pub(crate) async fn release_reports(
    parts: &Parts,
    admin: &Admin,
    organization_id: Uuid,
    selection: Selection,
) -> Result<DecidedReports, Fault> {
    decide(parts, admin, organization_id, selection, Decision::Released).await
}
