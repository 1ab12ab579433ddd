//! Tells the metrics of silence and surprise, counted every so often.

use std::time::Duration;

use ::metrics::gauge;
use billing_kit::{context::RequestContext, process::Lifecycle};

use super::{STEP_MAX, within};
use crate::{Parts, app, store::summary::Counts};

/// How often is counted; Prometheus asks about as often.
const INTERVAL: Duration = Duration::from_secs(15);

/// Tells until the process stops. While the database is away the last numbers stay.
pub(super) async fn run(parts: Parts, life: Lifecycle) {
    while !life.stop.is_cancelled() {
        let step = RequestContext::fresh().scope(within(STEP_MAX, app::count_now(&parts)));
        let counts = tokio::select! {
            () = life.stop.cancelled() => return,
            counts = step => counts,
        };
        match counts {
            Ok((counts, oldest_queued_age, total)) => {
                tell(counts, oldest_queued_age);
                if let Some(total) = total {
                    let unsigned = number(total.unsigned_organization_count);
                    gauge!("billing_unsigned_organizations").set(unsigned);
                }
            }
            Err(fault) => fault.log(),
        }
        tokio::select! {
            () = life.stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn tell(counts: Counts, oldest_queued_age: Duration) {
    let Counts {
        late,
        silent,
        held,
        held_organizations,
        held_urgent,
        refused,
        queued,
        // The age says it.
        oldest_queued_at: _,
    } = counts;
    gauge!("billing_late_organizations").set(number(late));
    gauge!("billing_silent_organizations").set(number(silent));
    gauge!("billing_held_reports").set(number(held));
    gauge!("billing_held_organizations").set(number(held_organizations));
    gauge!("billing_urgent_held_reports").set(number(held_urgent));
    gauge!("billing_refused_reports").set(number(refused));
    gauge!("billing_queued_reports").set(number(queued));
    gauge!("billing_oldest_queued_report_seconds").set(oldest_queued_age.as_secs_f64());
}

/// A count as a gauge has it; no count of ours is beyond 32 bits.
fn number(count: i64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
