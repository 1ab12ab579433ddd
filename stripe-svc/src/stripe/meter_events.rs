//! Meter events.

use std::collections::HashMap;

use stripe_billing::billing_meter_event::CreateBillingMeterEvent;
use stripe_client_core::StripeRequest;

use crate::{
    domain::{catalog::CatalogMeter, ids::IdempotencyKey, stored_event::StoredEvent},
    stripe::{
        Stripe,
        form::{to_sent, to_stored},
        transport::{Answer, Budget},
        unknown::Unknown,
    },
};

impl Stripe {
    /// Sends one event. The time is always sent: without it the usage would count at the moment of
    /// its arrival, perhaps in the next period.
    ///
    /// # Errors
    /// The outcome is not known.
    pub(crate) async fn send_event(
        &self,
        stored: &StoredEvent,
        meter: &CatalogMeter,
        key: &IdempotencyKey,
        budget: Budget,
    ) -> Result<Answer, Unknown> {
        let event = &stored.event;
        let payload = HashMap::from(meter.payload(&event.customer_id, event.seats.get()));
        let request = CreateBillingMeterEvent::new(&*stored.event_name, payload)
            .identifier(event.identifier.as_str())
            .timestamp(event.event_at.timestamp());
        // Through the stored form, whose order is always the same: the payload's map has none.
        let request = to_sent(&to_stored(request.build()));
        self.transport.send(&request, Some(key), budget).await
    }
}
