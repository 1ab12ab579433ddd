//! Reads what Stripe has of the catalog, and makes what it lacks.

use std::{collections::HashMap, str::FromStr};

use rust_decimal::Decimal;
use stripe_billing::{
    BillingMeterEventTimeWindow,
    billing_meter::{
        CreateBillingMeter, CreateBillingMeterCustomerMapping,
        CreateBillingMeterCustomerMappingType, CreateBillingMeterDefaultAggregation,
        CreateBillingMeterDefaultAggregationFormula, CreateBillingMeterValueSettings,
        ListBillingMeter, ReactivateBillingMeter, UpdateBillingMeter,
    },
};
use stripe_client_core::{
    IdempotencyKey as StripeKey, RequestBuilder, RequestStrategy, StripeRequest,
};
use stripe_product::{
    price::{
        CreatePrice, CreatePriceRecurring, CreatePriceRecurringInterval,
        CreatePriceRecurringUsageType, ListPrice, UpdatePrice,
    },
    product::{CreateProduct, RetrieveProduct, UpdateProduct},
};
use stripe_shared::PriceTaxBehavior;
use stripe_types::Currency;
use uuid::Uuid;

use crate::{
    domain::{
        catalog::{Catalog, CatalogPrice, Formula, Interval, TaxBehavior},
        catalog_diff::{Found, FoundMeter, FoundPrice, FoundProduct},
        ids::{MeterId, PriceId},
    },
    stripe::{
        PAGE_SIZE, PAGES_MAX, Stripe,
        customers::too_many_pages,
        objects::{CreatedObject, ListOf},
        transport::ReadError,
    },
};

/// Metadata key of a price's lookup key when it was made: it stays when the key moves on.
const CATALOG_KEY: &str = "catalog_lookup_key";

#[derive(Debug, miniserde::Deserialize)]
struct MeterObject {
    id: String,
    event_name: String,
    display_name: String,
    status: String,
    event_time_window: Option<String>,
    default_aggregation: AggregationObject,
    customer_mapping: PayloadKeyObject,
    value_settings: PayloadKeyObject,
}

#[derive(Debug, miniserde::Deserialize)]
struct AggregationObject {
    formula: String,
}

#[derive(Debug, miniserde::Deserialize)]
struct PayloadKeyObject {
    event_payload_key: String,
}

#[derive(Debug, miniserde::Deserialize)]
struct ProductObject {
    active: bool,
    name: String,
    unit_label: Option<String>,
}

#[derive(Debug, miniserde::Deserialize)]
struct PriceObject {
    id: String,
    active: bool,
    lookup_key: Option<String>,
    metadata: Option<HashMap<String, String>>,
    product: String,
    currency: String,
    unit_amount_decimal: Option<String>,
    tax_behavior: Option<String>,
    recurring: Option<RecurringObject>,
}

#[derive(Debug, miniserde::Deserialize)]
struct RecurringObject {
    interval: String,
    interval_count: Option<u64>,
    meter: Option<String>,
}

impl From<MeterObject> for FoundMeter {
    fn from(meter: MeterObject) -> Self {
        Self {
            id: MeterId::new(meter.id),
            is_active: meter.status == "active",
            display_name: meter.display_name,
            formula: meter.default_aggregation.formula,
            event_time_window: meter.event_time_window,
            customer_key: meter.customer_mapping.event_payload_key,
            value_key: meter.value_settings.event_payload_key,
        }
    }
}

impl From<PriceObject> for FoundPrice {
    fn from(price: PriceObject) -> Self {
        let amount = price.unit_amount_decimal.as_deref();
        let (interval, interval_count, meter) = match price.recurring {
            Some(RecurringObject {
                interval,
                interval_count,
                meter,
            }) => (Some(interval), interval_count, meter),
            None => (None, None, None),
        };
        Self {
            id: PriceId::new(price.id),
            is_active: price.active,
            lookup_key: price.lookup_key,
            catalog_key: price.metadata.and_then(|mut it| it.remove(CATALOG_KEY)),
            product: price.product,
            currency: price.currency,
            unit_amount: amount.and_then(|text| Decimal::from_str(text).ok()),
            interval,
            interval_count,
            meter: meter.map(MeterId::new),
            tax_behavior: price.tax_behavior,
        }
    }
}

impl Stripe {
    /// What Stripe has of a catalog.
    ///
    /// # Errors
    /// Stripe refused or did not say.
    pub(crate) async fn find_catalog(&self, catalog: &Catalog) -> Result<Found, ReadError> {
        let mut prices = self.find_keyed_prices(catalog).await?;
        let product = self.find_product(catalog).await?;
        if product.is_some() {
            let known: Vec<_> = prices.iter().map(|price| price.id.clone()).collect();
            let others = self.find_product_prices(&catalog.product.id).await?;
            prices.extend(others.into_iter().filter(|it| !known.contains(&it.id)));
        }
        Ok(Found {
            meter: self.find_meter(&catalog.meter.event_name).await?,
            product,
            prices,
        })
    }

    /// The active meter of an event name, else an inactive one.
    async fn find_meter(&self, event_name: &str) -> Result<Option<FoundMeter>, ReadError> {
        let mut list = ListBillingMeter::new().limit(PAGE_SIZE);
        let mut inactive = None;
        for _ in 0..PAGES_MAX {
            let page: ListOf<MeterObject> = list.build().customize().send(&self.transport).await?;
            let last = page.data.last().map(|meter| meter.id.clone());
            for meter in page.data {
                if meter.event_name == event_name {
                    let meter = FoundMeter::from(meter);
                    if meter.is_active {
                        return Ok(Some(meter));
                    }
                    inactive = inactive.or(Some(meter));
                }
            }
            match last.filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(last),
                None => return Ok(inactive),
            }
        }
        Err(too_many_pages().into())
    }

    async fn find_product(&self, catalog: &Catalog) -> Result<Option<FoundProduct>, ReadError> {
        let request = RetrieveProduct::new(catalog.product.id.as_str()).build();
        match request
            .customize::<ProductObject>()
            .send(&self.transport)
            .await
        {
            Ok(product) => Ok(Some(FoundProduct {
                is_active: product.active,
                name: product.name,
                unit_label: product.unit_label,
            })),
            Err(ReadError::Refused(refusal)) if refusal.is_resource_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_keyed_prices(&self, catalog: &Catalog) -> Result<Vec<FoundPrice>, ReadError> {
        let keys = catalog.prices.iter().map(|price| price.lookup_key.clone());
        let page: ListOf<PriceObject> = ListPrice::new()
            .lookup_keys(keys.collect::<Vec<_>>())
            .limit(PAGE_SIZE)
            .build()
            .customize()
            .send(&self.transport)
            .await?;
        Ok(page.data.into_iter().map(FoundPrice::from).collect())
    }

    async fn find_product_prices(&self, product: &str) -> Result<Vec<FoundPrice>, ReadError> {
        let mut list = ListPrice::new()
            .product(product)
            .active(true)
            .limit(PAGE_SIZE);
        let mut prices = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: ListOf<PriceObject> = list.build().customize().send(&self.transport).await?;
            let last = page.data.last().map(|price| price.id.clone());
            prices.extend(page.data.into_iter().map(FoundPrice::from));
            match last.filter(|_| page.has_more == Some(true)) {
                Some(last) => list = list.starting_after(last),
                None => return Ok(prices),
            }
        }
        Err(too_many_pages().into())
    }

    /// Sends a change that needs no stored row: running `catalog apply` again finds what it did.
    async fn change(&self, request: RequestBuilder, key: Uuid) -> Result<String, ReadError> {
        let mut request = request.customize::<CreatedObject>();
        if let Ok(key) = StripeKey::new(format!("catalog-{key}")) {
            request = request.request_strategy(RequestStrategy::Idempotent(key));
        }
        Ok(request.send(&self.transport).await?.id)
    }

    pub(crate) async fn create_meter(
        &self,
        catalog: &Catalog,
        key: Uuid,
    ) -> Result<MeterId, ReadError> {
        let meter = &catalog.meter;
        let formula = match meter.formula {
            Formula::Sum => CreateBillingMeterDefaultAggregationFormula::Sum,
            Formula::Last => CreateBillingMeterDefaultAggregationFormula::Last,
        };
        let request = CreateBillingMeter::new(
            CreateBillingMeterDefaultAggregation::new(formula),
            &*meter.display_name,
            &*meter.event_name,
        )
        .event_time_window(BillingMeterEventTimeWindow::Day)
        .customer_mapping(CreateBillingMeterCustomerMapping::new(
            &*meter.customer_key,
            CreateBillingMeterCustomerMappingType::ById,
        ))
        .value_settings(CreateBillingMeterValueSettings::new(&*meter.value_key));
        Ok(MeterId::new(self.change(request.build(), key).await?))
    }

    pub(crate) async fn reactivate_meter(&self, id: &MeterId, key: Uuid) -> Result<(), ReadError> {
        let request = ReactivateBillingMeter::new(id.as_str());
        self.change(request.build(), key).await.map(drop)
    }

    pub(crate) async fn rename_meter(
        &self,
        id: &MeterId,
        name: &str,
        key: Uuid,
    ) -> Result<(), ReadError> {
        let request = UpdateBillingMeter::new(id.as_str()).display_name(name);
        self.change(request.build(), key).await.map(drop)
    }

    pub(crate) async fn create_product(
        &self,
        catalog: &Catalog,
        key: Uuid,
    ) -> Result<(), ReadError> {
        let request = CreateProduct::new(&*catalog.product.name)
            .id(&*catalog.product.id)
            .unit_label(&*catalog.product.unit_label);
        self.change(request.build(), key).await.map(drop)
    }

    pub(crate) async fn update_product(
        &self,
        catalog: &Catalog,
        key: Uuid,
    ) -> Result<(), ReadError> {
        let request = UpdateProduct::new(catalog.product.id.as_str())
            .name(&*catalog.product.name)
            .unit_label(&*catalog.product.unit_label)
            .active(true);
        self.change(request.build(), key).await.map(drop)
    }

    /// Makes a price, which takes its lookup key from whichever price has it.
    pub(crate) async fn create_price(
        &self,
        catalog: &Catalog,
        price: &CatalogPrice,
        meter: &MeterId,
        key: Uuid,
    ) -> Result<PriceId, ReadError> {
        let mut recurring = CreatePriceRecurring::new(match catalog.interval {
            Interval::Day => CreatePriceRecurringInterval::Day,
            Interval::Week => CreatePriceRecurringInterval::Week,
            Interval::Month => CreatePriceRecurringInterval::Month,
            Interval::Year => CreatePriceRecurringInterval::Year,
        });
        recurring.meter = Some(meter.to_string());
        recurring.usage_type = Some(CreatePriceRecurringUsageType::Metered);
        // A code that it does not know goes to Stripe as it stands, and is Stripe's to refuse.
        let Ok(currency) = Currency::from_str(&catalog.currency);
        let request = CreatePrice::new(currency)
            .product(&*catalog.product.id)
            .recurring(recurring)
            .unit_amount_decimal(price.unit_amount.normalize().to_string())
            .tax_behavior(match catalog.tax_behavior {
                TaxBehavior::Exclusive => PriceTaxBehavior::Exclusive,
                TaxBehavior::Inclusive => PriceTaxBehavior::Inclusive,
                TaxBehavior::Unspecified => PriceTaxBehavior::Unspecified,
            })
            .lookup_key(&*price.lookup_key)
            .transfer_lookup_key(true)
            .nickname(format!(
                "{} on {}",
                price.plan_type.as_str(),
                price.deployment_type.as_str()
            ))
            .metadata(HashMap::from([(
                CATALOG_KEY.to_owned(),
                price.lookup_key.clone(),
            )]));
        Ok(PriceId::new(self.change(request.build(), key).await?))
    }

    /// Opens a price to new subscriptions, or closes it to them.
    pub(crate) async fn set_price_active(
        &self,
        id: &PriceId,
        is_active: bool,
        key: Uuid,
    ) -> Result<(), ReadError> {
        let request = UpdatePrice::new(id.as_str()).active(is_active);
        self.change(request.build(), key).await.map(drop)
    }
}
