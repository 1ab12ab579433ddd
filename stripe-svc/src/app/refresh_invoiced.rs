//! Looks how far a subscription is invoiced for good, and keeps it.
//!
//! A final invoice stays final, so what is kept only grows, and needs no ticket to tell an earlier
//! look from a later one.

use sea_orm::TransactionTrait;

use crate::{
    app::{App, refresh_subscription::Trouble},
    domain::{ids::SubscriptionId, metered_invoice::invoiced_until},
    store::subscriptions,
};

/// Looks at the latest invoices of a subscription that is known.
///
/// # Errors
/// Stripe did not say; the database could not be asked.
pub(crate) async fn refresh_invoiced(app: &App, id: &SubscriptionId) -> Result<(), Trouble> {
    let product = &app.catalog.product.id;
    let invoices = app.stripe.latest_invoices(id, product).await?;
    let Some(until) = invoiced_until(&invoices) else {
        return Ok(());
    };
    let transaction = app.db.begin().await?;
    let now = app.clock.now();
    let moved = subscriptions::move_invoiced_until(&transaction, id, until, now).await?;
    transaction.commit().await?;
    if moved {
        app.changed.notify_waiters();
        tracing::info!(stripe_subscription_id = %id, %until, "a subscription was invoiced for good");
    }
    Ok(())
}
