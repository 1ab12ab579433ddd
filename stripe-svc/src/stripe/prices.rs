//! Prices, by the catalog's lookup keys.

use stripe_client_core::StripeRequest;
use stripe_product::price::ListPrice;

use crate::{
    domain::ids::PriceId,
    stripe::{
        Stripe,
        objects::{CreatedObject, ListOf},
        unknown::Unknown,
    },
};

impl Stripe {
    /// The price that has a lookup key and is open to new subscriptions; believed for a minute.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn price(&self, lookup_key: &str) -> Result<Option<PriceId>, Unknown> {
        if let Some(known) = self.prices.get(lookup_key) {
            return Ok(Some(known));
        }
        let page: ListOf<CreatedObject> = ListPrice::new()
            .lookup_keys(vec![lookup_key.to_owned()])
            .active(true)
            .build()
            .customize()
            .send(&self.transport)
            .await
            .map_err(Unknown::from)?;
        let price = page.data.first().map(|price| PriceId::new(&*price.id));
        if let Some(price) = &price {
            self.prices.put(lookup_key, price.clone());
        }
        Ok(price)
    }

    /// Asks again the next time: Stripe refused something that was made with this price.
    pub(crate) fn forget_price(&self, lookup_key: &str) {
        self.prices.forget(lookup_key);
    }
}
