//! `ListWebhookEvents`: what Stripe sent, and what became of it.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use crate::{
    app::App,
    domain::{
        page::{PageSize, Position},
        webhook_event::{EventState, InboxEntry},
    },
    store::webhook_events,
};

/// A page of events, and where the next begins.
///
/// # Errors
/// The database could not be asked.
pub(crate) async fn list_webhook_events(
    app: &App,
    state: Option<EventState>,
    after: Option<&Position>,
    size: PageSize,
) -> Result<(Vec<InboxEntry>, Option<Position>), Fault> {
    let events = webhook_events::list(&app.db, state, after, size)
        .await
        .map_err(db_fault)?;
    let next = size.next(&events, |event| Position {
        at: event.received_at,
        id: event.id.to_string(),
    });
    Ok((events, next))
}
