//! ListOrganizations: a page of organizations.

use std::collections::HashMap;

use billing_kit::Fault;

use super::{Described, Organizations};
use crate::{
    domain::page::{List, PageSize, Position},
    store::{link_operations, organizations},
};

/// A page, and where the next one begins; `None` after the last.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) organizations: Vec<Described>,
    pub(crate) next: Option<Position>,
}

/// A page of a list, behind a position.
pub(crate) async fn list_organizations(
    app: &Organizations,
    list: &List,
    after: Option<&Position>,
    size: PageSize,
) -> Result<Page, Fault> {
    let (found, more) = organizations::list(&app.db, list, after, size).await?;
    let last = found.last().filter(|_| more);
    let next = last.map(|last| Position::of(last, list.order));
    let ids: Vec<_> = found.iter().map(|organization| organization.id).collect();
    let mut operations: HashMap<_, _> = link_operations::latest_of_many(&app.db, &ids)
        .await?
        .into_iter()
        .map(|operation| (operation.organization_id, operation))
        .collect();
    let organizations = found
        .into_iter()
        .map(|organization| Described {
            operation: operations.remove(&organization.id),
            organization,
        })
        .collect();
    Ok(Page {
        organizations,
        next,
    })
}
