//! Works off the inbox of webhooks: at once when an event comes, and again when one is due.

use std::{sync::Arc, time::Duration};

use billing_kit::context::RequestContext;

use crate::app::{App, process_webhook_events::process_webhook_events};

/// How often due events are looked for that came to another process, or wait for their next attempt.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the process stops.
pub(crate) async fn run(app: Arc<App>) {
    while !app.life.stop.is_cancelled() {
        let turn = RequestContext::fresh().scope(process_webhook_events(&app));
        match turn.await {
            // There may be more.
            Ok(1..) => continue,
            Ok(0) => {}
            Err(fault) => fault.log(),
        }
        tokio::select! {
            () = app.arrived.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
            () = app.life.stop.cancelled() => {}
        }
    }
}
