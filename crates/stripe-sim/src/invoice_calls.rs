//! `/v1/invoices`: finding, previewing, finalizing, paying and voiding.

use serde_json::Value;

use crate::billing::{self, Bill};
use crate::choice::Choice as _;
use crate::customers;
use crate::errors::Refusal;
use crate::fields::MAX_TEXT;
use crate::invoice_lines::{Line, unbilled};
use crate::invoices::{Invoice, InvoiceStatus, Reason};
use crate::lifecycle;
use crate::moment::Moment;
use crate::page::{self, PageRequest};
use crate::store::Record;
use crate::subscriptions::{Status, Subscription};
use crate::world::{Answer, Call, World};

pub(crate) fn retrieve(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let found = call.world.invoices.store().get(&call.id);
    let invoice = found.ok_or_else(|| Refusal::no_such(Invoice::NOUN, &call.id))?;
    Ok(invoice.to_value(call.world))
}

pub(crate) fn list(mut call: Call<'_>) -> Answer {
    let fields = &mut call.fields;
    let page = PageRequest::read(fields);
    let customer = fields.text("customer", MAX_TEXT);
    let subscription = fields.text("subscription", MAX_TEXT);
    let status: Option<InvoiceStatus> = fields.choice("status");
    let created = fields.range("created");
    fields.finish()?;
    let world = &*call.world;
    if let Some(id) = &customer
        && world.customers.get(id).is_none()
    {
        return Err(Refusal::no_such_in("customer", "customer", id));
    }
    if let Some(id) = &subscription
        && world.subscriptions.get(id).is_none()
    {
        return Err(Refusal::no_such_in("subscription", Subscription::NOUN, id));
    }
    let keep = |invoice: &Invoice| {
        customer.as_ref().is_none_or(|it| invoice.customer == *it)
            && status.is_none_or(|status| invoice.status == status)
            && created.holds(invoice.created)
    };
    let store = world.invoices.store();
    let (found, has_more): (Vec<&Invoice>, bool) = match &subscription {
        None => page.of_store(store, keep)?,
        Some(subscription) => {
            let own = world.invoices.of_subscription(subscription);
            let place = |id: &str| own.iter().position(|invoice| invoice.id == id);
            let (page, has_more) = page.of_slice(&own, place, |it| keep(it))?;
            (page.into_iter().copied().collect(), has_more)
        }
    };
    let data: Vec<Value> = found.into_iter().map(|it| it.to_value(world)).collect();
    Ok(page::list("/v1/invoices", data, has_more))
}

/// The lines of an invoice, in the order in which it shows the first of them.
pub(crate) fn lines(mut call: Call<'_>) -> Answer {
    let page = PageRequest::read(&mut call.fields);
    call.fields.finish()?;
    let world = &*call.world;
    let found = world.invoices.store().get(&call.id);
    let invoice = found.ok_or_else(|| Refusal::no_such(Invoice::NOUN, &call.id))?;
    let invoice = invoice.measured(world, i64::MAX);
    // A page begins with what was made last.
    let lines: Vec<&Line> = invoice.lines.iter().rev().collect();
    let place = |id: &str| lines.iter().position(|line| line.id() == id);
    let (page, has_more) = page.of_slice(&lines, place, |_| true)?;
    let data = page.into_iter().map(|line| line.to_value(world, &invoice));
    let url = format!("/v1/invoices/{}/lines", invoice.id);
    Ok(page::list(&url, data.collect(), has_more))
}

fn none_upcoming(customer: &str) -> Refusal {
    Refusal {
        status: 404,
        ..Refusal::refused(
            None,
            Some("invoice_upcoming_none"),
            format!("No upcoming invoices for customer: {customer}"),
        )
    }
}

/// The next invoice of a subscription as it would be now; it lags as summaries do.
pub(crate) fn create_preview(mut call: Call<'_>) -> Answer {
    let customer = call.fields.text("customer", MAX_TEXT);
    let subscription = call.fields.text("subscription", MAX_TEXT);
    if customer.is_none() && subscription.is_none() {
        call.fields.need::<()>("subscription", None);
    }
    call.fields.finish()?;
    let world = call.world;
    let found = previewed(world, customer.as_deref(), subscription.as_deref())?;
    let customer = found.customer.clone();
    let Some(end) = found.period_end().filter(|_| will_bill(found)) else {
        return Err(none_upcoming(&customer));
    };
    let found = found.clone();
    let trialing = found.status == Status::Trialing;
    let ends = |period_end: i64| !trialing && period_end <= end;
    let usage = unbilled(world, &found, end, |item| ends(item.period_end));
    let mut next = found.clone();
    lifecycle::renew(&mut next, &lifecycle::intervals(world, &found), end);
    let goes_on = next.cancel_at.is_none_or(|at| at > end);
    let items = next.items.iter().filter(|it| it.period_start == end);
    let ahead = items.filter_map(|item| Line::licensed(world, call.ids, item));
    let ahead = ahead.filter(|_| goes_on).collect();
    let mut moment = Moment {
        world: &mut *world,
        ids: &mut *call.ids,
        at: end,
    };
    let bill = Bill {
        reason: Reason::Upcoming,
        usage,
        ahead,
        at_once: false,
    };
    let invoice = billing::draft(&mut moment, &found, bill);
    let mut invoice = invoice.ok_or_else(|| none_upcoming(&customer))?;
    invoice.id = invoice.id.replace("in_1", "upcoming_in_1");
    let as_of = call.now.saturating_sub(world.settings.summary_lag_s);
    Ok(invoice.measured(world, as_of).measured_value(world))
}

fn will_bill(subscription: &Subscription) -> bool {
    !subscription.status.is_final() && subscription.status != Status::Paused
}

fn previewed<'w>(
    world: &'w World,
    customer: Option<&str>,
    subscription: Option<&str>,
) -> Result<&'w Subscription, Refusal> {
    if let Some(id) = subscription {
        let found = world.subscriptions.get(id);
        let of_customer =
            found.filter(|it| customer.is_none_or(|customer| it.customer == customer));
        return of_customer
            .ok_or_else(|| Refusal::no_such_in("subscription", Subscription::NOUN, id));
    }
    let id = customer.unwrap_or_default();
    customers::named_by(world, "customer", id)?;
    let own = world.subscriptions.of_customer(id).into_iter();
    let mut own = own.filter_map(|position| world.subscriptions.at(position));
    own.find(|it| will_bill(it))
        .ok_or_else(|| none_upcoming(id))
}

/// Acts on the invoice that the path names, if it has one of these statuses.
fn act(
    call: Call<'_>,
    on: &[InvoiceStatus],
    what: &str,
    action: impl FnOnce(&mut Moment<'_>, usize) -> Result<(), Refusal>,
) -> Answer {
    let world = call.world;
    let store = world.invoices.store();
    let found = store.get(&call.id).zip(store.position(&call.id));
    let (invoice, position) = found.ok_or_else(|| Refusal::no_such(Invoice::NOUN, &call.id))?;
    if !on.contains(&invoice.status) {
        let message = format!(
            "This invoice cannot be {what}: its status is {}.",
            invoice.status.word()
        );
        return Err(Refusal::refused(None, None, message));
    }
    let at = world.time_on(&invoice.test_clock, call.now);
    let mut moment = Moment {
        world: &mut *world,
        ids: &mut *call.ids,
        at,
    };
    action(&mut moment, position)?;
    let invoice = world.invoices.store().at(position);
    invoice
        .map(|it| it.to_value(world))
        .ok_or_else(|| Refusal::server_error(500))
}

pub(crate) fn finalize(mut call: Call<'_>) -> Answer {
    let auto_advance = call.fields.boolean("auto_advance");
    call.fields.finish()?;
    act(call, &[InvoiceStatus::Draft], "finalized", |moment, at| {
        if let Some(auto_advance) = auto_advance {
            moment
                .world
                .change_invoice(at, |it| it.auto_advance = auto_advance);
        }
        billing::finalize(moment, at);
        Ok(())
    })
}

/// Guess: without a payment method the refusal is a 400 and counts as no attempt.
pub(crate) fn pay(mut call: Call<'_>) -> Answer {
    let out_of_band = call.fields.boolean("paid_out_of_band").unwrap_or(false);
    call.fields.finish()?;
    let payable = [
        InvoiceStatus::Draft,
        InvoiceStatus::Open,
        InvoiceStatus::Uncollectible,
    ];
    act(call, &payable, "paid", |moment, position| {
        if !out_of_band && !moment.world.settings.charges_succeed {
            return Err(Refusal::refused(
                None,
                None,
                "There is no `default_payment_method` set on this Customer or Invoice. Please set \
                 either `default_payment_method` on this Customer or Invoice and try again.",
            ));
        }
        let status = |moment: &Moment<'_>| {
            let invoice = moment.world.invoices.store().at(position);
            invoice.map(|it| it.status)
        };
        if status(moment) == Some(InvoiceStatus::Draft) {
            moment
                .world
                .change_invoice(position, |it| it.auto_advance = false);
            billing::finalize(moment, position);
        }
        if status(moment) != Some(InvoiceStatus::Paid) {
            billing::settle_paid(moment, position);
        }
        Ok(())
    })
}

pub(crate) fn void(mut call: Call<'_>) -> Answer {
    call.fields.finish()?;
    let voidable = [InvoiceStatus::Open, InvoiceStatus::Uncollectible];
    act(call, &voidable, "voided", |moment, position| {
        billing::void(moment, position);
        Ok(())
    })
}
