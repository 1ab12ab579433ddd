//! Has the sweep done when it is due.

use std::{sync::Arc, time::Duration};

use billing_kit::context::RequestContext;

use crate::app::{
    App,
    sweep_subscriptions::{plan_sweep, sweep_subscriptions},
};

/// How often it is looked whether the sweep is due.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the process stops. A pass that is under way then is gone on with by the next process.
pub(crate) async fn run(app: Arc<App>, period: Duration) {
    let mut is_planned = false;
    loop {
        let turn = RequestContext::fresh().scope(async {
            if !is_planned {
                plan_sweep(&app, period).await?;
                is_planned = true;
            }
            sweep_subscriptions(&app, period).await
        });
        tokio::select! {
            swept = turn => if let Err(fault) = swept { fault.log() },
            () = app.life.stop.cancelled() => break,
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = app.life.stop.cancelled() => break,
        }
    }
}
