//! What differs between the catalog and Stripe, and what would make it agree.

use std::fmt;

use rust_decimal::Decimal;

use crate::domain::{
    catalog::{Catalog, CatalogMeter, CatalogPrice, CatalogProduct, EVENT_TIME_WINDOW},
    ids::{MeterId, PriceId},
};

/// The meter that Stripe has.
#[derive(Debug, Clone)]
pub(crate) struct FoundMeter {
    pub(crate) id: MeterId,
    pub(crate) is_active: bool,
    pub(crate) display_name: String,
    pub(crate) formula: String,
    pub(crate) event_time_window: Option<String>,
    pub(crate) customer_key: String,
    pub(crate) value_key: String,
}

/// The product that Stripe has.
#[derive(Debug, Clone)]
pub(crate) struct FoundProduct {
    pub(crate) is_active: bool,
    pub(crate) name: String,
    pub(crate) unit_label: Option<String>,
}

/// A price that Stripe has.
#[derive(Debug, Clone)]
pub(crate) struct FoundPrice {
    pub(crate) id: PriceId,
    pub(crate) is_active: bool,
    pub(crate) lookup_key: Option<String>,
    /// The catalog's key for it when it was made.
    pub(crate) catalog_key: Option<String>,
    pub(crate) product: String,
    pub(crate) currency: String,
    pub(crate) unit_amount: Option<Decimal>,
    pub(crate) interval: Option<String>,
    pub(crate) interval_count: Option<u64>,
    pub(crate) meter: Option<MeterId>,
    pub(crate) tax_behavior: Option<String>,
}

/// What Stripe has of the catalog.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) meter: Option<FoundMeter>,
    pub(crate) product: Option<FoundProduct>,
    /// Those with a lookup key of the catalog, and the product's other active ones.
    pub(crate) prices: Vec<FoundPrice>,
}

/// One step towards agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    CreateMeter,
    ReactivateMeter(MeterId),
    RenameMeter(MeterId),
    CreateProduct,
    UpdateProduct,
    CreatePrice(CatalogPrice),
    ActivatePrice(CatalogPrice, PriceId),
    /// A price's amount cannot change in Stripe, so a new one takes its lookup key over, and the old
    /// one is closed to new subscriptions. Subscriptions that have it keep it.
    ReplacePrice(CatalogPrice, PriceId, String),
    /// What an apply that was cut short left open.
    ClosePrice(PriceId),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateMeter => f.write_str("create the meter"),
            Self::ReactivateMeter(id) => write!(f, "reactivate the meter {id}"),
            Self::RenameMeter(id) => write!(f, "change the display name of the meter {id}"),
            Self::CreateProduct => f.write_str("create the product"),
            Self::UpdateProduct => f.write_str("update the product"),
            Self::CreatePrice(price) => write!(
                f,
                "create the price {} at {}",
                price.lookup_key, price.unit_amount
            ),
            Self::ActivatePrice(price, id) => {
                write!(f, "open the price {} ({id}) again", price.lookup_key)
            }
            Self::ReplacePrice(price, id, why) => write!(
                f,
                "replace the price {} ({id}): {why}; subscriptions on the old one keep it",
                price.lookup_key
            ),
            Self::ClosePrice(id) => write!(
                f,
                "close the price {id} to new subscriptions: another one has its lookup key"
            ),
        }
    }
}

/// The way from Stripe to the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    /// What cannot be brought to agree, with what a person can do.
    pub(crate) obstacles: Vec<String>,
}

/// Compares.
pub(crate) fn plan(catalog: &Catalog, found: &Found) -> Plan {
    let mut plan = Plan::default();
    plan_meter(&catalog.meter, found.meter.as_ref(), &mut plan);
    plan_product(&catalog.product, found.product.as_ref(), &mut plan);
    for price in &catalog.prices {
        plan_price(catalog, price, found, &mut plan);
    }
    let stray = found.prices.iter().filter(|price| {
        let keys = catalog.prices.iter().map(|it| it.lookup_key.as_str());
        let named = price.catalog_key.as_deref();
        price.is_active
            && named != price.lookup_key.as_deref()
            && keys.into_iter().any(|key| named == Some(key))
    });
    plan.actions
        .extend(stray.map(|price| Action::ClosePrice(price.id.clone())));
    plan
}

fn plan_meter(meter: &CatalogMeter, found: Option<&FoundMeter>, plan: &mut Plan) {
    let Some(found) = found else {
        plan.actions.push(Action::CreateMeter);
        return;
    };
    let window = found.event_time_window.as_deref();
    let fixed = [
        ("formula", meter.formula.as_str(), found.formula.as_str()),
        (
            "event_time_window",
            EVENT_TIME_WINDOW,
            window.unwrap_or("none"),
        ),
        (
            "customer_payload_key",
            &meter.customer_key,
            &found.customer_key,
        ),
        ("value_payload_key", &meter.value_key, &found.value_key),
    ];
    for (field, wanted, is) in fixed.into_iter().filter(|(_, wanted, is)| wanted != is) {
        plan.obstacles.push(format!(
            "meter.{field} is '{is}' in Stripe ({}), '{wanted}' in the catalog, and a meter cannot change. Write '{is}'; another event_name is another meter, on which no subscription that there is would be billed.",
            found.id
        ));
    }
    if !found.is_active {
        plan.actions.push(Action::ReactivateMeter(found.id.clone()));
    }
    if found.display_name != meter.display_name {
        plan.actions.push(Action::RenameMeter(found.id.clone()));
    }
}

fn plan_product(product: &CatalogProduct, found: Option<&FoundProduct>, plan: &mut Plan) {
    let Some(found) = found else {
        plan.actions.push(Action::CreateProduct);
        return;
    };
    let agrees = found.is_active
        && found.name == product.name
        && found.unit_label.as_deref() == Some(&product.unit_label);
    if !agrees {
        plan.actions.push(Action::UpdateProduct);
    }
}

fn plan_price(catalog: &Catalog, price: &CatalogPrice, found: &Found, plan: &mut Plan) {
    let mut of_stripe = found.prices.iter();
    let of_stripe = of_stripe.find(|it| it.lookup_key.as_ref() == Some(&price.lookup_key));
    // A subscription stays on the meter of its price, and events are sent to one meter: those on the
    // other would be invoiced for nothing.
    let meter = found.meter.as_ref().map(|meter| &meter.id);
    if let Some(it) = of_stripe
        && it.is_active
        && let Some(other) = it.meter.as_ref().filter(|it| Some(*it) != meter)
    {
        plan.obstacles.push(format!(
            "the price {} is on the meter {other}, not on '{}': its subscriptions would no longer be billed. Keep the event_name of that meter.",
            price.lookup_key, catalog.meter.event_name
        ));
        return;
    }
    plan.actions.extend(match of_stripe {
        None => Some(Action::CreatePrice(price.clone())),
        Some(it) => match difference(catalog, price, it, found.meter.as_ref()) {
            Some(why) => Some(Action::ReplacePrice(price.clone(), it.id.clone(), why)),
            None if !it.is_active => Some(Action::ActivatePrice(price.clone(), it.id.clone())),
            None => None,
        },
    });
}

/// The first thing in which a price differs, as `what: is → wanted`.
fn difference(
    catalog: &Catalog,
    price: &CatalogPrice,
    found: &FoundPrice,
    meter: Option<&FoundMeter>,
) -> Option<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let meter = or_none(meter.map(|meter| meter.id.to_string()));
    let amount = or_none(found.unit_amount.map(|it| it.normalize().to_string()));
    let every = format!(
        "{} {}",
        found.interval_count.unwrap_or(1),
        or_none(found.interval.clone())
    );
    let tax = or_none(found.tax_behavior.clone());
    let pairs = [
        ("amount", amount, price.unit_amount.normalize().to_string()),
        ("currency", found.currency.clone(), catalog.currency.clone()),
        (
            "interval",
            every,
            format!("1 {}", catalog.interval.as_str()),
        ),
        (
            "tax_behavior",
            tax,
            catalog.tax_behavior.as_str().to_owned(),
        ),
        ("product", found.product.clone(), catalog.product.id.clone()),
        (
            "meter",
            or_none(found.meter.as_ref().map(MeterId::to_string)),
            meter,
        ),
    ];
    let mut pairs = pairs.into_iter();
    pairs
        .find(|(_, is, wanted)| is != wanted)
        .map(|(what, is, wanted)| format!("{what} {is} → {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SAMPLE_CATALOG, domain::catalog_file};

    fn catalog() -> Catalog {
        catalog_file::parse(SAMPLE_CATALOG).unwrap()
    }

    /// Stripe as it is after an apply.
    fn agreeing(catalog: &Catalog) -> Found {
        let id = MeterId::new("mtr_1");
        let price = |(index, price): (usize, &CatalogPrice)| FoundPrice {
            id: PriceId::new(format!("price_{index}")),
            is_active: true,
            lookup_key: Some(price.lookup_key.clone()),
            catalog_key: Some(price.lookup_key.clone()),
            product: catalog.product.id.clone(),
            currency: catalog.currency.clone(),
            unit_amount: Some(price.unit_amount),
            interval: Some(catalog.interval.as_str().to_owned()),
            interval_count: Some(1),
            meter: Some(id.clone()),
            tax_behavior: Some(catalog.tax_behavior.as_str().to_owned()),
        };
        Found {
            prices: catalog.prices.iter().enumerate().map(price).collect(),
            meter: Some(FoundMeter {
                id,
                is_active: true,
                display_name: catalog.meter.display_name.clone(),
                formula: catalog.meter.formula.as_str().to_owned(),
                event_time_window: Some(EVENT_TIME_WINDOW.to_owned()),
                customer_key: catalog.meter.customer_key.clone(),
                value_key: catalog.meter.value_key.clone(),
            }),
            product: Some(FoundProduct {
                is_active: true,
                name: catalog.product.name.clone(),
                unit_label: Some(catalog.product.unit_label.clone()),
            }),
        }
    }

    #[test]
    fn an_empty_account_needs_all_and_an_agreeing_one_nothing() {
        let catalog = catalog();
        let all = plan(&catalog, &Found::default());
        assert_eq!(all.actions.len(), 2 + catalog.prices.len());
        assert_eq!(plan(&catalog, &agreeing(&catalog)), Plan::default());
    }

    #[test]
    fn a_changed_amount_is_a_new_price_and_the_old_one_is_closed() {
        let catalog = catalog();
        let mut found = agreeing(&catalog);
        found.prices[0].unit_amount = Some(Decimal::from(99));
        let Plan { actions, obstacles } = plan(&catalog, &found);
        assert!(obstacles.is_empty());
        assert!(
            matches!(actions.as_slice(), [Action::ReplacePrice(_, id, why)]
            if id.as_str() == "price_0" && why.starts_with("amount 99 →")),
            "{actions:?}"
        );

        // The new one was made, and then the machine went down.
        let mut found = agreeing(&catalog);
        found.prices.push(FoundPrice {
            id: PriceId::new("price_old"),
            lookup_key: None,
            ..found.prices[0].clone()
        });
        assert_eq!(
            plan(&catalog, &found).actions,
            [Action::ClosePrice(PriceId::new("price_old"))]
        );
    }

    /// Its subscriptions would go on being billed by a meter that nothing is sent to any more.
    #[test]
    fn a_price_on_another_meter_is_an_obstacle() {
        let catalog = catalog();
        let mut found = agreeing(&catalog);
        found.prices[0].meter = Some(MeterId::new("mtr_other"));
        let plan = plan(&catalog, &found);
        assert_eq!(
            (plan.obstacles.len(), plan.actions.len()),
            (1, 0),
            "{plan:?}"
        );
        assert!(plan.obstacles[0].contains("mtr_other"), "{plan:?}");
    }

    #[test]
    fn a_meter_that_measures_otherwise_is_an_obstacle() {
        let catalog = catalog();
        let mut found = agreeing(&catalog);
        let meter = found.meter.as_mut().unwrap();
        meter.formula = "count".to_owned();
        meter.event_time_window = None;
        meter.display_name = "Other".to_owned();
        let Plan { actions, obstacles } = plan(&catalog, &found);
        assert_eq!(obstacles.len(), 2, "{obstacles:?}");
        assert_eq!(actions, [Action::RenameMeter(MeterId::new("mtr_1"))]);
    }
}
