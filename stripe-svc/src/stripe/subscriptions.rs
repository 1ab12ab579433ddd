//! Subscriptions.

use stripe_billing::subscription::{
    CreateSubscription, CreateSubscriptionBillingMode, CreateSubscriptionBillingModeType,
    CreateSubscriptionItems, ListSubscription, ListSubscriptionStatus,
};
use stripe_client_core::StripeRequest;
use stripe_shared::SubscriptionCollectionMethod;

use crate::{
    domain::{
        call::CallRequest,
        ids::{CustomerId, MeterId, OperationId, PriceId},
        provision::Provision,
        terms::SubscriptionStatus,
    },
    stripe::{
        PAGE_SIZE, PAGES_MAX, Stripe,
        customers::{metadata, too_many_pages},
        form::to_stored,
        objects::{ListOf, MarkedObject},
        unknown::Unknown,
    },
};

/// The request that creates an organization's subscription.
pub(crate) fn create_request(
    terms: &Provision,
    customer: &CustomerId,
    price: &PriceId,
    days_until_due: u32,
) -> CallRequest {
    let mut item = CreateSubscriptionItems::new();
    item.price = Some(price.to_string());
    // Explicit, though it is today's default: usage is billed at the price in force when it was
    // reported, and a price that changes in mid-period drops nothing.
    let flexible = CreateSubscriptionBillingMode::new(CreateSubscriptionBillingModeType::Flexible);
    let mut request = CreateSubscription::new()
        .customer(customer.as_str())
        .items(vec![item])
        .billing_mode(flexible)
        .collection_method(SubscriptionCollectionMethod::SendInvoice)
        .days_until_due(days_until_due)
        .metadata(metadata(terms.operation_id, terms.organization_id));
    if let Some(days) = terms.trial_days.days() {
        request = request.trial_period_days(days);
    }
    to_stored(request.build())
}

/// A subscription, as far as it matters whether it bills a meter.
#[derive(Debug, miniserde::Deserialize)]
struct LiveSubscription {
    id: String,
    status: String,
    items: ListOf<LiveItem>,
}

#[derive(Debug, miniserde::Deserialize)]
struct LiveItem {
    price: LivePrice,
}

#[derive(Debug, miniserde::Deserialize)]
struct LivePrice {
    recurring: Option<LiveRecurring>,
}

#[derive(Debug, miniserde::Deserialize)]
struct LiveRecurring {
    meter: Option<String>,
}

impl LiveSubscription {
    fn bills(&self, meter: &MeterId) -> bool {
        let status = SubscriptionStatus::from_stripe(&self.status);
        let recurring = self.items.data.iter().map(|item| &item.price.recurring);
        let mut meters = recurring.flatten().filter_map(|it| it.meter.as_deref());
        !status.is_some_and(SubscriptionStatus::is_final) && meters.any(|it| it == meter.as_str())
    }
}

impl Stripe {
    /// The subscription that an operation created for a customer, if it did; ended ones included.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn find_subscription(
        &self,
        customer: &str,
        operation: OperationId,
    ) -> Result<Option<String>, Unknown> {
        let mut list = ListSubscription::new()
            .customer(customer)
            .status(ListSubscriptionStatus::All)
            .limit(PAGE_SIZE);
        for _ in 0..PAGES_MAX {
            let page: ListOf<MarkedObject> = list
                .build()
                .customize()
                .send(&self.transport)
                .await
                .map_err(Unknown::from)?;
            if let Some(found) = page.data.iter().find(|it| it.is_of(operation)) {
                return Ok(Some(found.id.clone()));
            }
            match page.data.last().filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(&*last.id),
                None => return Ok(None),
            }
        }
        Err(too_many_pages())
    }

    /// A subscription of this customer that is not over and bills this meter: beside it another one
    /// would bill everything twice.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn billing_subscription(
        &self,
        customer: &CustomerId,
        meter: &MeterId,
    ) -> Result<Option<String>, Unknown> {
        let mut list = ListSubscription::new()
            .customer(customer.as_str())
            .limit(PAGE_SIZE);
        for _ in 0..PAGES_MAX {
            let page: ListOf<LiveSubscription> = list
                .build()
                .customize()
                .send(&self.transport)
                .await
                .map_err(Unknown::from)?;
            if let Some(found) = page.data.iter().find(|it| it.bills(meter)) {
                return Ok(Some(found.id.clone()));
            }
            match page.data.last().filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(&*last.id),
                None => return Ok(None),
            }
        }
        Err(too_many_pages())
    }
}
