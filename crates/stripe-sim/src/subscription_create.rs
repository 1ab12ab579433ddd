//! `POST /v1/subscriptions`

use crate::agenda::Timeline;
use crate::calendar::{DAY_S, next_boundary};
use crate::customers;
use crate::errors::Refusal;
use crate::fields::{Fields, MAX_TEXT};
use crate::ids::Ids;
use crate::lifecycle;
use crate::metadata::{self, Metadata};
use crate::moment::Moment;
use crate::prices::{Price, Recurring, UsageType};
use crate::subscription_change::retrieve_at;
use crate::subscriptions::{
    BillingMode, Cancellation, CollectionMethod, Item, MissingPaymentMethod, Status, Subscription,
};
use crate::world::{Answer, Call, World};

pub(crate) const MAX_ITEMS: usize = 20;
pub(crate) const MAX_TRIAL_DAYS: i64 = 730;
pub(crate) const MAX_QUANTITY: i64 = 999_999;

#[derive(Debug, Default)]
struct NewItem {
    price: String,
    quantity: Option<i64>,
    metadata: Metadata,
}

/// The parameters, well formed and not yet compared with the account.
#[derive(Debug)]
struct Wanted {
    customer: String,
    items: Vec<NewItem>,
    currency: Option<String>,
    collection_method: CollectionMethod,
    days_until_due: Option<i64>,
    billing_mode: BillingMode,
    billing_cycle_anchor: Option<i64>,
    trial_end: Option<i64>,
    missing_payment_method: MissingPaymentMethod,
    cancel_at: Option<i64>,
    cancel_at_period_end: bool,
    automatic_tax: bool,
    description: Option<String>,
    metadata: Metadata,
}

impl Wanted {
    fn read(fields: &mut Fields, now: i64) -> Self {
        let has_items = fields.has("items");
        let items = fields.objects("items", MAX_ITEMS, |item| NewItem {
            price: item.need_text("price", MAX_TEXT),
            quantity: item.integer("quantity", 0..=MAX_QUANTITY),
            metadata: metadata::created(metadata::read(item)),
        });
        if items.is_empty() && !has_items {
            fields.need::<()>("items", None);
        }
        let method: Option<CollectionMethod> = fields.choice("collection_method");
        let mode = fields.object("billing_mode", |mode| mode.need_choice("type"));
        let cancel_at_period_end = fields.boolean("cancel_at_period_end").unwrap_or(false);
        let cancel_at = read_future(fields, "cancel_at", now);
        if cancel_at.is_some() && cancel_at_period_end {
            exclusive(fields, "cancel_at", "cancel_at, cancel_at_period_end");
        }
        Self {
            customer: fields.need_text("customer", MAX_TEXT),
            items,
            currency: fields.text("currency", 3),
            collection_method: method.unwrap_or(CollectionMethod::ChargeAutomatically),
            days_until_due: fields.integer("days_until_due", 0..=365),
            billing_mode: mode.unwrap_or(BillingMode::Flexible),
            billing_cycle_anchor: read_future(fields, "billing_cycle_anchor", now),
            trial_end: read_trial(fields, now),
            missing_payment_method: read_trial_settings(fields).unwrap_or_default(),
            cancel_at,
            cancel_at_period_end,
            automatic_tax: fields
                .object("automatic_tax", |tax| {
                    let enabled = tax.boolean("enabled");
                    tax.need("enabled", enabled)
                })
                .unwrap_or(false),
            description: fields.text("description", 500),
            metadata: metadata::created(metadata::read(fields)),
        }
    }
}

fn exclusive(fields: &mut Fields, name: &str, both: &str) {
    let message = format!("You may only specify one of these parameters: {both}.");
    fields.violate(name, Some("parameters_exclusive"), message);
}

/// A time that must lie ahead.
pub(crate) fn read_future(fields: &mut Fields, name: &str, now: i64) -> Option<i64> {
    let time = fields.timestamp(name)?;
    if time <= now {
        let message = "Invalid timestamp: must be an integer Unix timestamp in the future.";
        fields.violate(name, None, message);
    }
    Some(time)
}

/// `trial_end`, which may also be the word `now`: the trial is over, or there is none.
pub(crate) fn read_trial_end(fields: &mut Fields, now: i64) -> Option<i64> {
    if fields.is_text("trial_end", "now") {
        return Some(now);
    }
    let end = read_future(fields, "trial_end", now)?;
    if end > now + MAX_TRIAL_DAYS * DAY_S {
        let message = "Invalid timestamp: can be no more than two years in the future.";
        fields.violate("trial_end", None, message);
    }
    Some(end)
}

fn read_trial(fields: &mut Fields, now: i64) -> Option<i64> {
    let days = fields.integer("trial_period_days", 0..=MAX_TRIAL_DAYS);
    let end = read_trial_end(fields, now);
    if days.is_some() && end.is_some() {
        exclusive(fields, "trial_end", "trial_end, trial_period_days");
    }
    end.or(days.map(|days| now + days * DAY_S))
        .filter(|end| *end > now)
}

pub(crate) fn read_trial_settings(fields: &mut Fields) -> Option<MissingPaymentMethod> {
    fields.object("trial_settings", |settings| {
        settings.need_object("end_behavior", |it| {
            it.need_choice("missing_payment_method")
        })
    })
}

/// An invoice that is sent needs somewhere to go and a date.
pub(crate) fn check_collection(
    world: &World,
    customer: &str,
    method: CollectionMethod,
    days_until_due: Option<i64>,
) -> Result<(), Refusal> {
    let sent = match method {
        CollectionMethod::SendInvoice => true,
        CollectionMethod::ChargeAutomatically => false,
    };
    if sent && days_until_due.is_none() {
        return Err(Refusal::violation(
            "days_until_due",
            Some("parameter_missing"),
            "You must pass `days_until_due` when `collection_method` is `send_invoice`.",
        ));
    }
    if !sent && days_until_due.is_some() {
        return Err(Refusal::violation(
            "days_until_due",
            None,
            "You can only set `days_until_due` when `collection_method` is `send_invoice`.",
        ));
    }
    let has_email = world
        .customers
        .get(customer)
        .is_some_and(|it| it.email.is_some());
    if sent && !has_email {
        return Err(Refusal::refused(
            Some("customer"),
            None,
            "Missing email. In order to create invoices that are sent to the customer, the customer \
             must have a valid email.",
        ));
    }
    Ok(())
}

/// The price that an item is to have: recurring, active and of the subscription's currency.
pub(crate) fn usable_price<'w>(
    world: &'w World,
    param: &str,
    id: &str,
    currency: Option<&str>,
) -> Result<(&'w Price, &'w Recurring), Refusal> {
    let refused = |message: &str| Err(Refusal::refused(Some(param), None, message));
    let Some(price) = world.prices.get(id) else {
        return Err(Refusal::no_such_in(param, "price", id));
    };
    let Some(recurring) = &price.recurring else {
        return refused(
            "The price specified is set to `type=one_time` but this field only accepts prices with \
             `type=recurring`.",
        );
    };
    let product = world.products.get(&price.product);
    if !price.active || !product.is_some_and(|it| it.active) {
        return refused("The price specified is inactive. This field only accepts active prices.");
    }
    if currency.is_some_and(|currency| !currency.eq_ignore_ascii_case(&price.currency)) {
        return refused("The price specified has another currency than the subscription.");
    }
    Ok((price, recurring))
}

/// Compares the items with their prices; the prices come back in the items' order.
fn check_items<'w>(
    world: &'w World,
    wanted: &Wanted,
) -> Result<Vec<(&'w Price, &'w Recurring)>, Refusal> {
    let mut found: Vec<(&Price, &Recurring)> = Vec::with_capacity(wanted.items.len());
    for (index, item) in wanted.items.iter().enumerate() {
        let param = format!("items[{index}][price]");
        let refused = |message: String| Err(Refusal::refused(Some(&param), None, message));
        let first = found.first().map(|(first, _)| first.currency.as_str());
        let currency = wanted.currency.as_deref().or(first);
        let (price, recurring) = usable_price(world, &param, &item.price, currency)?;
        if found.iter().any(|(other, _)| other.id == price.id) {
            return refused(format!(
                "Cannot add multiple subscription items with the same plan: {}",
                price.id
            ));
        }
        if item.quantity.is_some() && recurring.usage_type == UsageType::Metered {
            return Err(Refusal::refused(
                Some(&format!("items[{index}][quantity]")),
                None,
                format!(
                    "Quantity should not be specified where usage_type is `metered`. Remove quantity \
                     from `items[{index}]`."
                ),
            ));
        }
        found.push((price, recurring));
    }
    Ok(found)
}

/// Nothing can be charged here, for no payment method can be added: what is due now must be sent.
fn check_payment(wanted: &Wanted, prices: &[(&Price, &Recurring)]) -> Result<(), Refusal> {
    let due_now = wanted.trial_end.is_none()
        && wanted
            .items
            .iter()
            .zip(prices)
            .any(|(item, (price, recurring))| {
                recurring.usage_type == UsageType::Licensed
                    && !price.amount.is_zero()
                    && item.quantity != Some(0)
            });
    match wanted.collection_method {
        CollectionMethod::ChargeAutomatically if due_now => Err(Refusal::refused(
            None,
            Some("resource_missing"),
            "This customer has no attached payment source or default payment method. Please consider \
             adding a default payment method.",
        )),
        CollectionMethod::ChargeAutomatically | CollectionMethod::SendInvoice => Ok(()),
    }
}

/// A customer is billed in one currency at a time.
fn check_currency(world: &World, customer: &str, currency: &str) -> Result<(), Refusal> {
    let mut all = world.subscriptions.of_customer(customer).into_iter();
    let other = all.find_map(|position| {
        let subscription = world.subscriptions.at(position)?;
        let is_other = !subscription.status.is_final() && subscription.currency != currency;
        is_other.then_some(&subscription.currency)
    });
    match other {
        Some(other) => Err(Refusal::refused(
            None,
            None,
            format!(
                "You cannot combine currencies on a single customer. This customer has an active \
                 subscription, subscription schedule, discount, quote, or invoice item with currency {other}."
            ),
        )),
        None => Ok(()),
    }
}

/// An anchor given by hand may only shorten the first period.
fn check_anchor(wanted: &Wanted, prices: &[(&Price, &Recurring)], now: i64) -> Result<(), Refusal> {
    let too_late = |anchor: i64| {
        prices.iter().any(|(_, recurring)| {
            anchor > next_boundary(now, recurring.interval, recurring.interval_count, now)
        })
    };
    if wanted.trial_end.is_none() && wanted.billing_cycle_anchor.is_some_and(too_late) {
        return Err(Refusal::refused(
            Some("billing_cycle_anchor"),
            None,
            "billing_cycle_anchor cannot be later than next natural billing date.",
        ));
    }
    Ok(())
}

fn first_items(
    ids: &mut Ids,
    wanted: &mut Wanted,
    prices: &[(&Price, &Recurring)],
    anchor: i64,
    now: i64,
) -> Vec<Item> {
    let trial_end = wanted.trial_end;
    let items = wanted
        .items
        .drain(..)
        .zip(prices)
        .map(|(item, (_, recurring))| {
            let boundary = next_boundary(anchor, recurring.interval, recurring.interval_count, now);
            Item {
                id: ids.subscription_item(),
                created: now,
                price: item.price,
                quantity: match recurring.usage_type {
                    UsageType::Licensed => Some(item.quantity.unwrap_or(1)),
                    UsageType::Metered => None,
                },
                metadata: item.metadata,
                period_start: now,
                period_end: trial_end.unwrap_or(boundary),
                unbilled_since: None,
            }
        });
    items.collect()
}

fn started(
    id: String,
    wanted: Wanted,
    items: Vec<Item>,
    currency: String,
    test_clock: Timeline,
    now: i64,
) -> Subscription {
    let mut subscription = Subscription {
        id,
        customer: wanted.customer,
        status: if wanted.trial_end.is_some() {
            Status::Trialing
        } else {
            Status::Active
        },
        created: now,
        currency,
        items,
        collection_method: wanted.collection_method,
        days_until_due: wanted.days_until_due,
        billing_mode: wanted.billing_mode,
        billing_cycle_anchor: wanted
            .billing_cycle_anchor
            .or(wanted.trial_end)
            .unwrap_or(now),
        trial_start: wanted.trial_end.map(|_| now),
        trial_end: wanted.trial_end,
        missing_payment_method: wanted.missing_payment_method,
        cancel_at: wanted.cancel_at,
        cancel_at_period_end: wanted.cancel_at_period_end,
        canceled_at: None,
        ended_at: None,
        cancellation: Cancellation::default(),
        automatic_tax: wanted.automatic_tax,
        description: wanted.description,
        metadata: wanted.metadata,
        changed_at: now,
        test_clock,
        latest_invoice: None,
        pause_collection: None,
        trial_notice_sent: false,
        unbilled: Vec::new(),
    };
    if subscription.cancel_at_period_end {
        subscription.cancel_at = subscription.period_end();
    }
    if subscription.cancel_at.is_some() {
        subscription.canceled_at = Some(now);
        subscription.cancellation.requested = true;
    }
    subscription
}

pub(crate) fn create(mut call: Call<'_>) -> Answer {
    let customer = call.fields.peek("customer");
    let now = call.world.time_of(customer.unwrap_or_default(), call.now);
    let mut wanted = Wanted::read(&mut call.fields, now);
    call.fields.finish()?;
    let world = call.world;
    customers::named_by(world, "customer", &wanted.customer)?;
    let (method, days) = (wanted.collection_method, wanted.days_until_due);
    check_collection(world, &wanted.customer, method, days)?;
    let prices = check_items(world, &wanted)?;
    check_payment(&wanted, &prices)?;
    check_anchor(&wanted, &prices, now)?;
    let anchor = wanted
        .billing_cycle_anchor
        .or(wanted.trial_end)
        .unwrap_or(now);
    let currency = prices
        .first()
        .map(|(price, _)| price.currency.clone())
        .unwrap_or_default();
    check_currency(world, &wanted.customer, &currency)?;
    let items = first_items(call.ids, &mut wanted, &prices, anchor, now);
    let id = call.ids.subscription();
    let customer = world.customers.get_mut(&wanted.customer);
    let test_clock = customer.and_then(|customer| {
        customer.currency.get_or_insert(currency.clone());
        customer.test_clock.clone()
    });
    let subscription = started(id, wanted, items, currency, test_clock, now);
    let mut moment = Moment {
        world: &mut *world,
        ids: &mut *call.ids,
        at: now,
    };
    let position = moment.add_subscription(subscription);
    lifecycle::bill_first(&mut moment, position);
    lifecycle::settle(world, call.ids, call.now);
    retrieve_at(world, position)
}
