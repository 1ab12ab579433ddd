//! Has an event of Stripe's processed anew.

use billing_kit::Fault;
use billing_proto::stripe::v1::{RetryWebhookEventRequest, RetryWebhookEventResponse};

use super::{Admin, App, translate};
use crate::{domain::webhook_event::WebhookEvent, upstream::internal_fault};

impl App {
    /// Puts an event into the queue again.
    ///
    /// # Errors
    /// There is no such event; stripe-svc away.
    pub(crate) async fn retry_webhook_event(
        &self,
        admin: &Admin,
        event_id: String,
    ) -> Result<WebhookEvent, Fault> {
        let request = admin.request(RetryWebhookEventRequest { event_id });
        let mut inbox = self.upstream.webhooks.clone();
        let retried = inbox.retry_webhook_event(request).await;
        let RetryWebhookEventResponse { event } = retried.map_err(internal_fault)?.into_inner();
        translate::webhook_event(event.unwrap_or_default())
    }
}
