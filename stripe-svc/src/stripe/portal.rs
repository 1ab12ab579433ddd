//! Stripe's customer portal.

use serde::Deserialize;

use crate::{
    domain::ids::CustomerId,
    stripe::{ReadError, Stripe, form::post, subscription_state::unreadable},
};

#[derive(Deserialize)]
struct PortalSession {
    url: String,
}

impl Stripe {
    /// A link for a customer, that ends by itself.
    ///
    /// # Errors
    /// Stripe did not say, or will not: there is no such customer, or the account's portal was never
    /// set up.
    pub(crate) async fn portal_session(&self, customer: &CustomerId) -> Result<String, ReadError> {
        let request = post(
            "/billing_portal/sessions",
            &[("customer", customer.as_str())],
        );
        let made: PortalSession = serde_json::from_value(self.look(&request).await?)
            .map_err(|error| unreadable(format!("Stripe's link cannot be read: {error}.")))?;
        Ok(made.url)
    }
}
