//! Changing the items of a subscription: other prices, more items, fewer.
//!
//! Usage is never prorated. In flexible billing mode what was used until now stays at the price it
//! was used at; in classic mode the new price counts for the whole period, and what a removed item
//! has used is dropped.
//!
//! Guesses: the price in force is that of the usage's timestamp, not of its receipt; with
//! `proration_behavior=none` the usage until a price change is dropped as it is for a removal.

use crate::calendar::next_boundary;
use crate::choice::choices;
use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT, Patch};
use crate::ids::Ids;
use crate::invoice_lines::{open_stretch, usage_type};
use crate::metadata::{self, Metadata};
use crate::prices::{Recurring, UsageType};
use crate::subscription_create::{MAX_ITEMS, MAX_QUANTITY, usable_price};
use crate::subscriptions::{BillingMode, Item, Status, Subscription};
use crate::world::World;

choices! {
    ProrationBehavior {
        CreateProrations = "create_prorations",
        AlwaysInvoice = "always_invoice",
        None = "none",
    }
}

#[derive(Debug)]
pub(crate) struct ItemChange {
    id: Option<String>,
    price: Option<String>,
    quantity: Option<i64>,
    deleted: bool,
    clear_usage: bool,
    metadata: Patch<Metadata>,
}

pub(crate) fn read(fields: &mut Fields) -> Vec<ItemChange> {
    fields.objects("items", MAX_ITEMS, |item| {
        let id = item.text("id", MAX_TEXT);
        let price = item.text("price", MAX_TEXT);
        if id.is_none() && price.is_none() {
            item.need::<()>("price", None);
        }
        ItemChange {
            id,
            price,
            quantity: item.integer("quantity", 0..=MAX_QUANTITY),
            deleted: item.boolean("deleted").unwrap_or(false),
            clear_usage: item.boolean("clear_usage").unwrap_or(false),
            metadata: metadata::read(item),
        }
    })
}

/// What the changes are made with.
#[derive(Debug)]
pub(crate) struct Editor<'a> {
    pub(crate) world: &'a World,
    pub(crate) ids: &'a mut Ids,
    pub(crate) now: i64,
    pub(crate) proration: ProrationBehavior,
}

impl Editor<'_> {
    /// Changes a copy of the subscription; the caller puts it in place of the old one.
    pub(crate) fn edit(
        &mut self,
        subscription: &mut Subscription,
        changes: Vec<ItemChange>,
    ) -> Result<(), Refusal> {
        for (index, change) in changes.into_iter().enumerate() {
            let param = format!("items[{index}]");
            match change.id.clone() {
                Some(id) => self.change(subscription, &id, change, &param)?,
                None => self.add(subscription, change, &param)?,
            }
        }
        if subscription.items.is_empty() {
            return Err(Refusal::refused(
                Some("items"),
                None,
                "A subscription must have at least one active plan. To remove the last one, cancel \
                 the subscription.",
            ));
        }
        Ok(())
    }

    fn change(
        &mut self,
        subscription: &mut Subscription,
        id: &str,
        change: ItemChange,
        param: &str,
    ) -> Result<(), Refusal> {
        let position = subscription.items.iter().position(|item| item.id == id);
        let item = position.and_then(|position| subscription.items.get(position));
        let (Some(position), Some(item)) = (position, item.cloned()) else {
            let param = format!("{param}[id]");
            return Err(Refusal::no_such_in(&param, "subscription item", id));
        };
        if change.deleted {
            self.check_proration(&item.price, param)?;
            self.close(subscription, &item, change.clear_usage);
            subscription.items.remove(position);
            return Ok(());
        }
        let mut changed = item.clone();
        metadata::merge(&mut changed.metadata, change.metadata);
        if let Some(price) = change.price.filter(|price| *price != item.price) {
            self.check_proration(&item.price, param)?;
            let recurring = self.price_for(subscription, &price, param)?.clone();
            let flexible = subscription.billing_mode == BillingMode::Flexible;
            if flexible {
                self.close(subscription, &item, change.clear_usage);
                changed.unbilled_since = Some(self.now);
            }
            self.place_in_period(subscription, &mut changed, &recurring, Some(&item));
            changed.quantity = match recurring.usage_type {
                UsageType::Metered => None,
                UsageType::Licensed => Some(item.quantity.unwrap_or(1)),
            };
            changed.price = price;
        }
        if let Some(quantity) = change.quantity {
            self.check_quantity(&changed.price, param)?;
            changed.quantity = Some(quantity);
        }
        if let Some(item) = subscription.items.get_mut(position) {
            *item = changed;
        }
        Ok(())
    }

    fn add(
        &mut self,
        subscription: &mut Subscription,
        change: ItemChange,
        param: &str,
    ) -> Result<(), Refusal> {
        let price = change.price.unwrap_or_default();
        let recurring = self.price_for(subscription, &price, param)?.clone();
        let quantity = match recurring.usage_type {
            UsageType::Metered => None,
            UsageType::Licensed => Some(change.quantity.unwrap_or(1)),
        };
        if quantity.is_some() || change.quantity.is_some() {
            self.check_quantity(&price, param)?;
        }
        let mut item = Item {
            id: self.ids.subscription_item(),
            created: self.now,
            price,
            quantity,
            metadata: metadata::created(change.metadata),
            period_start: self.now,
            period_end: self.now,
            unbilled_since: None,
        };
        self.place_in_period(subscription, &mut item, &recurring, None);
        subscription.items.push(item);
        Ok(())
    }

    /// Keeps what an item has used, at the price it was used at, for the next invoice.
    fn close(&self, subscription: &mut Subscription, item: &Item, clear_usage: bool) {
        let bills = match subscription.status {
            Status::Trialing | Status::Paused => false,
            Status::Active
            | Status::Canceled
            | Status::Incomplete
            | Status::IncompleteExpired
            | Status::PastDue
            | Status::Unpaid => subscription.billing_mode == BillingMode::Flexible,
        };
        let keeps = bills && !clear_usage && self.proration != ProrationBehavior::None;
        if keeps {
            let stretch = open_stretch(self.world, item, self.now);
            subscription.unbilled.extend(stretch);
        }
    }

    /// An item shares the period of those with the same interval; a new interval begins now, on the
    /// grid of the anchor. During a trial all periods end with it.
    fn place_in_period(
        &self,
        subscription: &Subscription,
        item: &mut Item,
        recurring: &Recurring,
        before: Option<&Item>,
    ) {
        let cycle = |price: &str| {
            let recurring = self.world.prices.get(price)?.recurring.as_ref()?;
            Some((recurring.interval, recurring.interval_count))
        };
        let own = Some((recurring.interval, recurring.interval_count));
        if before.is_some_and(|before| cycle(&before.price) == own) {
            return;
        }
        item.period_start = self.now;
        item.unbilled_since = None;
        let alike = subscription.items.iter().find(|it| cycle(&it.price) == own);
        item.period_end = match (subscription.status, alike) {
            (Status::Trialing, _) => subscription.trial_end.unwrap_or(self.now),
            (_, Some(alike)) => alike.period_end,
            (_, None) => next_boundary(
                subscription.billing_cycle_anchor,
                recurring.interval,
                recurring.interval_count,
                self.now,
            ),
        };
    }

    fn price_for<'w>(
        &'w self,
        subscription: &Subscription,
        price: &str,
        param: &str,
    ) -> Result<&'w Recurring, Refusal> {
        let param = format!("{param}[price]");
        let currency = Some(subscription.currency.as_str());
        let (_, recurring) = usable_price(self.world, &param, price, currency)?;
        if subscription.items.iter().any(|it| it.price == price) {
            return Err(Refusal::refused(
                Some(&param),
                None,
                format!("Cannot add multiple subscription items with the same plan: {price}"),
            ));
        }
        self.check_proration(price, &param)?;
        Ok(recurring)
    }

    fn check_quantity(&self, price: &str, param: &str) -> Result<(), Refusal> {
        if usage_type(self.world, price) == Some(UsageType::Metered) {
            return Err(Refusal::refused(
                Some(&format!("{param}[quantity]")),
                None,
                "Quantity should not be specified where usage_type is `metered`.",
            ));
        }
        self.check_proration(price, param)
    }

    /// Licensed prices would be prorated, which this simulator does not do.
    fn check_proration(&self, price: &str, param: &str) -> Result<(), Refusal> {
        let licensed = usage_type(self.world, price) == Some(UsageType::Licensed);
        if licensed && self.proration != ProrationBehavior::None {
            return Err(Refusal::refused(
                Some(param),
                None,
                "This simulator does not prorate licensed prices: pass `proration_behavior=none`.",
            ));
        }
        Ok(())
    }
}
