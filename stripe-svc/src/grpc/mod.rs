//! Between the wire and the use cases: messages become domain types and back, faults statuses.

mod changes;
mod customer_service;
mod meter_event_service;
mod subscription_service;
mod webhook_service;

use std::sync::Arc;

use billing_proto::stripe::v1::StripeRefusal;

use crate::{app::App, domain::refusal::Refusal};

pub(crate) use customer_service::CustomerDoor;
pub(crate) use webhook_service::WebhookDoor;

/// Both services that bring something to Stripe.
#[derive(Debug, Clone)]
pub(crate) struct StripeDoor(pub(crate) Arc<App>);

impl From<Refusal> for StripeRefusal {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            code,
            message,
            param,
            request_id,
        } = refusal;
        Self {
            code,
            message,
            param: param.unwrap_or_default(),
            stripe_request_id: request_id.unwrap_or_default(),
        }
    }
}
