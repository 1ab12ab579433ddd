//! Hands what Stripe sends to stripe-svc.

use billing_kit::Fault;
use billing_proto::stripe::v1::ReceiveWebhookRequest;
use bytes::Bytes;

use super::App;
use crate::upstream::internal_fault;

impl App {
    /// Has a webhook verified and stored. It is stored once this has ended well.
    ///
    /// # Errors
    /// SIGNATURE_INVALID; UNAVAILABLE while stripe-svc or its database is away.
    pub(crate) async fn receive_webhook(
        &self,
        payload: Bytes,
        signature: String,
    ) -> Result<(), Fault> {
        let request = ReceiveWebhookRequest {
            payload: payload.into(),
            signature,
        };
        let mut inbox = self.upstream.webhooks.clone();
        let received = inbox.receive_webhook(request).await;
        received.map_err(internal_fault).map(drop)
    }
}
