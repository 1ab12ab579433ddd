//! `ReceiveWebhook`: an event is verified and stored; nothing else is done while Stripe waits.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use billing_proto::common::v1::ErrorReason;
use secrecy::ExposeSecret;

use crate::{
    app::App,
    domain::{
        signature::verify,
        webhook_event::{EventState, Hint, WebhookEvent},
    },
    store::webhook_events,
};

/// Stores an event once its signature is believed.
///
/// # Errors
/// SIGNATURE_INVALID; UNAVAILABLE without a secret to verify with, or while the database is away:
/// Stripe sends it again.
pub(crate) async fn receive_webhook(
    app: &App,
    payload: &[u8],
    signature: &str,
) -> Result<(), Fault> {
    if app.webhook_secrets.is_empty() {
        // Anybody may ask: what is not configured is the log's.
        return Err(Fault::unavailable("Webhooks cannot be accepted now.")
            .caused_by("stripe-svc has no STRIPE_WEBHOOK_SECRET"));
    }
    let now = app.clock.now();
    let secrets = app.webhook_secrets.iter().map(ExposeSecret::expose_secret);
    verify(payload, signature, secrets, now)
        .map_err(|problem| Fault::new(ErrorReason::SignatureInvalid, problem.message()))?;
    let event = WebhookEvent::read(payload)
        .ok_or_else(|| Fault::new(ErrorReason::MalformedBody, "The body is not an event."))?;
    let state = match event.hint() {
        Hint::Subscription(_)
        | Hint::Invoices(_)
        | Hint::DeletedCustomer(_)
        | Hint::MeterErrors(_) => EventState::Queued,
        Hint::Nothing => EventState::Ignored,
    };
    webhook_events::receive(&app.db, &event, state, now)
        .await
        .map_err(db_fault)?;
    tracing::info!(
        event_id = %event.id,
        event_type = event.kind,
        state = state.as_str(),
        "a webhook came"
    );
    app.arrived.notify_one();
    Ok(())
}
