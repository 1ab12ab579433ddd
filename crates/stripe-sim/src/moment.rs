//! One moment on a timeline: the world as it may be changed, and the time at which that happens.
//!
//! Everything that changes a subscription or an invoice goes through here, so that what is due and
//! what is told about it cannot fall behind.

use crate::ids::Ids;
use crate::subscriptions::Subscription;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) world: &'a mut World,
    #[expect(
        dead_code,
        reason = "invoices and events, which come next, take their ids here"
    )]
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
}
