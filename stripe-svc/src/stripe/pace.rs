//! How fast Stripe is called: a token bucket for each of its limits.
//!
//! Stripe answers who calls faster with 429, to meter events and to a person's link alike. So the
//! backlog of a night goes out at the pace that the account allows, and leaves room beside it.

use std::num::NonZeroU32;

use stripe_client_core::{RequestBuilder, StripeMethod};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout_at},
};

use crate::domain::token_bucket::TokenBucket;

/// The path that Stripe counts apart in live mode.
const METER_EVENTS: &str = "/billing/meter_events";

/// The calls a second of an account, as its limits count them; none is without limit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallRates {
    /// Everything but what is counted apart.
    pub(crate) calls: Option<NonZeroU32>,
    /// Meter events, where they are counted apart; else they count as calls.
    pub(crate) meter_events: Option<NonZeroU32>,
}

/// The limits of one account, for this process. Of several each may have its share configured.
#[derive(Debug)]
pub(super) struct Pace {
    calls: Option<Queue>,
    meter_events: Option<Queue>,
}

impl Pace {
    pub(super) fn new(rates: CallRates) -> Self {
        let CallRates {
            calls,
            meter_events,
        } = rates;
        Self {
            calls: calls.map(Queue::new),
            meter_events: meter_events.map(Queue::new),
        }
    }

    /// Waits for the request's turn; `false` where it does not come by the deadline.
    pub(super) async fn turn(&self, request: &RequestBuilder, deadline: Instant) -> bool {
        let is_meter_event =
            matches!(request.method, StripeMethod::Post) && request.path == METER_EVENTS;
        let queue = match &self.meter_events {
            Some(queue) if is_meter_event => Some(queue),
            Some(_) | None => self.calls.as_ref(),
        };
        match queue {
            Some(queue) => queue.take(deadline).await,
            None => true,
        }
    }
}

/// Whoever waits for a token holds the lock, which tokio gives in the order in which it was asked for:
/// nobody is overtaken, one timer runs, and nobody looks in between.
#[derive(Debug)]
struct Queue(Mutex<TokenBucket>);

impl Queue {
    fn new(per_second: NonZeroU32) -> Self {
        let now = Instant::now().into_std();
        Self(Mutex::new(TokenBucket::new(per_second, now)))
    }

    /// Takes a token, as soon as there is one for whoever has waited the longest. Who gives up takes
    /// none.
    async fn take(&self, deadline: Instant) -> bool {
        let taken = timeout_at(deadline, async {
            let mut bucket = self.0.lock().await;
            let ready_at = Instant::from_std(bucket.ready_at());
            if ready_at > deadline {
                return false;
            }
            sleep_until(ready_at).await;
            bucket.take(Instant::now().into_std());
            true
        });
        taken.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures::future::join_all;

    use super::*;

    fn pace(calls: u32, meter_events: u32) -> Arc<Pace> {
        Arc::new(Pace::new(CallRates {
            calls: NonZeroU32::new(calls),
            meter_events: NonZeroU32::new(meter_events),
        }))
    }

    fn event() -> RequestBuilder {
        RequestBuilder::new(StripeMethod::Post, METER_EVENTS)
    }

    fn call() -> RequestBuilder {
        RequestBuilder::new(StripeMethod::Get, "/subscriptions")
    }

    fn within(time: Duration) -> Instant {
        Instant::now() + time
    }

    const PATIENCE: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn meter_events_have_a_limit_of_their_own_or_share_the_other() {
        let apart = pace(1, 1_000);
        for _ in 0..50 {
            assert!(apart.turn(&event(), within(PATIENCE)).await);
        }
        assert!(apart.turn(&call(), within(SOON)).await);
        assert!(!apart.turn(&call(), within(SOON)).await);

        let shared = pace(1, 0);
        assert!(shared.turn(&event(), within(SOON)).await);
        assert!(!shared.turn(&call(), within(SOON)).await);
        let free = pace(0, 0);
        for _ in 0..1_000 {
            assert!(free.turn(&call(), Instant::now()).await);
        }
    }

    #[tokio::test]
    async fn nobody_waits_past_the_deadline_and_who_gives_up_takes_nothing() {
        let pace = pace(1, 0);
        let started = Instant::now();
        assert!(pace.turn(&call(), within(PATIENCE)).await);
        let turn = |patience| {
            let pace = Arc::clone(&pace);
            async move { pace.turn(&call(), within(patience)).await }
        };
        let turns = join_all([turn(PATIENCE), turn(SOON), turn(SOON), turn(PATIENCE)]).await;
        assert_eq!(turns, [true, false, false, true]);
        // Had the two who gave up taken a token each, it would be four seconds.
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(1_990), "{took:?}");
        assert!(took < Duration::from_millis(3_900), "{took:?}");
    }

    #[tokio::test]
    async fn turns_come_in_the_order_in_which_they_were_asked_for() {
        let pace = pace(100, 0);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let turns = (0..30).map(|number| {
            let (pace, order) = (Arc::clone(&pace), Arc::clone(&order));
            async move {
                assert!(pace.turn(&call(), within(PATIENCE)).await);
                order.lock().unwrap().push(number);
            }
        });
        join_all(turns).await;
        assert_eq!(*order.lock().unwrap(), (0..30).collect::<Vec<_>>());
    }
}
