//! Events as Stripe holds them: a thin one is sent without what it has to tell.

use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};

use crate::{
    domain::ids::EventId,
    stripe::{Stripe, subscription_state::read_json, unknown::Unknown},
};

impl Stripe {
    /// A thin event with its data.
    ///
    /// # Errors
    /// Stripe did not say, or has no such event.
    pub(crate) async fn event(&self, id: &EventId) -> Result<Value, Unknown> {
        let path = format!("/v2/core/events/{id}");
        let reply = self
            .ask(&RequestBuilder::new(StripeMethod::Get, path))
            .await?;
        read_json(&reply.body)
    }
}
