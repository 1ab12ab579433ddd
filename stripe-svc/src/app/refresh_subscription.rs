//! Fetches a subscription and keeps it as it is now.

use billing_kit::Clock;
use billing_kit_db::StoreError;
use sea_orm::{DbErr, TransactionTrait};
use thiserror::Error;

use crate::{
    app::App,
    domain::{
        ids::SubscriptionId,
        subscription::{FetchTicket, Subscription},
        terms::SubscriptionStatus,
    },
    store::subscriptions,
    stripe::{Unknown, UnknownKind},
};

/// Why something could not be kept.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Stripe(#[from] Unknown),
    #[error(transparent)]
    Database(#[from] StoreError),
}

impl From<DbErr> for Trouble {
    fn from(error: DbErr) -> Self {
        Self::Database(error.into())
    }
}

/// Fetches a subscription and keeps it.
///
/// # Errors
/// Stripe did not say, or does not know it.
pub(crate) async fn refresh_subscription(app: &App, id: &SubscriptionId) -> Result<(), Trouble> {
    // Before Stripe is asked: what a later fetch brings is not overwritten by this one.
    let ticket = subscriptions::take_ticket(&app.db).await?;
    let subscription = match app.stripe.subscription(id).await? {
        Some(subscription) => subscription,
        None => ended(app, id).await?,
    };
    keep(app, &[subscription], ticket).await.map(drop)
}

/// Keeps what was fetched; says how many differ from what was known.
pub(crate) async fn keep(
    app: &App,
    fetched: &[Subscription],
    ticket: FetchTicket,
) -> Result<usize, Trouble> {
    let now = app.clock.now();
    let transaction = app.db.begin().await?;
    let different = subscriptions::keep(&transaction, fetched, ticket, now).await?;
    transaction.commit().await?;
    if !different.is_empty() {
        app.changed.notify_waiters();
    }
    for id in &different {
        tracing::info!(stripe_subscription_id = %id, "a subscription changed in Stripe");
    }
    Ok(different.len())
}

/// A subscription that Stripe no longer has. It ended with its customer where that was deleted; else
/// something is wrong that is not ours to guess, such as the key of another account.
async fn ended(app: &App, id: &SubscriptionId) -> Result<Subscription, Trouble> {
    let missing = || {
        let message = format!("Stripe has no subscription {id}.");
        Unknown::new(UnknownKind::Unreadable, "resource_missing", message)
    };
    let known = subscriptions::get(&app.db, id).await?;
    let known = known.ok_or_else(missing)?.subscription;
    if app.stripe.customer(&known.customer_id).await?.is_some() {
        return Err(missing().into());
    }
    Ok(end_with_customer(known, &app.clock))
}

fn end_with_customer(known: Subscription, clock: &Clock) -> Subscription {
    Subscription {
        status: SubscriptionStatus::Canceled,
        customer_deleted: true,
        cancel_at: None,
        collection_pause: None,
        ended_at: known.ended_at.or_else(|| Some(clock.now())),
        ..known
    }
}
