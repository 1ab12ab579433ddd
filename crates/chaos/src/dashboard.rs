//! A person at Stripe's own dashboard: ends trials, pays what is due, cancels. Nobody tells us but
//! Stripe's webhooks, and its lists.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use tokio::sync::watch;
use uuid::Uuid;

use crate::records::{Ledger, LedgerSubscription};
use crate::schedule::pick;
use crate::world::World;

/// Between two things that the person does, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..1_200;
/// What the person does not look at.
const OMITTED: &str = "recent_requests,products,prices,meters,meter_events";

/// One thing that the person does.
#[derive(Debug, Clone, Copy)]
enum Act {
    EndTrial,
    Pay,
    Note,
    Cancel,
    CancelAtPeriodEnd,
}

impl Act {
    /// With any subscription.
    const HARMLESS: [Self; 4] = [Self::EndTrial, Self::Pay, Self::Pay, Self::Note];
    /// With one that may end.
    const ANY: [Self; 6] = [
        Self::EndTrial,
        Self::Pay,
        Self::Pay,
        Self::Note,
        Self::Cancel,
        Self::CancelAtPeriodEnd,
    ];
}

/// Does one thing after the other, until told to stop. Only of these organizations does it end
/// subscriptions.
pub(crate) async fn manage(
    world: Arc<World>,
    ending: BTreeSet<Uuid>,
    seed: u64,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    loop {
        let pause = Duration::from_millis(rng.random_range(PAUSE_MS));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => return Ok(()),
        }
        let ledger = world.stripe.ledger(OMITTED).await?;
        let ledger: Ledger = serde_json::from_value(ledger)?;
        let mut living = ledger.subscriptions.iter().filter(|it| it.is_living());
        let count = living.clone().count();
        let Some(subscription) = living.nth(rng.random_range(0..count.max(1))) else {
            continue;
        };
        let may_end = subscription
            .organization()
            .is_some_and(|organization| ending.contains(&organization));
        let act = if may_end {
            pick(&mut rng, &Act::ANY, Act::Note)
        } else {
            pick(&mut rng, &Act::HARMLESS, Act::Note)
        };
        // Stripe's own mischief strikes this person too, who does something else then.
        let _ = perform(&world, &ledger, subscription, act).await;
    }
}

async fn perform(
    world: &World,
    ledger: &Ledger,
    subscription: &LedgerSubscription,
    act: Act,
) -> anyhow::Result<()> {
    let path = format!("/v1/subscriptions/{}", subscription.id);
    let change =
        async |form: &[(&str, &str)]| world.stripe.by_hand(Method::POST, &path, form).await;
    match act {
        Act::EndTrial if subscription.status == "trialing" => change(&[("trial_end", "now")]).await,
        Act::Pay => {
            let open = ledger.invoices.iter().find(|invoice| {
                invoice.customer == subscription.customer && invoice.status == "open"
            });
            let Some(invoice) = open else {
                return Ok(());
            };
            let path = format!("/v1/invoices/{}/pay", invoice.id);
            let paid = [("paid_out_of_band", "true")];
            world.stripe.by_hand(Method::POST, &path, &paid).await
        }
        Act::EndTrial | Act::Note => change(&[("metadata[note]", "seen")]).await,
        Act::Cancel => world.stripe.by_hand(Method::DELETE, &path, &[]).await,
        Act::CancelAtPeriodEnd => change(&[("cancel_at_period_end", "true")]).await,
    }
}
