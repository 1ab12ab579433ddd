//! Follows stripe-svc's feed of subscriptions, from the stored cursor on.

use std::{sync::Arc, time::Duration};

use billing_kit::{Fault, context::RequestContext};
use rand::RngExt;

use crate::{
    app::{Organizations, keep_subscriptions::keep_subscriptions},
    domain::retry,
    store::feed_cursors,
};

/// The longest pause before the feed is opened again.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Reads the feed until the process stops, opening it again whenever it breaks.
pub(crate) async fn run(app: Arc<Organizations>) {
    let mut failures: u32 = 0;
    while !app.life.stop.is_cancelled() {
        let read = RequestContext::fresh().scope(read(&app, &mut failures));
        tokio::select! {
            () = app.life.stop.cancelled() => return,
            result = read => if let Err(fault) = result {
                fault.log();
            },
        }
        failures = failures.saturating_add(1);
        let pause =
            Duration::from_millis(rand::rng().random_range(retry::delay_range_ms(failures)));
        tokio::select! {
            () = app.life.stop.cancelled() => {}
            () = tokio::time::sleep(pause.min(PAUSE_MAX)) => {}
        }
    }
}

/// Reads until the feed ends or breaks.
async fn read(app: &Organizations, failures: &mut u32) -> Result<(), Fault> {
    let cursor = feed_cursors::get(&app.db, feed_cursors::SUBSCRIPTIONS).await?;
    let mut feed = app.stripe_svc.watch(cursor).await?;
    tracing::debug!(cursor, "the feed of subscriptions is open");
    while let Some((states, cursor)) = feed.next().await? {
        keep_subscriptions(app, &states, cursor).await?;
        *failures = 0;
    }
    Ok(())
}
