//! What runs beside the requests. Each loop ends when the process stops.

mod sweep;
mod webhook_events;

use std::{sync::Arc, time::Duration};

use crate::app::App;

/// Starts all of them.
pub(crate) fn spawn_all(app: &Arc<App>, sweep_period: Duration) {
    let life = &app.life;
    life.spawn_worker("webhook events", webhook_events::run(Arc::clone(app)));
    life.spawn_worker("sweep", sweep::run(Arc::clone(app), sweep_period));
}
