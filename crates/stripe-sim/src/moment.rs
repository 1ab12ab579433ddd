//! One moment on a timeline: the world as it may be changed, and the time at which that happens.
//!
//! Everything that changes a subscription or an invoice goes through here, so that what is due and
//! what is told about it cannot fall behind.

use crate::ids::Ids;
use crate::invoices::Invoice;
use crate::subscriptions::Subscription;
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
        self.world.push_subscription(subscription)
    }

    pub(crate) fn change_subscription(
        &mut self,
        position: usize,
        change: impl FnOnce(&mut Subscription),
    ) {
        self.world.change_subscription(position, change);
    }

    /// Adds an invoice and gives its place.
    pub(crate) fn add_invoice(&mut self, invoice: Invoice) -> usize {
        self.world.push_invoice(invoice)
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
        tracing::debug!(invoice = invoice.map(|it| it.id.as_str()), event);
    }
}
