//! Gets what org-svc knows of several organizations.

use std::collections::{BTreeSet, HashMap};

use billing_kit::Fault;
use billing_proto::admin::v1::Organization;
use billing_proto::org::v1::{BatchGetOrganizationsRequest, BatchGetOrganizationsResponse};

use super::{Admin, App, translate};
use crate::upstream::internal_fault;

impl App {
    /// The organizations of these ids, at most 500; one that there is none of is left out.
    ///
    /// # Errors
    /// An id that is none; org-svc could not be asked.
    pub(crate) async fn batch_get_organizations(
        &self,
        admin: &Admin,
        organization_ids: Vec<String>,
    ) -> Result<HashMap<String, Organization>, Fault> {
        if organization_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let request = admin.request(BatchGetOrganizationsRequest { organization_ids });
        let mut organizations = self.upstream.organizations.clone();
        let answer = organizations.batch_get_organizations(request).await;
        let BatchGetOrganizationsResponse { organizations } =
            answer.map_err(internal_fault)?.into_inner();
        let organizations = organizations.into_iter().map(translate::organization);
        Ok(organizations.map(|it| (it.id.clone(), it)).collect())
    }

    /// What the organizations of these ids are called, by id.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn organization_names(
        &self,
        admin: &Admin,
        organization_ids: impl Iterator<Item = String>,
    ) -> Result<HashMap<String, String>, Fault> {
        let ids: BTreeSet<_> = organization_ids.collect();
        let ids = ids.into_iter().collect();
        let known = self.batch_get_organizations(admin, ids).await?;
        let named = known.into_values();
        Ok(named.map(|it| (it.id, it.name)).collect())
    }
}
