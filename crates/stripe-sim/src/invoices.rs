//! Invoices: what one is, how it looks and when something is due to happen to it.
//!
//! `billing` is what happens to them, `invoice_calls` what callers may do.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agenda::{Agenda, Task, Timeline};
use crate::choice::choices;
use crate::invoice_lines::Line;
use crate::metadata::Metadata;
use crate::store::{Record, Store};
use crate::subscriptions::{CollectionMethod, PauseBehavior};
use crate::world::World;

/// How many of its lines an invoice shows; `/v1/invoices/{id}/lines` has all.
const LINES_SHOWN: usize = 10;

choices! {
    InvoiceStatus {
        Draft = "draft",
        Open = "open",
        Paid = "paid",
        Uncollectible = "uncollectible",
        Void = "void",
    }
}

choices! {
    /// Why there is an invoice.
    Reason {
        Cycle = "subscription_cycle",
        Create = "subscription_create",
        Update = "subscription_update",
        Upcoming = "upcoming",
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Invoice {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) subscription: String,
    pub(crate) test_clock: Timeline,
    pub(crate) created: i64,
    pub(crate) currency: String,
    pub(crate) status: InvoiceStatus,
    pub(crate) reason: Reason,
    pub(crate) collection_method: CollectionMethod,
    pub(crate) days_until_due: Option<i64>,
    pub(crate) period_start: i64,
    pub(crate) period_end: i64,
    pub(crate) lines: Vec<Line>,
    /// When a draft is finalized by itself. None is never.
    pub(crate) finalizes_at: Option<i64>,
    pub(crate) auto_advance: bool,
    /// What becomes of it because collection was paused when it was made.
    pub(crate) paused: Option<PauseBehavior>,
    pub(crate) number: Option<String>,
    pub(crate) due_date: Option<i64>,
    /// Whether its customer was told that it is overdue.
    pub(crate) overdue: bool,
    pub(crate) attempt_count: i64,
    pub(crate) amount_paid: i64,
    pub(crate) finalized_at: Option<i64>,
    pub(crate) paid_at: Option<i64>,
    pub(crate) voided_at: Option<i64>,
    pub(crate) uncollectible_at: Option<i64>,
    pub(crate) metadata: Metadata,
}

impl Record for Invoice {
    const NOUN: &'static str = "invoice";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Invoice {
    pub(crate) fn total(&self) -> i64 {
        self.lines.iter().map(Line::amount).sum()
    }

    /// Whether a customer failed to pay it in time.
    pub(crate) fn is_in_arrears(&self) -> bool {
        self.status == InvoiceStatus::Open && (self.overdue || self.attempt_count > 0)
    }

    /// When something is next due to happen to it by itself.
    fn due_at(&self) -> Option<i64> {
        match self.status {
            InvoiceStatus::Draft => self.finalizes_at,
            InvoiceStatus::Open => self.due_date.filter(|_| !self.overdue),
            InvoiceStatus::Paid | InvoiceStatus::Uncollectible | InvoiceStatus::Void => None,
        }
    }

    /// As it stands: a draft's lines are measured, of what was received by `as_of`.
    pub(crate) fn measured(&self, world: &World, as_of: i64) -> Self {
        let mut measured = self.clone();
        if self.status == InvoiceStatus::Draft {
            let lines = self.lines.iter();
            measured.lines = lines
                .map(|line| line.measured(world, &self.customer, as_of))
                .collect();
        }
        measured
    }

    pub(crate) fn to_value(&self, world: &World) -> Value {
        self.measured(world, i64::MAX).measured_value(world)
    }

    /// The value of an invoice whose lines are measured.
    pub(crate) fn measured_value(&self, world: &World) -> Value {
        let lines = self.lines.iter().take(LINES_SHOWN);
        let lines: Vec<Value> = lines.map(|line| line.to_value(world, self)).collect();
        let is_draft = self.status == InvoiceStatus::Draft;
        let finalized = |path: &str| {
            let host = "https://invoice.stripe.com/i/acct_sim";
            self.finalized_at
                .map(|_| format!("{host}/test_{}{path}", self.id))
        };
        let mut value = json!({
            "id": self.id,
            "object": "invoice",
            "attempt_count": self.attempt_count,
            "attempted": self.attempt_count > 0,
            "auto_advance": self.auto_advance && self.status != InvoiceStatus::Paid,
            "automatically_finalizes_at": self.finalizes_at.filter(|_| is_draft),
            "billing_reason": self.reason,
            "collection_method": self.collection_method,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "due_date": self.due_date,
            "effective_at": self.finalized_at,
            "ending_balance": self.finalized_at.map(|_| 0),
            "hosted_invoice_url": finalized(""),
            "invoice_pdf": finalized("/pdf"),
            "lines": {
                "object": "list",
                "data": lines,
                "has_more": self.lines.len() > LINES_SHOWN,
                "total_count": self.lines.len(),
                "url": format!("/v1/invoices/{}/lines", self.id),
            },
            "livemode": false,
            "metadata": {},
            "number": self.number,
            "parent": {
                "quote_details": null,
                "subscription_details": {
                    "metadata": self.metadata,
                    "subscription": self.subscription,
                },
                "type": "subscription_details",
            },
            "period_end": self.period_end,
            "period_start": self.period_start,
            "status": self.status,
            "status_transitions": {
                "finalized_at": self.finalized_at,
                "marked_uncollectible_at": self.uncollectible_at,
                "paid_at": self.paid_at,
                "voided_at": self.voided_at,
            },
            "test_clock": self.test_clock,
        });
        if let Some(fields) = value.as_object_mut() {
            let more = [
                self.amounts(),
                customer_fields(world, &self.customer),
                unused_fields(),
            ];
            for more in more {
                if let Value::Object(more) = more {
                    fields.extend(more);
                }
            }
        }
        value
    }
}

impl Invoice {
    fn amounts(&self) -> Value {
        let total = self.total();
        let due = total.max(0);
        json!({
            "amount_due": due,
            "amount_paid": self.amount_paid,
            "amount_remaining": due - self.amount_paid,
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "total": total,
            "total_excluding_tax": total,
        })
    }
}

fn customer_fields(world: &World, customer: &str) -> Value {
    let customer = world.customers.get(customer).map(|it| it.to_value());
    let of = |name: &str| customer.as_ref().and_then(|it| it.get(name)).cloned();
    json!({
        "customer_address": of("address"),
        "customer_email": of("email"),
        "customer_name": of("name"),
        "customer_phone": of("phone"),
        "customer_tax_exempt": of("tax_exempt"),
    })
}

/// What Stripe shows and nothing here ever sets.
fn unused_fields() -> Value {
    json!({
        "account_country": "DE",
        "account_name": "Simulated account",
        "account_tax_ids": null,
        "amount_overpaid": 0,
        "amount_paid_off_stripe": 0,
        "amount_shipping": 0,
        "application": null,
        "automatic_tax": {
            "disabled_reason": null,
            "enabled": false,
            "liability": null,
            "provider": null,
            "status": null,
        },
        "custom_fields": null,
        "customer_account": null,
        "customer_shipping": null,
        "customer_tax_ids": [],
        "default_payment_method": null,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "footer": null,
        "from_invoice": null,
        "issuer": { "type": "self" },
        "last_finalization_error": null,
        "latest_revision": null,
        "next_payment_attempt": null,
        "on_behalf_of": null,
        "payment_settings": {
            "default_mandate": null,
            "payment_method_options": null,
            "payment_method_types": null,
        },
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": null,
        "rendering": null,
        "shipping_cost": null,
        "shipping_details": null,
        "starting_balance": 0,
        "statement_descriptor": null,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": null,
    })
}

/// The invoices, and those of each subscription.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Invoices {
    store: Store<Invoice>,
    #[serde(skip)]
    by_subscription: HashMap<String, Vec<usize>>,
}

impl Invoices {
    pub(crate) fn reindex(&mut self, agenda: &mut Agenda) {
        self.store.reindex();
        self.by_subscription.clear();
        for (position, invoice) in self.store.as_slice().iter().enumerate() {
            let of_subscription = self.by_subscription.entry(invoice.subscription.clone());
            of_subscription.or_default().push(position);
            let task = Task::Invoice(position);
            agenda.moved(&invoice.test_clock, task, None, invoice.due_at());
        }
    }

    pub(crate) fn store(&self) -> &Store<Invoice> {
        &self.store
    }

    /// Those of one subscription, in the order of their creation.
    pub(crate) fn of_subscription(&self, subscription: &str) -> Vec<&Invoice> {
        let positions = self.by_subscription.get(subscription);
        let positions = positions.map(Vec::as_slice).unwrap_or_default();
        positions
            .iter()
            .filter_map(|position| self.store.at(*position))
            .collect()
    }
}

/// For [`crate::moment`] alone, which tells of each change.
impl World {
    pub(crate) fn push_invoice(&mut self, invoice: Invoice) -> usize {
        let (due_at, timeline) = (invoice.due_at(), invoice.test_clock.clone());
        let subscription = invoice.subscription.clone();
        let position = self.invoices.store.push(invoice);
        let of_subscription = self.invoices.by_subscription.entry(subscription);
        of_subscription.or_default().push(position);
        self.agenda
            .moved(&timeline, Task::Invoice(position), None, due_at);
        position
    }

    pub(crate) fn change_invoice(&mut self, position: usize, change: impl FnOnce(&mut Invoice)) {
        let Some(invoice) = self.invoices.store.at_mut(position) else {
            return;
        };
        let before = invoice.due_at();
        change(invoice);
        let (after, task) = (invoice.due_at(), Task::Invoice(position));
        self.agenda.moved(&invoice.test_clock, task, before, after);
    }
}
