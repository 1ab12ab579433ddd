//! One moment on a timeline: the world as it may be changed, and the time at which that happens.
//!
//! Everything that changes a subscription or an invoice goes through here, so that what is due and
//! what is told about it cannot fall behind.

use serde_json::Value;

use crate::events::previous_attributes;
use crate::ids::Ids;
use crate::invoices::Invoice;
use crate::subscriptions::{Status, Subscription};
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) ids: &'a mut Ids,
    /// Unix seconds of the timeline on which it happens.
    pub(crate) at: i64,
}

impl Moment<'_> {
    /// Adds a subscription and gives its place.
    pub(crate) fn add_subscription(&mut self, subscription: Subscription) -> usize {
        let value = subscription.to_value(self.world);
        let position = self.world.push_subscription(subscription);
        self.tell("customer.subscription.created", &value, None);
        position
    }

    /// Changes a subscription, and tells of what can be seen of that.
    pub(crate) fn change_subscription(
        &mut self,
        position: usize,
        change: impl FnOnce(&mut Subscription),
    ) {
        let Some((was, before)) = self.seen(position) else {
            return;
        };
        self.world.change_subscription(position, change);
        let Some((is, after)) = self.seen(position) else {
            return;
        };
        if is.is_final() && !was.is_final() {
            self.tell("customer.subscription.deleted", &after, None);
            return;
        }
        if let Some(previous) = previous_attributes(&before, &after) {
            self.tell("customer.subscription.updated", &after, Some(&previous));
        }
        if is == Status::Paused && was != Status::Paused {
            self.tell("customer.subscription.paused", &after, None);
        } else if was == Status::Paused && is != Status::Paused {
            self.tell("customer.subscription.resumed", &after, None);
        }
    }

    fn seen(&self, position: usize) -> Option<(Status, Value)> {
        let subscription = self.world.subscriptions.at(position)?;
        Some((subscription.status, subscription.to_value(self.world)))
    }

    pub(crate) fn tell_of_subscription(&mut self, position: usize, event: &str) {
        if let Some((_, value)) = self.seen(position) {
            self.tell(event, &value, None);
        }
    }

    /// Adds an invoice and gives its place.
    pub(crate) fn add_invoice(&mut self, invoice: Invoice) -> usize {
        let position = self.world.push_invoice(invoice);
        self.tell_of_invoice(position, "invoice.created");
        position
    }

    /// Changes an invoice and tells of it by this type of event.
    pub(crate) fn change_invoice(
        &mut self,
        position: usize,
        event: &str,
        change: impl FnOnce(&mut Invoice),
    ) {
        self.world.change_invoice(position, change);
        self.tell_of_invoice(position, event);
    }

    pub(crate) fn tell_of_invoice(&mut self, position: usize, event: &str) {
        let invoice = self.world.invoices.store().at(position);
        if let Some(value) = invoice.map(|it| it.to_value(self.world)) {
            self.tell(event, &value, None);
        }
    }
}
