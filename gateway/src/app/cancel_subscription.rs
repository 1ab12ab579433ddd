//! Ends an organization's subscription.

use billing_kit::Fault;
use billing_proto::{
    admin::v1 as admin,
    common::v1::CancelMode,
    org::v1::{CancelSubscriptionRequest, CancelSubscriptionResponse},
};
use uuid::Uuid;

use super::{Admin, App, translate};
use crate::upstream::internal_fault;

impl App {
    /// Ends an organization's subscription, with its period or at once; then what was reported is
    /// delivered first, and the change is running meanwhile.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; LINK_CONFLICT without a subscription that goes on, and while another
    /// operation is under way; STRIPE_REFUSED with the reason.
    pub(crate) async fn cancel_subscription(
        &self,
        admin: &Admin,
        id: Uuid,
        mode: CancelMode,
    ) -> Result<admin::CancelSubscriptionResponse, Fault> {
        let request = admin.request(CancelSubscriptionRequest {
            organization_id: id.to_string(),
            mode: mode.into(),
        });
        let CancelSubscriptionResponse {
            organization,
            operation,
        } = self
            .upstream
            .linking
            .clone()
            .cancel_subscription(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        Ok(admin::CancelSubscriptionResponse {
            organization: organization.map(translate::organization),
            operation: operation.map(translate::link_operation),
        })
    }
}
