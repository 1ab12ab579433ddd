//! Tells what a link would make and cost, before anything is done.

use billing_kit::Fault;
use billing_proto::{
    common::v1::{ErrorReason, SubscriptionPreview},
    stripe::v1::{
        PreviewSubscriptionRequest, PreviewSubscriptionResponse, StripeRefusal,
        preview_subscription_response::Outcome,
    },
};
use uuid::Uuid;

use super::{Admin, App};
use crate::{domain::link_terms::LinkTerms, upstream::internal_fault};

/// stripe-svc's code for a gap in the catalog.
const PRICE_NOT_FOUND: &str = "price_not_found";

impl App {
    /// What a link of this organization on these terms would make. The estimate goes by its latest
    /// report.
    ///
    /// # Errors
    /// ORGANIZATION_NOT_FOUND; PRICE_NOT_FOUND; Stripe did not say.
    pub(crate) async fn preview_link(
        &self,
        admin: &Admin,
        id: Uuid,
        terms: &LinkTerms,
    ) -> Result<SubscriptionPreview, Fault> {
        let organization = self.get_organization(admin, id).await?;
        let request = admin.request(PreviewSubscriptionRequest {
            organization_id: id.to_string(),
            admin_email: terms.admin_email().to_owned(),
            deployment_type: terms.deployment_type().into(),
            plan_type: terms.plan_type().into(),
            trial_days: terms.trial_days(),
            seat_count: organization.user_count,
        });
        let PreviewSubscriptionResponse { outcome } = self
            .upstream
            .customers
            .clone()
            .preview_subscription(request)
            .await
            .map_err(internal_fault)?
            .into_inner();
        match outcome {
            Some(Outcome::Preview(preview)) => Ok(preview),
            Some(Outcome::Refusal(refusal)) => Err(refused(refusal)),
            None => Err(Fault::internal("stripe-svc answered a preview without one")),
        }
    }
}

/// A no, in the words of whoever said it.
fn refused(refusal: StripeRefusal) -> Fault {
    let StripeRefusal {
        code,
        message,
        param,
        stripe_request_id,
    } = refusal;
    let reason = if code == PRICE_NOT_FOUND {
        ErrorReason::PriceNotFound
    } else {
        ErrorReason::StripeRefused
    };
    Fault::new(reason, message)
        .with("stripe_code", code)
        .with("stripe_param", param)
        .with("stripe_request_id", stripe_request_id)
}
