//! Subscriptions.

use stripe_billing::subscription::{
    CancelSubscription, CreateSubscription, CreateSubscriptionBillingMode,
    CreateSubscriptionBillingModeType, CreateSubscriptionItems, ListSubscription,
    ListSubscriptionStatus, RetrieveSubscription, UpdateSubscription, UpdateSubscriptionItems,
    UpdateSubscriptionProrationBehavior,
};
use stripe_client_core::StripeRequest;
use stripe_shared::SubscriptionCollectionMethod;

use crate::{
    domain::{
        call::CallRequest,
        ids::{CustomerId, MeterId, OperationId, PriceId, SubscriptionId},
        provision::Provision,
        refusal::Refusal,
        terms::SubscriptionStatus,
    },
    stripe::{
        PAGE_SIZE, PAGES_MAX, Stripe,
        customers::{metadata, too_many_pages},
        form::to_stored,
        objects::{ListOf, MarkedObject},
        transport::ReadError,
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

/// The request that changes the price of an item; `app::update_subscription` says why so.
pub(crate) fn price_request(
    subscription: &SubscriptionId,
    item: &str,
    price: &PriceId,
) -> CallRequest {
    let mut changed = UpdateSubscriptionItems::new();
    changed.id = Some(item.to_owned());
    changed.price = Some(price.to_string());
    let request = UpdateSubscription::new(subscription.as_str())
        .items(vec![changed])
        .proration_behavior(UpdateSubscriptionProrationBehavior::CreateProrations);
    to_stored(request.build())
}

/// The request that lets a subscription end with its period.
pub(crate) fn cancel_at_period_end_request(subscription: &SubscriptionId) -> CallRequest {
    let request = UpdateSubscription::new(subscription.as_str()).cancel_at_period_end(true);
    to_stored(request.build())
}

/// The request that ends a subscription at once and invoices what was used.
pub(crate) fn cancel_now_request(subscription: &SubscriptionId) -> CallRequest {
    let request = CancelSubscription::new(subscription.as_str()).invoice_now(true);
    to_stored(request.build())
}

/// The request that ends a subscription at once of which nothing was used: there is nothing to invoice.
pub(crate) fn cancel_unused_request(subscription: &SubscriptionId) -> CallRequest {
    to_stored(CancelSubscription::new(subscription.as_str()).build())
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
    id: String,
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
        !status.is_some_and(SubscriptionStatus::is_final) && self.item_on(meter).is_some()
    }

    fn item_on(&self, meter: &MeterId) -> Option<&LiveItem> {
        let meter_of = |item: &LiveItem| item.price.recurring.as_ref()?.meter.clone();
        let mut items = self.items.data.iter();
        items.find(|item| meter_of(item).as_deref() == Some(meter.as_str()))
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

    /// The item of a subscription that bills this meter, or why there is no such subscription.
    ///
    /// # Errors
    /// Stripe did not say.
    pub(crate) async fn billing_item(
        &self,
        subscription: &SubscriptionId,
        meter: &MeterId,
    ) -> Result<Result<Option<String>, Refusal>, Unknown> {
        let request = RetrieveSubscription::new(subscription.as_str());
        let found: Result<LiveSubscription, ReadError> =
            request.build().customize().send(&self.transport).await;
        match found {
            Ok(found) => Ok(Ok(found.item_on(meter).map(|item| item.id.clone()))),
            Err(ReadError::Refused(refusal)) => Ok(Err(refusal)),
            Err(ReadError::Unknown(unknown)) => Err(unknown),
        }
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
