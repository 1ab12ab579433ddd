//! What the lines of an invoice ask for: a metered line what its meter shows for its stretch of
//! time at its price, a licensed line its quantity.
//!
//! While an invoice is a draft its metered lines follow the meter; finalizing writes them down.
//! Amounts are exact decimals until the line's end, where they are rounded half up to a cent.
//!
//! Guesses: where a price changed, the meter is read for each stretch by itself, so `last` bills the
//! last value of either; a stretch whose total is negative bills nothing. A licensed period that an
//! anchor shortens is billed whole: this simulator prorates nothing.

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::Ids;
use crate::invoices::Invoice;
use crate::prices::{Price, UsageType};
use crate::store::Record;
use crate::subscriptions::{Item, Subscription};
use crate::world::World;

/// Metered usage at one price: `from <= timestamp < to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) item: String,
    pub(crate) price: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    id: String,
    stretch: Stretch,
    /// A metered line's is written down when the invoice is finalized.
    quantity: Decimal,
    amount: i64,
    metered: bool,
}

impl Record for Line {
    const NOUN: &'static str = "line item";

    fn id(&self) -> &str {
        &self.id
    }
}

/// How a price is billed, if it recurs.
pub(crate) fn usage_type(world: &World, price: &str) -> Option<UsageType> {
    let recurring = world.prices.get(price)?.recurring.as_ref()?;
    Some(recurring.usage_type)
}

/// What an item has used and was not billed for by `to`. None for a licensed item.
pub(crate) fn open_stretch(world: &World, item: &Item, to: i64) -> Option<Stretch> {
    let from = item.unbilled_since.unwrap_or(item.period_start);
    let metered = usage_type(world, &item.price) == Some(UsageType::Metered);
    (metered && from < to).then(|| Stretch {
        item: item.id.clone(),
        price: item.price.clone(),
        from,
        to,
    })
}

fn amount_of(quantity: Decimal, price: Option<&Price>) -> i64 {
    let exact = price.and_then(|price| quantity.checked_mul(price.amount));
    let rounding = RoundingStrategy::MidpointAwayFromZero;
    let rounded = exact.map(|it| it.round_dp_with_strategy(0, rounding));
    rounded.and_then(|it| it.to_i64()).unwrap_or_default()
}

impl Line {
    pub(crate) fn metered(ids: &mut Ids, stretch: Stretch) -> Self {
        Self {
            id: ids.invoice_line(),
            stretch,
            quantity: Decimal::ZERO,
            amount: 0,
            metered: true,
        }
    }

    /// The item's coming period, which is paid ahead. None for a metered item.
    pub(crate) fn licensed(world: &World, ids: &mut Ids, item: &Item) -> Option<Self> {
        let quantity = Decimal::from(item.quantity?);
        Some(Self {
            id: ids.invoice_line(),
            stretch: Stretch {
                item: item.id.clone(),
                price: item.price.clone(),
                from: item.period_start,
                to: item.period_end,
            },
            quantity,
            amount: amount_of(quantity, world.prices.get(&item.price)),
            metered: false,
        })
    }

    pub(crate) fn amount(&self) -> i64 {
        self.amount
    }

    pub(crate) fn starts_at(&self) -> i64 {
        self.stretch.from
    }

    /// The line as the meter stands, of what was received by `as_of`. A total below zero bills none.
    pub(crate) fn measured(&self, world: &World, customer: &str, as_of: i64) -> Self {
        if !self.metered {
            return self.clone();
        }
        let price = world.prices.get(&self.stretch.price);
        let recurring = price.and_then(|price| price.recurring.as_ref());
        let meter_id = recurring.and_then(|it| it.meter.as_deref());
        let meter = meter_id.and_then(|id| world.meters.get(id).zip(world.meters.position(id)));
        let customer = world.customers.position(customer);
        let range = self.stretch.from..self.stretch.to;
        let shown = meter.zip(customer).and_then(|((meter, at), customer)| {
            world.usage.aggregate(meter, (at, customer), range, as_of)
        });
        let quantity = shown.unwrap_or_default().max(Decimal::ZERO);
        Self {
            quantity,
            amount: amount_of(quantity, price),
            ..self.clone()
        }
    }

    pub(crate) fn to_value(&self, world: &World, invoice: &Invoice) -> Value {
        let price = world.prices.get(&self.stretch.price);
        let product = price.and_then(|price| world.products.get(&price.product));
        let name = product.map_or("", |product| product.name.as_str());
        let quantity = self.quantity.normalize();
        let whole = quantity.is_integer().then(|| quantity.to_i64()).flatten();
        json!({
            "id": self.id,
            "object": "line_item",
            "amount": self.amount,
            "currency": invoice.currency,
            "description": format!("{quantity} × {name}"),
            "discount_amounts": [],
            "discountable": true,
            "discounts": [],
            "invoice": invoice.id,
            "livemode": false,
            "metadata": {},
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": false,
                    "proration_details": { "credited_items": null },
                    "subscription": invoice.subscription,
                    "subscription_item": self.stretch.item,
                },
                "type": "subscription_item_details",
            },
            "period": { "start": self.stretch.from, "end": self.stretch.to },
            "pretax_credit_amounts": [],
            "pricing": price.map(|price| json!({
                "price_details": { "price": price.id, "product": price.product },
                "type": "price_details",
                "unit_amount_decimal": price.amount.normalize().to_string(),
            })),
            "quantity": whole,
            "quantity_decimal": quantity.to_string(),
            "subscription": invoice.subscription,
            "subtotal": self.amount,
            "taxes": [],
        })
    }
}

/// Everything that a subscription has used and was not billed for: of the items that `ends` names,
/// and what price changes, removals and trials have left behind.
pub(crate) fn unbilled(
    world: &World,
    subscription: &Subscription,
    to: i64,
    ends: impl Fn(&Item) -> bool,
) -> Vec<Stretch> {
    let left = subscription.unbilled.iter().cloned();
    let items = subscription.items.iter().filter(|item| ends(item));
    left.chain(items.filter_map(|item| open_stretch(world, item, to)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    #[test]
    fn a_line_is_rounded_half_up_to_the_cent() {
        for (quantity, unit, cents) in [
            ("3", "100", 300),
            ("1", "0.5", 1),
            ("3", "0.5", 2),
            ("1", "0.4999", 0),
            ("1240", "12.5", 15_500),
            ("7", "3.3333", 23),
            ("0.1", "5", 1),
            ("999999999999999", "0.000000000001", 1_000),
        ] {
            let exact = Decimal::from_str(quantity).unwrap() * Decimal::from_str(unit).unwrap();
            let rounding = RoundingStrategy::MidpointAwayFromZero;
            assert_eq!(
                exact.round_dp_with_strategy(0, rounding),
                Decimal::from(cents),
                "{quantity} × {unit}"
            );
        }
    }
}
