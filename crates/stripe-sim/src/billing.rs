//! What happens to invoices: they are opened, finalized, paid, not paid, voided.
//!
//! Guesses, because Stripe lets the account decide or says nothing:
//! - a sent invoice that is not paid by its due date is overdue, and its active subscription is
//!   `past_due` until nothing of it is in arrears; it never becomes `unpaid` or `canceled` by that;
//! - a charge is tried once, when the invoice is finalized, and fails unless `charges_succeed`;
//! - finalizing does not wait for `invoice.created` to be delivered;
//! - an invoice asked for by `invoice_now` waits for the same grace as that of a period's end, one by
//!   `always_invoice` does not wait;
//! - a due date counts from when the invoice was finalized.

use crate::calendar::DAY_S;
use crate::invoice_lines::{Line, Stretch};
use crate::invoices::{Invoice, InvoiceStatus, Reason};
use crate::moment::Moment;
use crate::subscriptions::{CollectionMethod, PauseBehavior, Status, Subscription};

/// An invoice to be made of a subscription.
#[derive(Debug)]
pub(crate) struct Bill {
    pub(crate) reason: Reason,
    pub(crate) usage: Vec<Stretch>,
    /// Licensed lines, paid ahead.
    pub(crate) ahead: Vec<Line>,
    pub(crate) at_once: bool,
}

/// The invoice that a bill would be. None if it has no lines.
pub(crate) fn draft(
    moment: &mut Moment<'_>,
    subscription: &Subscription,
    bill: Bill,
) -> Option<Invoice> {
    let at = moment.at;
    let usage = bill.usage.into_iter();
    let usage = usage.map(|stretch| Line::metered(moment.ids, stretch));
    let lines: Vec<Line> = usage.chain(bill.ahead).collect();
    let started = lines.iter().map(|line| line.starts_at().min(at)).min()?;
    let pause = subscription.pause_collection.as_ref();
    let paused = pause.map(|pause| pause.behavior);
    let auto_advance = paused != Some(PauseBehavior::KeepAsDraft);
    let grace_s = moment.world.settings.invoice_grace_s;
    Some(Invoice {
        id: moment.ids.invoice(),
        customer: subscription.customer.clone(),
        subscription: subscription.id.clone(),
        test_clock: subscription.test_clock.clone(),
        created: at,
        currency: subscription.currency.clone(),
        status: InvoiceStatus::Draft,
        reason: bill.reason,
        collection_method: subscription.collection_method,
        days_until_due: subscription.days_until_due,
        period_start: started,
        period_end: at,
        lines,
        finalizes_at: auto_advance.then_some(if bill.at_once { at } else { at + grace_s }),
        auto_advance,
        paused,
        number: None,
        due_date: None,
        overdue: false,
        attempt_count: 0,
        amount_paid: 0,
        finalized_at: None,
        paid_at: None,
        voided_at: None,
        uncollectible_at: None,
        metadata: subscription.metadata.clone(),
    })
}

/// Opens the invoice and gives its id. None if there is nothing to bill.
///
/// One that does not wait is finalized when what is due now is next settled, not in here: that may
/// change the subscription, which the caller is still changing.
pub(crate) fn open(
    moment: &mut Moment<'_>,
    subscription: &Subscription,
    bill: Bill,
) -> Option<String> {
    let invoice = draft(moment, subscription, bill)?;
    let id = invoice.id.clone();
    moment.add_invoice(invoice);
    Some(id)
}

/// What is due: a draft is finalized, an open invoice becomes overdue.
pub(crate) fn happen(moment: &mut Moment<'_>, position: usize) {
    let Some(invoice) = moment.world.invoices.store().at(position) else {
        return;
    };
    match invoice.status {
        InvoiceStatus::Draft => finalize(moment, position),
        InvoiceStatus::Open => {
            moment.change_invoice(position, "invoice.overdue", |it| it.overdue = true);
            fall_behind(moment, position);
        }
        InvoiceStatus::Paid | InvoiceStatus::Uncollectible | InvoiceStatus::Void => {}
    }
}

/// Writes the lines down for good, and collects.
pub(crate) fn finalize(moment: &mut Moment<'_>, position: usize) {
    let at = moment.at;
    let Some(invoice) = moment.world.invoices.store().at(position) else {
        return;
    };
    let lines = invoice.measured(moment.world, i64::MAX).lines;
    let customer = invoice.customer.clone();
    let customer = moment.world.customers.get_mut(&customer);
    let number = customer.map(|it| it.take_invoice_number());
    let mut total = 0;
    moment.change_invoice(position, "invoice.finalized", |it| {
        it.lines = lines;
        it.number = number;
        it.status = InvoiceStatus::Open;
        it.finalized_at = Some(at);
        it.due_date = it.days_until_due.map(|days| at + days * DAY_S);
        total = it.total();
    });
    let Some(invoice) = moment.world.invoices.store().at(position) else {
        return;
    };
    let charged = invoice.collection_method == CollectionMethod::ChargeAutomatically;
    let charged = charged && invoice.auto_advance;
    if total <= 0 {
        settle_paid(moment, position);
        return;
    }
    match invoice.paused {
        Some(PauseBehavior::Void) => void(moment, position),
        Some(PauseBehavior::MarkUncollectible) => {
            moment.change_invoice(position, "invoice.marked_uncollectible", |it| {
                it.status = InvoiceStatus::Uncollectible;
                it.uncollectible_at = Some(at);
            });
        }
        Some(PauseBehavior::KeepAsDraft) | None if charged => charge(moment, position),
        Some(PauseBehavior::KeepAsDraft) | None => {}
    }
}

/// Tries to charge. Whether that works is a setting.
pub(crate) fn charge(moment: &mut Moment<'_>, position: usize) {
    if moment.world.settings.charges_succeed {
        settle_paid(moment, position);
        return;
    }
    moment.change_invoice(position, "invoice.payment_failed", |it| {
        it.attempt_count += 1;
    });
    fall_behind(moment, position);
}

pub(crate) fn settle_paid(moment: &mut Moment<'_>, position: usize) {
    let at = moment.at;
    moment.change_invoice(position, "invoice.paid", |it| {
        it.status = InvoiceStatus::Paid;
        it.amount_paid = it.total().max(0);
        it.paid_at = Some(at);
    });
    moment.tell_of_invoice(position, "invoice.payment_succeeded");
    catch_up(moment, position);
}

pub(crate) fn void(moment: &mut Moment<'_>, position: usize) {
    let at = moment.at;
    moment.change_invoice(position, "invoice.voided", |it| {
        it.status = InvoiceStatus::Void;
        it.voided_at = Some(at);
    });
    catch_up(moment, position);
}

/// The place of the subscription of an invoice, if it has this status.
fn subscription_if(moment: &Moment<'_>, position: usize, status: Status) -> Option<usize> {
    let invoice = moment.world.invoices.store().at(position)?;
    let subscriptions = &moment.world.subscriptions;
    let found = subscriptions.position(&invoice.subscription)?;
    let subscription = subscriptions.at(found)?;
    (subscription.status == status).then_some(found)
}

fn fall_behind(moment: &mut Moment<'_>, position: usize) {
    set_status(moment, position, Status::Active, Status::PastDue);
}

fn catch_up(moment: &mut Moment<'_>, position: usize) {
    let invoices = &moment.world.invoices;
    let Some(invoice) = invoices.store().at(position) else {
        return;
    };
    let of_same = invoices.of_subscription(&invoice.subscription);
    if !of_same.iter().any(|it| it.is_in_arrears()) {
        set_status(moment, position, Status::PastDue, Status::Active);
    }
}

fn set_status(moment: &mut Moment<'_>, position: usize, from: Status, to: Status) {
    let at = moment.at;
    if let Some(subscription) = subscription_if(moment, position, from) {
        moment.change_subscription(subscription, |it| {
            it.status = to;
            it.changed_at = at;
        });
    }
}
