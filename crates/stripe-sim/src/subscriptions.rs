//! `/v1/subscriptions`: what a subscription is, how it looks, and how it is found.
//!
//! `subscription_create`, `subscription_change` and `lifecycle` are the three ways it changes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agenda::{Agenda, Task, Timeline};
use crate::calendar::DAY_S;
use crate::choice::choices;
use crate::errors::Refusal;
use crate::invoice_lines::Stretch;
use crate::metadata::Metadata;
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

/// How long before a trial's end its customer is told.
const TRIAL_NOTICE_S: i64 = 3 * DAY_S;

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
    /// When its price last changed in the period: what was used before is not at this price.
    #[serde(default)]
    pub(crate) unbilled_since: Option<i64>,
}

choices! {
    /// What becomes of the invoices of a subscription whose collection is paused.
    PauseBehavior {
        KeepAsDraft = "keep_as_draft",
        MarkUncollectible = "mark_uncollectible",
        Void = "void",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PauseCollection {
    pub(crate) behavior: PauseBehavior,
    pub(crate) resumes_at: Option<i64>,
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
    /// The clock it lives on: its customer's.
    #[serde(default)]
    pub(crate) test_clock: Timeline,
    #[serde(default)]
    pub(crate) latest_invoice: Option<String>,
    #[serde(default)]
    pub(crate) pause_collection: Option<PauseCollection>,
    #[serde(default)]
    pub(crate) trial_notice_sent: bool,
    /// What was used at earlier prices and by removed items, for the next invoice.
    #[serde(default)]
    pub(crate) unbilled: Vec<Stretch>,
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

    /// When its customer is to be told that the trial ends, unless that was done.
    pub(crate) fn trial_notice_at(&self) -> Option<i64> {
        let waits = self.status == Status::Trialing && !self.trial_notice_sent;
        let end = self.trial_end.filter(|_| waits)?;
        Some((end - TRIAL_NOTICE_S).max(self.trial_start.unwrap_or(self.created)))
    }

    /// When something is next due to happen to it by itself.
    fn due_at(&self) -> Option<i64> {
        let by_status = match self.status {
            Status::Canceled | Status::IncompleteExpired => return None,
            Status::Trialing => self.trial_end,
            Status::Active | Status::PastDue | Status::Unpaid => self.period_end(),
            Status::Paused | Status::Incomplete => None,
        };
        let pause = self.pause_collection.as_ref();
        let resumes_at = pause.and_then(|pause| pause.resumes_at);
        let others = [self.cancel_at, self.trial_notice_at(), resumes_at];
        by_status
            .into_iter()
            .chain(others.into_iter().flatten())
            .min()
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
            "latest_invoice": self.latest_invoice,
            "livemode": false,
            "metadata": self.metadata,
            "pause_collection": self.pause_collection,
            "start_date": self.created,
            "status": self.status,
            "test_clock": self.test_clock,
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
            "next_pending_invoice_item_invoice": null,
        "on_behalf_of": null,
        "pending_invoice_item_interval": null,
        "pending_setup_intent": null,
        "pending_update": null,
        "schedule": null,
        "transfer_data": null,
        "payment_settings": {
            "payment_method_options": null,
            "payment_method_types": null,
            "save_default_payment_method": "off",
        },
    })
}

/// The subscriptions, and those of each customer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Subscriptions {
    store: Store<Subscription>,
    #[serde(skip)]
    by_customer: HashMap<String, Vec<usize>>,
}

impl Subscriptions {
    pub(crate) fn reindex(&mut self, agenda: &mut Agenda) {
        self.store.reindex();
        self.by_customer.clear();
        for (position, subscription) in self.store.as_slice().iter().enumerate() {
            let of_customer = self.by_customer.entry(subscription.customer.clone());
            of_customer.or_default().push(position);
            let (task, due_at) = (Task::Subscription(position), subscription.due_at());
            agenda.moved(&subscription.test_clock, task, None, due_at);
        }
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
}

/// For [`crate::moment`] alone, which tells of each change.
impl World {
    pub(crate) fn push_subscription(&mut self, subscription: Subscription) -> usize {
        let (due_at, timeline) = (subscription.due_at(), subscription.test_clock.clone());
        let customer = subscription.customer.clone();
        let position = self.subscriptions.store.push(subscription);
        let of_customer = self.subscriptions.by_customer.entry(customer);
        of_customer.or_default().push(position);
        let task = Task::Subscription(position);
        self.agenda.moved(&timeline, task, None, due_at);
        position
    }

    pub(crate) fn change_subscription(
        &mut self,
        position: usize,
        change: impl FnOnce(&mut Subscription),
    ) {
        let Some(subscription) = self.subscriptions.store.at_mut(position) else {
            return;
        };
        let before = subscription.due_at();
        change(subscription);
        let (after, task) = (subscription.due_at(), Task::Subscription(position));
        self.agenda
            .moved(&subscription.test_clock, task, before, after);
    }
}

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.subscriptions.get(&call.id);
    let subscription = found.ok_or_else(|| Refusal::no_such(Subscription::NOUN, &call.id))?;
    Ok(subscription.to_value(call.world))
}
