//! Unlinks an organization whose subscription has ended.

use billing_kit::Fault;
use billing_proto::org::v1::{UnlinkOrganizationRequest, UnlinkOrganizationResponse};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::organization::Organization, upstream::internal_fault};

impl App {
    /// Unlinks an organization, or finds it unlinked. Whether the reason will do is org-svc's to say.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; LINK_CONFLICT while its subscription goes on, and when it was never
    /// linked.
    pub(crate) async fn unlink_organization(
        &self,
        admin: &Admin,
        id: Uuid,
        reason: String,
    ) -> Result<Organization, Fault> {
        let request = admin.request(UnlinkOrganizationRequest {
            organization_id: id.to_string(),
            reason,
        });
        let UnlinkOrganizationResponse { organization } = self
            .upstream
            .linking
            .clone()
            .unlink_organization(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        translate::organization(organization.unwrap_or_default())
    }
}
