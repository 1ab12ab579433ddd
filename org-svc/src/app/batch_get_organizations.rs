//! BatchGetOrganizations: some organizations by their ids.

use std::collections::HashMap;

use billing_kit::Fault;

use super::{Described, Organizations};
use crate::{
    domain::organization::OrganizationId,
    store::{link_operations, organizations},
};

/// Those of these organizations that are there, in no particular order.
pub(crate) async fn batch_get_organizations(
    app: &Organizations,
    ids: &[OrganizationId],
) -> Result<Vec<Described>, Fault> {
    let found = organizations::get_many(&app.db, ids).await?;
    let mut operations: HashMap<_, _> = link_operations::latest_of_many(&app.db, ids)
        .await?
        .into_iter()
        .map(|operation| (operation.organization_id, operation))
        .collect();
    Ok(found
        .into_iter()
        .map(|organization| Described {
            operation: operations.remove(&organization.id),
            organization,
        })
        .collect())
}
