//! The sweep: a pass over all subscriptions in Stripe, which finds what no webhook brought.
//!
//! One process does it at a time, and whoever comes after one that died goes on at its last page.

use std::time::Duration;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;

use crate::{
    app::{
        App,
        refresh_invoiced::refresh_invoiced,
        refresh_subscription::{Trouble, keep, refresh_subscription},
    },
    domain::{ids::SubscriptionId, subscription::FetchTicket},
    store::{
        Lease, subscriptions,
        sweeps::{self, Pass},
    },
    stripe::{SubscriptionPage, Unknown, UnknownKind},
};

/// How long a page is nobody else's: far longer than one takes.
const LEASE: TimeDelta = TimeDelta::minutes(3);
/// When a pass that could not go on is tried again.
const PAUSE: TimeDelta = TimeDelta::seconds(30);
/// Up to so much of the period is added to it, so that installations do not all ask at once.
const JITTER_DIVISOR: u32 = 10;
/// How many known subscriptions that no page held are looked at one by one, a query at a time.
const UNSEEN_PAGE: u64 = 100;
/// How long after a period's end its invoice is looked for where no webhook told of it. Stripe
/// finalizes within three days; a person may leave a draft for longer.
const INVOICE_WAIT_MAX: TimeDelta = TimeDelta::days(35);

/// Plans the first pass, for when nothing is planned yet.
///
/// # Errors
/// The database could not be asked.
pub(crate) async fn plan_sweep(app: &App, period: Duration) -> Result<(), Fault> {
    sweeps::plan(&app.db, next_due(app.clock.now(), period))
        .await
        .map_err(db_fault)
}

fn next_due(now: DateTime<Utc>, period: Duration) -> DateTime<Utc> {
    let jitter = rand::rng().random_range(Duration::ZERO..=period / JITTER_DIVISOR);
    now + TimeDelta::from_std(period + jitter).unwrap_or(TimeDelta::days(1))
}

/// Does the pass if it is due and nobody else's; says whether it ended one.
///
/// # Errors
/// The database could not be asked, or Stripe did not answer: the pass goes on later.
pub(crate) async fn sweep_subscriptions(app: &App, period: Duration) -> Result<bool, Fault> {
    let token = app.ids.next();
    let lease = |now| Lease {
        token,
        until: now + LEASE,
    };
    let now = app.clock.now();
    let claimed = sweeps::claim_due(&app.db, now, lease(now))
        .await
        .map_err(db_fault)?;
    let Some(pass) = claimed else {
        return Ok(false);
    };
    let first_ticket = pass.first_ticket;
    let swept = async {
        let found = turn_pages(app, pass, &lease).await?;
        look_at_unseen(app, first_ticket, &lease).await?;
        look_at_invoices(app, &lease).await?;
        Ok(found)
    };
    match swept.await {
        Ok(found) => {
            let now = app.clock.now();
            sweeps::end(&app.db, token, now, next_due(now, period))
                .await
                .map_err(db_fault)?;
            tracing::info!(found, "all subscriptions were looked at");
            Ok(true)
        }
        Err(Trouble::Database(error)) => Err(db_fault(error)),
        Err(Trouble::Stripe(unknown)) => {
            sweeps::pause(&app.db, token, app.clock.now() + PAUSE)
                .await
                .map_err(db_fault)?;
            Err(unknown.into())
        }
    }
}

/// Keeps page after page; says how many subscriptions differed from what was known.
async fn turn_pages(
    app: &App,
    pass: Pass,
    lease: impl Fn(DateTime<Utc>) -> Lease,
) -> Result<usize, Trouble> {
    let mut position = pass.position;
    let mut found = 0;
    loop {
        let ticket = subscriptions::take_ticket(&app.db).await?;
        let SubscriptionPage {
            subscriptions,
            unreadable,
            next,
        } = app.stripe.subscriptions(position.as_ref()).await?;
        for error in unreadable {
            tracing::error!(%error, "a subscription in Stripe is left as it was known");
        }
        found += keep(app, &subscriptions, ticket).await?;
        let is_ours = sweeps::advance(&app.db, lease(app.clock.now()), next.as_ref()).await?;
        match next {
            Some(next) if is_ours => position = Some(next),
            Some(_) | None => return Ok(found),
        }
    }
}

/// Tells of a subscription that stays as it is known. That Stripe cannot be asked now is no news of it,
/// and the next pass asks again; that Stripe does not know it is a person's to look at.
fn not_seen(id: &SubscriptionId, error: &Unknown) {
    match error.kind {
        UnknownKind::NoAnswer
        | UnknownKind::Later
        | UnknownKind::Broken
        | UnknownKind::KeySpent => {
            tracing::warn!(stripe_subscription_id = %id, %error, "a subscription that is known could not be looked at");
        }
        UnknownKind::Ours | UnknownKind::Unreadable => {
            tracing::error!(stripe_subscription_id = %id, %error, "a subscription that is known could not be found");
        }
    }
}

/// Looks one by one at what is known, has not ended, and stood on no page. Stripe's list leaves out
/// what is gone, and what lives on a test clock.
async fn look_at_unseen(
    app: &App,
    first_ticket: FetchTicket,
    lease: impl Fn(DateTime<Utc>) -> Lease,
) -> Result<(), Trouble> {
    let mut after: Option<SubscriptionId> = None;
    loop {
        let unseen =
            subscriptions::unseen(&app.db, first_ticket, after.as_ref(), UNSEEN_PAGE).await?;
        for id in &unseen {
            match refresh_subscription(app, id).await {
                Ok(()) => {}
                Err(Trouble::Stripe(error)) => not_seen(id, &error),
                Err(error @ Trouble::Database(_)) => return Err(error),
            }
        }
        let is_ours = sweeps::advance(&app.db, lease(app.clock.now()), None).await?;
        match unseen.last() {
            Some(last) if is_ours => after = Some(last.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}

/// Looks one by one at those of which a period has ended and no final invoice is known. Each is asked
/// about until there is one, so a pass asks about few.
async fn look_at_invoices(
    app: &App,
    lease: impl Fn(DateTime<Utc>) -> Lease,
) -> Result<(), Trouble> {
    let mut after: Option<SubscriptionId> = None;
    loop {
        let since = app.clock.now() - INVOICE_WAIT_MAX;
        let open = subscriptions::uninvoiced(&app.db, since, after.as_ref(), UNSEEN_PAGE).await?;
        for id in &open {
            refresh_invoiced(app, id).await?;
        }
        let is_ours = sweeps::advance(&app.db, lease(app.clock.now()), None).await?;
        match open.last() {
            Some(last) if is_ours => after = Some(last.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}
