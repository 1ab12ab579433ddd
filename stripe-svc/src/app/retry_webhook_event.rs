//! `RetryWebhookEvent`: an event is processed anew, by an admin's wish.

use billing_kit::{Fault, Violation, assertion::Admin};
use billing_kit_db::db_fault;

use crate::{
    app::App,
    domain::{ids::EventId, webhook_event::InboxEntry},
    store::webhook_events,
};

/// Puts an event into the queue.
///
/// # Errors
/// There is no such event; the database could not be asked.
pub(crate) async fn retry_webhook_event(
    app: &App,
    admin: &Admin,
    id: &EventId,
) -> Result<InboxEntry, Fault> {
    let event = webhook_events::requeue(&app.db, id, app.clock.now())
        .await
        .map_err(db_fault)?;
    let event = event.ok_or_else(|| {
        Fault::invalid(vec![Violation::new("event_id", "There is no such event.")])
    })?;
    tracing::info!(event_id = %id, admin_user_id = admin.user_id, "an admin has a webhook processed anew");
    app.arrived.notify_one();
    Ok(event)
}
