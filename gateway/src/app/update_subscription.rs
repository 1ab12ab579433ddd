//! Changes what an organization is billed on.

use billing_kit::Fault;
use billing_proto::{
    admin::v1 as admin,
    org::v1::{UpdateSubscriptionRequest, UpdateSubscriptionResponse},
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::{domain::subscription_change::SubscriptionUpdate, upstream::internal_fault};

impl App {
    /// Changes an organization's address, deployment type or plan.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; LINK_CONFLICT without a subscription that goes on, and while another
    /// operation is under way; STRIPE_REFUSED with Stripe's reason; PRICE_NOT_FOUND.
    pub(crate) async fn update_subscription(
        &self,
        admin: &Admin,
        id: Uuid,
        update: &SubscriptionUpdate,
    ) -> Result<admin::UpdateSubscriptionResponse, Fault> {
        let request = admin.request(UpdateSubscriptionRequest {
            organization_id: id.to_string(),
            admin_email: update.admin_email().map(str::to_owned),
            deployment_type: update.deployment_type().map(Into::into),
            plan_type: update.plan_type().map(Into::into),
        });
        let UpdateSubscriptionResponse {
            organization,
            operation,
        } = self
            .upstream
            .linking
            .clone()
            .update_subscription(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(admin::UpdateSubscriptionResponse {
            organization: organization.map(translate::organization),
            operation: operation.map(translate::link_operation),
        })
    }
}
