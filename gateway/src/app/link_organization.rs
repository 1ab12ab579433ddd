//! Links an organization to Stripe.

use billing_kit::Fault;
use billing_proto::{
    admin::v1 as admin,
    org::v1::{self as org, LinkOrganizationRequest},
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::link_terms::LinkTerms, upstream::internal_fault};

impl App {
    /// Links an organization on these terms, or finds it linked on them already.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; LINK_CONFLICT when it is linked, or being linked, on other terms;
    /// STRIPE_REFUSED with Stripe's reason; PRICE_NOT_FOUND.
    pub(crate) async fn link_organization(
        &self,
        admin: &Admin,
        id: Uuid,
        terms: &LinkTerms,
    ) -> Result<admin::LinkOrganizationResponse, Fault> {
        let request = admin.request(LinkOrganizationRequest {
            organization_id: id.to_string(),
            terms: Some(org::LinkTerms {
                admin_email: terms.admin_email().to_owned(),
                deployment_type: terms.deployment_type().into(),
                plan_type: terms.plan_type().into(),
                trial_days: Some(terms.trial_days()),
                adopt_customer_id: terms.adopt_customer_id().unwrap_or_default().to_owned(),
            }),
        });
        let org::LinkOrganizationResponse {
            organization,
            operation,
        } = self
            .upstream
            .linking
            .clone()
            .link_organization(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(admin::LinkOrganizationResponse {
            organization: organization.map(translate::organization),
            operation: operation.map(translate::link_operation),
        })
    }
}
