//! Makes a link to Stripe's customer portal, to be sent to the customer.

use billing_kit::Fault;
use billing_proto::{
    common::v1::ErrorReason,
    stripe::v1::{CreatePortalSessionRequest, CreatePortalSessionResponse},
};
use uuid::Uuid;

use super::{Admin, App};
use crate::{domain::words::filled, upstream::internal_fault};

impl App {
    /// Makes a link for an organization's customer. It is a secret of the customer's, and ends by
    /// itself.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; LINK_CONFLICT while it is not linked; STRIPE_REFUSED with Stripe's
    /// reason; Stripe did not say.
    pub(crate) async fn create_portal_session(
        &self,
        admin: &Admin,
        id: Uuid,
    ) -> Result<String, Fault> {
        let organization = self.get_organization(admin, id).await?;
        let stripe_customer_id = filled(organization.stripe_customer_id).ok_or_else(|| {
            Fault::new(
                ErrorReason::LinkConflict,
                "The organization is not linked: it has no customer in Stripe.",
            )
        })?;
        let request = admin.request(CreatePortalSessionRequest { stripe_customer_id });
        let CreatePortalSessionResponse { url } = self
            .upstream
            .customers
            .clone()
            .create_portal_session(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(url)
    }
}
