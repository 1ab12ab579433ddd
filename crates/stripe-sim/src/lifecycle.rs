//! What happens to subscriptions by itself as time passes: trials end, periods renew, scheduled
//! cancellations come due. Each happens at its own time, however far the clock jumped.
//!
//! Guesses: a trial's end makes no invoice where nothing is to be paid; a scheduled cancellation
//! bills what was used until then, whether or not it falls on a period's end; `trial_will_end` of a
//! trial shorter than three days is told at once.

use crate::agenda::{Task, Timeline};
use crate::billing::{self, Bill};
use crate::calendar::{Interval, next_boundary};
use crate::ids::Ids;
use crate::invoice_lines::{Line, Stretch, unbilled};
use crate::invoices::Reason;
use crate::meter_errors;
use crate::moment::Moment;
use crate::subscriptions::{CollectionMethod, MissingPaymentMethod, Status, Subscription};
use crate::world::World;

/// Things that can be due to one object at one moment. More is a mistake of this program, which
/// must not hold the lock for ever.
const MAX_AT_ONCE: u32 = 16;

/// Lets everything happen that was due by `now`, and on each test clock by its own time.
pub(crate) fn settle(world: &mut World, ids: &mut Ids, now: i64) {
    pass(world, ids, &None, now);
    let clocks = world.test_clocks.as_slice().iter();
    let due = clocks.filter(|clock| {
        let timeline = Some(clock.id.clone());
        let first = world.agenda.first_due(&timeline, clock.frozen_time);
        !clock.deleted && first.is_some()
    });
    let due: Vec<(Timeline, i64)> = due
        .map(|clock| (Some(clock.id.clone()), clock.frozen_time))
        .collect();
    for (timeline, until) in due {
        pass(world, ids, &timeline, until);
    }
}

/// Passes through every moment of a timeline, in order.
fn pass(world: &mut World, ids: &mut Ids, timeline: &Timeline, until: i64) {
    let mut last = None;
    let mut repeats = 0;
    while let Some(due) = world.agenda.first_due(timeline, until) {
        repeats = if last == Some(due) { repeats + 1 } else { 0 };
        last = Some(due);
        let (at, task) = due;
        if repeats > MAX_AT_ONCE {
            tracing::error!(at, ?task, "what was due did not happen");
            return;
        }
        let mut moment = Moment {
            world: &mut *world,
            ids: &mut *ids,
            at,
        };
        match task {
            Task::Invoice(position) => billing::happen(&mut moment, position),
            Task::MeterErrors => meter_errors::happen(&mut moment),
            Task::Subscription(position) => happen(&mut moment, position),
        }
    }
}

/// The interval of each item's price, with its count.
pub(crate) fn intervals(world: &World, subscription: &Subscription) -> Vec<(Interval, i64)> {
    let recurring = |price: &str| world.prices.get(price)?.recurring.as_ref();
    let items = subscription.items.iter();
    items
        .map(|item| {
            recurring(&item.price)
                .map_or((Interval::Month, 1), |it| (it.interval, it.interval_count))
        })
        .collect()
}

/// The one thing that is due first. Several at one moment happen one after another.
fn happen(moment: &mut Moment<'_>, position: usize) {
    let at = moment.at;
    let Some(subscription) = moment.world.subscriptions.at(position) else {
        return;
    };
    let is_due = |time: Option<i64>| time.is_some_and(|time| time <= at);
    let pause = subscription.pause_collection.as_ref();
    if is_due(subscription.trial_notice_at()) {
        moment.change_subscription(position, |it| it.trial_notice_sent = true);
        moment.tell_of_subscription(position, "customer.subscription.trial_will_end");
    } else if is_due(pause.and_then(|pause| pause.resumes_at)) {
        moment.change_subscription(position, |it| it.pause_collection = None);
    } else if is_due(subscription.cancel_at) {
        let mut next = subscription.clone();
        bill_last(moment, &mut next);
        end(&mut next, at);
        moment.change_subscription(position, |it| *it = next);
    } else if subscription.status == Status::Trialing {
        end_trial(moment, position);
    } else {
        roll_over(moment, position);
    }
}

/// A trial's end asks for a payment method only where an invoice is not simply sent.
fn end_trial(moment: &mut Moment<'_>, position: usize) {
    let at = moment.at;
    let Some(mut next) = moment.world.subscriptions.at(position).cloned() else {
        return;
    };
    let behavior = match next.collection_method {
        CollectionMethod::SendInvoice => MissingPaymentMethod::CreateInvoice,
        CollectionMethod::ChargeAutomatically => next.missing_payment_method,
    };
    let intervals = intervals(moment.world, &next);
    match behavior {
        MissingPaymentMethod::Cancel => end(&mut next, at),
        MissingPaymentMethod::Pause => {
            next.status = Status::Paused;
            next.changed_at = at;
            renew(&mut next, &intervals, at);
        }
        MissingPaymentMethod::CreateInvoice => {
            next.status = Status::Active;
            next.changed_at = at;
            renew(&mut next, &intervals, at);
            // What was used in the trial is free; what was used before it may be left.
            let usage = std::mem::take(&mut next.unbilled);
            bill(moment, &mut next, Reason::Cycle, usage);
        }
    }
    moment.change_subscription(position, |it| *it = next);
}

/// A period ends and the next begins: what was used is billed, what is licensed is billed ahead.
fn roll_over(moment: &mut Moment<'_>, position: usize) {
    let at = moment.at;
    let Some(subscription) = moment.world.subscriptions.at(position) else {
        return;
    };
    let usage = unbilled(moment.world, subscription, at, |item| item.period_end <= at);
    let mut next = subscription.clone();
    let intervals = intervals(moment.world, subscription);
    renew(&mut next, &intervals, at);
    next.unbilled.clear();
    bill(moment, &mut next, Reason::Cycle, usage);
    moment.change_subscription(position, |it| *it = next);
}

/// Opens an invoice of this usage, and of the licensed periods that begin now.
pub(crate) fn bill(
    moment: &mut Moment<'_>,
    next: &mut Subscription,
    reason: Reason,
    usage: Vec<Stretch>,
) {
    let at = moment.at;
    let begun = next.items.iter().filter(|item| item.period_start == at);
    let ahead = begun.filter_map(|item| Line::licensed(moment.world, moment.ids, item));
    let bill = Bill {
        reason,
        usage,
        ahead: ahead.collect(),
        at_once: reason == Reason::Create,
    };
    let invoice = billing::open(moment, next, bill);
    next.latest_invoice = invoice.or(next.latest_invoice.take());
}

/// Bills what a new subscription asks for ahead. There is no invoice of nothing.
pub(crate) fn bill_first(moment: &mut Moment<'_>, position: usize) {
    let subscription = moment.world.subscriptions.at(position);
    let Some(mut next) = subscription
        .filter(|it| it.status == Status::Active)
        .cloned()
    else {
        return;
    };
    bill(moment, &mut next, Reason::Create, Vec::new());
    if next.latest_invoice.is_some() {
        moment.change_subscription(position, |it| *it = next);
    }
}

/// Bills what price changes and removals have left, at once.
pub(crate) fn bill_left(moment: &mut Moment<'_>, next: &mut Subscription) {
    let bill = Bill {
        reason: Reason::Update,
        usage: std::mem::take(&mut next.unbilled),
        ahead: Vec::new(),
        at_once: true,
    };
    let invoice = billing::open(moment, next, bill);
    next.latest_invoice = invoice.or(next.latest_invoice.take());
}

/// Bills the open period of a subscription that ends now. A trial or a pause has none.
pub(crate) fn bill_last(moment: &mut Moment<'_>, next: &mut Subscription) {
    let bills = match next.status {
        Status::Active | Status::PastDue | Status::Unpaid => true,
        Status::Canceled
        | Status::Incomplete
        | Status::IncompleteExpired
        | Status::Paused
        | Status::Trialing => false,
    };
    let at = moment.at;
    let usage = unbilled(moment.world, next, at, |_| bills);
    next.unbilled.clear();
    let at_end = next.items.iter().all(|item| item.period_end <= at);
    let bill = Bill {
        reason: if at_end {
            Reason::Cycle
        } else {
            Reason::Update
        },
        usage,
        ahead: Vec::new(),
        at_once: false,
    };
    let invoice = billing::open(moment, next, bill);
    next.latest_invoice = invoice.or(next.latest_invoice.take());
}

/// Starts a new period for each item whose period has ended by `at`.
pub(crate) fn renew(subscription: &mut Subscription, intervals: &[(Interval, i64)], at: i64) {
    let anchor = subscription.billing_cycle_anchor;
    for (item, (interval, count)) in subscription.items.iter_mut().zip(intervals) {
        if item.period_end <= at {
            item.period_start = at;
            item.unbilled_since = None;
            item.period_end = next_boundary(anchor, *interval, *count, at);
        }
    }
    if subscription.cancel_at_period_end {
        subscription.cancel_at = subscription.period_end();
    }
}

/// Ends it for good.
pub(crate) fn end(subscription: &mut Subscription, at: i64) {
    subscription.status = Status::Canceled;
    subscription.canceled_at.get_or_insert(at);
    subscription.ended_at = Some(at);
    subscription.changed_at = at;
}

/// Ends all that a customer had who is being deleted.
pub(crate) fn cancel_all_of(moment: &mut Moment<'_>, customer: &str) {
    let at = moment.at;
    for position in moment.world.subscriptions.of_customer(customer) {
        let subscription = moment.world.subscriptions.at(position);
        if subscription.is_some_and(|it| !it.status.is_final()) {
            moment.change_subscription(position, |it| end(it, at));
        }
    }
}
