//! Ends an organization's subscription.

use billing_kit::Fault;
use billing_proto::{
    common::v1::CancelMode,
    org::v1::{CancelSubscriptionRequest, CancelSubscriptionResponse},
};
use uuid::Uuid;

use super::{Admin, App, Change, translate};
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
    ) -> Result<Change, Fault> {
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
        Ok(Change {
            organization: translate::organization(organization.unwrap_or_default())?,
            operation: operation.map(translate::link_operation).transpose()?,
        })
    }
}
