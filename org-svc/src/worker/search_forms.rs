//! Fills the normal form of organizations whose name, URL or e-mail changed, and of those that an older
//! release stored.

use std::{sync::Arc, time::Duration};

use billing_kit::context::RequestContext;

use crate::{app::Organizations, store::search_forms};

/// How many rows are filled at once.
const AT_ONCE: i64 = 1_000;
/// How often is looked for rows without one.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the process stops.
pub(crate) async fn run(app: Arc<Organizations>) {
    while !app.life.stop.is_cancelled() {
        let filled = RequestContext::fresh().scope(search_forms::fill(&app.db, AT_ONCE));
        let has_more = match filled.await {
            Ok(count) => i64::try_from(count).is_ok_and(|count| count == AT_ONCE),
            Err(fault) => {
                fault.log();
                false
            }
        };
        if has_more {
            continue;
        }
        tokio::select! {
            () = app.life.stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
