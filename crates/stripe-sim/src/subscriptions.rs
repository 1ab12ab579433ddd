//! `/v1/subscriptions`: what a subscription is, how it looks, and how it is found.
//!
//! `subscription_create`, `subscription_change` and `lifecycle` are the three ways it changes.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::choice::{Choice as _, choices};
use crate::customers;
use crate::errors::Refusal;
use crate::fields::MAX_TEXT;
use crate::metadata::Metadata;
use crate::page::{self, PageRequest};
use crate::search::{self, Searchable, Subject};
use crate::store::{Record, Store};
use crate::world::{Answer, Call, World};

choices! {
    Status {
        Active = "active",
        Canceled = "canceled",
        Incomplete = "incomplete",
        IncompleteExpired = "incomplete_expired",
        PastDue = "past_due",
        Paused = "paused",
        Trialing = "trialing",
        Unpaid = "unpaid",
    }
}

impl Status {
    /// Whether nothing can happen to it any more.
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Canceled | Self::IncompleteExpired => true,
            Self::Active
            | Self::Incomplete
            | Self::PastDue
            | Self::Paused
            | Self::Trialing
            | Self::Unpaid => false,
        }
    }
}

choices! {
    CollectionMethod { ChargeAutomatically = "charge_automatically", SendInvoice = "send_invoice" }
}

choices! {
    BillingMode { Flexible = "flexible", Classic = "classic" }
}

choices! {
    MissingPaymentMethod { CreateInvoice = "create_invoice", Cancel = "cancel", Pause = "pause" }
}

choices! {
    Feedback {
        CustomerService = "customer_service",
        LowQuality = "low_quality",
        MissingFeatures = "missing_features",
        Other = "other",
        SwitchedService = "switched_service",
        TooComplex = "too_complex",
        TooExpensive = "too_expensive",
        Unused = "unused",
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) price: String,
    /// None for a metered price.
    pub(crate) quantity: Option<i64>,
    pub(crate) metadata: Metadata,
    pub(crate) period_start: i64,
    pub(crate) period_end: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cancellation {
    pub(crate) requested: bool,
    pub(crate) comment: Option<String>,
    pub(crate) feedback: Option<Feedback>,
    /// Whether an immediate cancellation asked for a last invoice.
    pub(crate) invoice_now: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) status: Status,
    pub(crate) created: i64,
    pub(crate) currency: String,
    pub(crate) items: Vec<Item>,
    pub(crate) collection_method: CollectionMethod,
    pub(crate) days_until_due: Option<i64>,
    pub(crate) billing_mode: BillingMode,
    pub(crate) billing_cycle_anchor: i64,
    pub(crate) trial_start: Option<i64>,
    pub(crate) trial_end: Option<i64>,
    pub(crate) missing_payment_method: MissingPaymentMethod,
    pub(crate) cancel_at: Option<i64>,
    pub(crate) cancel_at_period_end: bool,
    pub(crate) canceled_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) cancellation: Cancellation,
    pub(crate) automatic_tax: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Metadata,
    /// When search may see it as it is.
    pub(crate) changed_at: i64,
}

impl Record for Subscription {
    const NOUN: &'static str = "subscription";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Subscription {
    /// The end of the item period that ends first.
    pub(crate) fn period_end(&self) -> Option<i64> {
        self.items.iter().map(|item| item.period_end).min()
    }

    /// When something is next due to happen to it by itself.
    fn due_at(&self) -> Option<i64> {
        let by_status = match self.status {
            Status::Canceled | Status::IncompleteExpired => return None,
            Status::Trialing => self.trial_end,
            Status::Active | Status::PastDue | Status::Unpaid => self.period_end(),
            Status::Paused | Status::Incomplete => None,
        };
        by_status.into_iter().chain(self.cancel_at).min()
    }

    pub(crate) fn to_value(&self, world: &World) -> Value {
        let automatic_tax_liability = self.automatic_tax.then(|| json!({ "type": "self" }));
        let items: Vec<Value> = self
            .items
            .iter()
            .map(|item| self.item_value(item, world))
            .collect();
        let mut value = json!({
            "id": self.id,
            "object": "subscription",
            "automatic_tax": {
                "disabled_reason": null,
                "enabled": self.automatic_tax,
                "liability": automatic_tax_liability,
            },
            "billing_cycle_anchor": self.billing_cycle_anchor,
            "billing_mode": self.billing_mode_value(),
            "cancel_at": self.cancel_at,
            "cancel_at_period_end": self.cancel_at_period_end,
            "canceled_at": self.canceled_at,
            "cancellation_details": {
                "comment": self.cancellation.comment,
                "feedback": self.cancellation.feedback,
                "reason": self.cancellation.requested.then_some("cancellation_requested"),
            },
            "collection_method": self.collection_method,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "days_until_due": self.days_until_due,
            "description": self.description,
            "ended_at": self.ended_at,
            "items": {
                "object": "list",
                "data": items,
                "has_more": false,
                "total_count": self.items.len(),
                "url": format!("/v1/subscription_items?subscription={}", self.id),
            },
            "livemode": false,
            "metadata": self.metadata,
            "start_date": self.created,
            "status": self.status,
            "trial_end": self.trial_end,
            "trial_settings": {
                "end_behavior": { "missing_payment_method": self.missing_payment_method },
            },
            "trial_start": self.trial_start,
        });
        if let (Some(fields), Value::Object(unused)) = (value.as_object_mut(), unused_fields()) {
            fields.extend(unused);
        }
        value
    }

    fn billing_mode_value(&self) -> Value {
        match self.billing_mode {
            BillingMode::Flexible => json!({
                "flexible": { "proration_discounts": "included" },
                "type": "flexible",
            }),
            BillingMode::Classic => json!({ "flexible": null, "type": "classic" }),
        }
    }

    fn item_value(&self, item: &Item, world: &World) -> Value {
        let price = world.prices.get(&item.price);
        let mut value = json!({
            "id": item.id,
            "object": "subscription_item",
            "billing_thresholds": null,
            "created": item.created,
            "current_period_end": item.period_end,
            "current_period_start": item.period_start,
            "discounts": [],
            "metadata": item.metadata,
            "plan": price.and_then(|price| price.to_plan()),
            "price": price.map(|price| price.to_value()),
            "subscription": self.id,
            "tax_rates": [],
        });
        if let (Some(quantity), Some(fields)) = (item.quantity, value.as_object_mut()) {
            fields.insert("quantity".to_owned(), json!(quantity));
        }
        value
    }
}

/// What Stripe shows and nothing here ever sets.
fn unused_fields() -> Value {
    json!({
        "application": null,
        "application_fee_percent": null,
        "billing_cycle_anchor_config": null,
        "billing_schedules": [],
        "billing_thresholds": null,
        "customer_account": null,
        "default_payment_method": null,
        "default_source": null,
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": { "account_tax_ids": null, "issuer": { "type": "self" } },
        "latest_invoice": null,
        "next_pending_invoice_item_invoice": null,
        "on_behalf_of": null,
        "pause_collection": null,
        "pending_invoice_item_interval": null,
        "pending_setup_intent": null,
        "pending_update": null,
        "schedule": null,
        "test_clock": null,
        "transfer_data": null,
        "payment_settings": {
            "payment_method_options": null,
            "payment_method_types": null,
            "save_default_payment_method": "off",
        },
    })
}

/// The subscriptions, those of each customer, and what is due to happen to them and when.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Subscriptions {
    store: Store<Subscription>,
    #[serde(skip)]
    by_customer: HashMap<String, Vec<usize>>,
    #[serde(skip)]
    due: BTreeSet<(i64, usize)>,
}

impl Subscriptions {
    pub(crate) fn reindex(&mut self) {
        self.store.reindex();
        self.by_customer.clear();
        self.due.clear();
        for (position, subscription) in self.store.as_slice().iter().enumerate() {
            let of_customer = self.by_customer.entry(subscription.customer.clone());
            of_customer.or_default().push(position);
            self.due
                .extend(subscription.due_at().map(|at| (at, position)));
        }
    }

    pub(crate) fn push(&mut self, subscription: Subscription) {
        let due_at = subscription.due_at();
        let customer = subscription.customer.clone();
        let position = self.store.push(subscription);
        self.by_customer.entry(customer).or_default().push(position);
        self.due.extend(due_at.map(|at| (at, position)));
    }

    pub(crate) fn store(&self) -> &Store<Subscription> {
        &self.store
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Subscription> {
        self.store.get(id)
    }

    pub(crate) fn at(&self, position: usize) -> Option<&Subscription> {
        self.store.at(position)
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.store.position(id)
    }

    pub(crate) fn of_customer(&self, customer: &str) -> Vec<usize> {
        self.by_customer.get(customer).cloned().unwrap_or_default()
    }

    /// The only way to change one: what is due is kept in step.
    pub(crate) fn change(&mut self, position: usize, change: impl FnOnce(&mut Subscription)) {
        let Some(subscription) = self.store.at_mut(position) else {
            return;
        };
        let before = subscription.due_at();
        change(subscription);
        let after = subscription.due_at();
        if before != after {
            if let Some(at) = before {
                self.due.remove(&(at, position));
            }
            self.due.extend(after.map(|at| (at, position)));
        }
    }

    /// The first thing that is due by `now`: when, and to which one.
    pub(crate) fn first_due(&self, now: i64) -> Option<(i64, usize)> {
        self.due.first().copied().filter(|(at, _)| *at <= now)
    }
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.subscriptions.get(&call.id);
    let subscription = found.ok_or_else(|| Refusal::no_such(Subscription::NOUN, &call.id))?;
    Ok(subscription.to_value(call.world))
}

choices! {
    StatusFilter {
        All = "all",
        Ended = "ended",
        Active = "active",
        Canceled = "canceled",
        Incomplete = "incomplete",
        IncompleteExpired = "incomplete_expired",
        PastDue = "past_due",
        Paused = "paused",
        Trialing = "trialing",
        Unpaid = "unpaid",
    }
}

/// Without a filter a list leaves out what is canceled.
fn has_status(filter: Option<StatusFilter>, status: Status) -> bool {
    match filter {
        None => status != Status::Canceled,
        Some(StatusFilter::All) => true,
        Some(StatusFilter::Ended) => status.is_final(),
        Some(StatusFilter::Active) => status == Status::Active,
        Some(StatusFilter::Canceled) => status == Status::Canceled,
        Some(StatusFilter::Incomplete) => status == Status::Incomplete,
        Some(StatusFilter::IncompleteExpired) => status == Status::IncompleteExpired,
        Some(StatusFilter::PastDue) => status == Status::PastDue,
        Some(StatusFilter::Paused) => status == Status::Paused,
        Some(StatusFilter::Trialing) => status == Status::Trialing,
        Some(StatusFilter::Unpaid) => status == Status::Unpaid,
    }
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let page = PageRequest::read(fields);
    let customer = fields.text("customer", MAX_TEXT);
    let status: Option<StatusFilter> = fields.choice("status");
    let price = fields.text("price", MAX_TEXT);
    let method: Option<CollectionMethod> = fields.choice("collection_method");
    let created = fields.range("created");
    let period_start = fields.range("current_period_start");
    let period_end = fields.range("current_period_end");
    fields.finish()?;
    let world = &*call.world;
    if let Some(price) = &price
        && world.prices.get(price).is_none()
    {
        return Err(Refusal::no_such_in("price", "price", price));
    }
    let keep = |subscription: &Subscription| {
        let items = &subscription.items;
        has_status(status, subscription.status)
            && price
                .as_ref()
                .is_none_or(|price| items.iter().any(|item| item.price == *price))
            && method.is_none_or(|method| subscription.collection_method == method)
            && created.holds(subscription.created)
            && items
                .iter()
                .any(|item| period_start.holds(item.period_start))
            && items.iter().any(|item| period_end.holds(item.period_end))
    };
    let subscriptions = &world.subscriptions;
    let (data, has_more): (Vec<Value>, bool) = match &customer {
        None => {
            let (page, has_more) = page.of_store(subscriptions.store(), keep)?;
            (
                page.into_iter().map(|it| it.to_value(world)).collect(),
                has_more,
            )
        }
        Some(customer) => {
            customers::named_by(world, "customer", customer)?;
            let positions = subscriptions.of_customer(customer);
            let own: Vec<&Subscription> = positions
                .into_iter()
                .filter_map(|position| subscriptions.at(position))
                .collect();
            let place = |id: &str| own.iter().position(|subscription| subscription.id == id);
            let (page, has_more) = page.of_slice(&own, place, |it| keep(it))?;
            (
                page.into_iter().map(|it| it.to_value(world)).collect(),
                has_more,
            )
        }
    };
    Ok(page::list("/v1/subscriptions", data, has_more))
}

impl Searchable for Subscription {
    const PLURAL: &'static str = "subscriptions";

    fn subject(&self, name: &str) -> Subject<'_> {
        match name {
            "status" => Subject::Text(Some(self.status.word())),
            "created" => Subject::Number(self.created),
            "canceled_at" => Subject::Number(self.canceled_at.unwrap_or_default()),
            _ => Subject::Unsupported,
        }
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn is_visible(&self, as_of: i64) -> bool {
        self.changed_at <= as_of
    }

    fn to_found(&self, world: &World) -> Value {
        self.to_value(world)
    }
}

pub(crate) fn search(call: Call<'_>) -> Answer {
    search::run(call, "/v1/subscriptions/search", |world| {
        world.subscriptions.store()
    })
}
