//! GetOrganization: one organization with its latest link operation.

use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;

use super::{Described, Organizations};
use crate::{
    domain::organization::OrganizationId,
    store::{link_operations, organizations},
};

/// The fault of an id that nothing is known of.
pub(super) fn not_found() -> Fault {
    Fault::new(
        ErrorReason::OrganizationNotFound,
        "There is no such organization.",
    )
}

/// Gets one organization.
pub(crate) async fn get_organization(
    app: &Organizations,
    id: OrganizationId,
) -> Result<Described, Fault> {
    let organization = organizations::get(&app.db, id)
        .await?
        .ok_or_else(not_found)?;
    let operation = link_operations::latest_of_many(&app.db, &[id]).await?.pop();
    Ok(Described {
        organization,
        operation,
    })
}
