//! `DiscardReports`: keeps held reports and never bills them.

use billing_kit::{Fault, assertion::Admin};
use uuid::Uuid;

use super::decide_reports::{DecidedReports, Selection, decide};
use crate::{Parts, domain::hold::Decision};

/// Discards reports of an organization.
///
/// # Errors
/// One of them was never held, or was released.
pub(crate) async fn discard_reports(
    parts: &Parts,
    admin: &Admin,
    organization_id: Uuid,
    selection: Selection,
) -> Result<DecidedReports, Fault> {
    decide(
        parts,
        admin,
        organization_id,
        selection,
        Decision::Discarded,
    )
    .await
}
