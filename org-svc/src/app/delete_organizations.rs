//! DeleteOrganizations: forgets organizations that nobody ever linked, after 13 months.

use billing_kit::Fault;

use super::{Organizations, list_expired_organizations::expired_before};
use crate::{
    domain::organization::OrganizationId,
    store::expired::{self, Deletion},
};

/// Deletes those that are expired and have no report left, each for itself; answers which of these
/// ids are not there any more.
pub(crate) async fn delete_organizations(
    app: &Organizations,
    ids: &[OrganizationId],
) -> Result<Vec<OrganizationId>, Fault> {
    let before = expired_before(app.clock.now());
    let mut gone = Vec::new();
    for id in ids {
        match expired::delete(&app.db, *id, before).await? {
            Deletion::Gone => gone.push(*id),
            Deletion::Kept => {}
        }
    }
    Ok(gone)
}
