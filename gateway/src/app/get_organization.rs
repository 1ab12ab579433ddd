//! Gets one organization.

use billing_kit::Fault;
use billing_proto::{
    admin::v1::Organization,
    org::v1::{self as org, GetOrganizationRequest},
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::upstream::internal_fault;

impl App {
    /// Gets one organization, with what is known of its reporting.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND when there is none.
    pub(crate) async fn get_organization(
        &self,
        admin: &Admin,
        id: Uuid,
    ) -> Result<Organization, Fault> {
        let request = admin.request(GetOrganizationRequest {
            organization_id: id.to_string(),
        });
        let org::GetOrganizationResponse { organization } = self
            .upstream
            .organizations
            .clone()
            .get_organization(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        let mut organization = translate::organization(organization.unwrap_or_default());
        self.add_reporting(admin, std::slice::from_mut(&mut organization))
            .await?;
        Ok(organization)
    }
}
