//! `WatchSubscriptions`: the feed of how subscriptions stand, from a cursor on.

use std::{sync::Arc, time::Duration};

use billing_kit::Fault;
use billing_kit_db::db_fault;
use futures::{Stream, stream};

use crate::{app::App, domain::subscription::SubscriptionState, store::subscription_changes};

/// How soon a change that another process made is seen.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Some changes, and the cursor to go on from once they are stored.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) states: Vec<SubscriptionState>,
    pub(crate) cursor: i64,
}

/// Streams what came after the cursor, then each change as it comes, until the process stops.
///
/// Nothing is read ahead: the next changes are looked for once the reader has taken these.
pub(crate) fn watch_subscriptions(
    app: Arc<App>,
    cursor: i64,
) -> impl Stream<Item = Result<Changes, Fault>> {
    stream::try_unfold((app, cursor), async |(app, cursor)| {
        let next = next_changes(&app, cursor).await?;
        Ok(next.map(|changes| {
            let cursor = changes.cursor;
            (changes, (app, cursor))
        }))
    })
}

/// Waits for changes; `None` once the process stops.
async fn next_changes(app: &App, cursor: i64) -> Result<Option<Changes>, Fault> {
    while !app.life.stop.is_cancelled() {
        let woken = app.changed.notified();
        tokio::pin!(woken);
        // From here on a change is not missed, even one that comes before the wait begins.
        woken.as_mut().enable();
        let changes = subscription_changes::read(&app.db, cursor)
            .await
            .map_err(db_fault)?;
        if let Some((states, cursor)) = changes {
            return Ok(Some(Changes { states, cursor }));
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = app.life.stop.cancelled() => {}
        }
    }
    Ok(None)
}
