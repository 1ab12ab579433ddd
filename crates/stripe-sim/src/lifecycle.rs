//! What happens to subscriptions by itself as time passes: trials end, periods renew, scheduled
//! cancellations come due. Each happens at its own time, however far the clock jumped.

use crate::calendar::{Interval, next_boundary};
use crate::prices::UsageType;
use crate::subscriptions::{CollectionMethod, MissingPaymentMethod, Status, Subscription};
use crate::world::World;

/// Lets everything happen that was due by `now`, in the order of its times.
pub(crate) fn settle(world: &mut World, now: i64) {
    while let Some((at, position)) = world.subscriptions.first_due(now) {
        let intervals = intervals(world, position);
        let owes = owes_at_trial_end(world, position);
        world.subscriptions.change(position, |subscription| {
            happen(subscription, &intervals, owes, at);
        });
        debug_assert_ne!(
            world.subscriptions.first_due(now),
            Some((at, position)),
            "no progress"
        );
    }
}

/// The interval of each item's price, with its count.
pub(crate) fn intervals(world: &World, position: usize) -> Vec<(Interval, i64)> {
    let items = world
        .subscriptions
        .at(position)
        .map(|it| it.items.as_slice())
        .unwrap_or_default();
    let recurring = |price: &str| world.prices.get(price)?.recurring.as_ref();
    items
        .iter()
        .map(|item| {
            recurring(&item.price)
                .map_or((Interval::Month, 1), |it| (it.interval, it.interval_count))
        })
        .collect()
}

/// Whether the first invoice after a trial would ask for money, which metered items never do.
fn owes_at_trial_end(world: &World, position: usize) -> bool {
    let Some(subscription) = world.subscriptions.at(position) else {
        return false;
    };
    subscription.items.iter().any(|item| {
        let price = world.prices.get(&item.price);
        let licensed = price.and_then(|price| price.recurring.as_ref());
        licensed.is_some_and(|recurring| recurring.usage_type == UsageType::Licensed)
            && price.is_some_and(|price| !price.amount.is_zero())
            && item.quantity != Some(0)
    })
}

fn happen(subscription: &mut Subscription, intervals: &[(Interval, i64)], owes: bool, at: i64) {
    if subscription
        .cancel_at
        .is_some_and(|cancel_at| cancel_at <= at)
    {
        end(subscription, at);
    } else if subscription.status == Status::Trialing {
        end_trial(subscription, intervals, owes, at);
    } else {
        renew(subscription, intervals, at);
    }
}

/// A trial's end asks for a payment method only where one would be charged.
fn end_trial(subscription: &mut Subscription, intervals: &[(Interval, i64)], owes: bool, at: i64) {
    let unpayable = match subscription.collection_method {
        CollectionMethod::SendInvoice => None,
        CollectionMethod::ChargeAutomatically => Some(subscription.missing_payment_method),
    };
    match unpayable {
        Some(MissingPaymentMethod::Cancel) => return end(subscription, at),
        Some(MissingPaymentMethod::Pause) => subscription.status = Status::Paused,
        Some(MissingPaymentMethod::CreateInvoice) if owes => {
            subscription.status = Status::PastDue;
        }
        Some(MissingPaymentMethod::CreateInvoice) | None => subscription.status = Status::Active,
    }
    subscription.changed_at = at;
    renew(subscription, intervals, at);
}

/// Starts a new period for each item whose period has ended by `at`.
pub(crate) fn renew(subscription: &mut Subscription, intervals: &[(Interval, i64)], at: i64) {
    let anchor = subscription.billing_cycle_anchor;
    for (item, (interval, count)) in subscription.items.iter_mut().zip(intervals) {
        if item.period_end <= at {
            item.period_start = at;
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

/// Ends all that a deleted customer had.
pub(crate) fn cancel_all_of(world: &mut World, customer: &str, now: i64) {
    for position in world.subscriptions.of_customer(customer) {
        world.subscriptions.change(position, |subscription| {
            if !subscription.status.is_final() {
                end(subscription, now);
            }
        });
    }
}
