//! Ends of subscriptions. Clocks begin at six in the morning; a period is a week.

use stripe_svc::conformance::{Refused, Said};

use crate::account::{Account, expect};
use crate::scene::Scene;

pub(crate) async fn now_bills_what_was_used(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "cancel-now").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(2, 0)).await?;
    scene.report(scene.at(1, 1), 40).await?;
    scene.counted(40).await?;
    scene.done(&account.ours.cancel_now(&subscription)).await?;
    let state = scene.state(&subscription).await?;
    expect("the status", "canceled", state.status)?;
    expect("that it tells its end", true, state.ended_at.is_some())?;
    scene.advance(scene.at(2, 3)).await?;
    // 40 seat-days at 26.5 cents.
    scene.billed(&subscription, 1_060).await
}

pub(crate) async fn now_bills_what_was_accepted_a_moment_before(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "cancel-at-once").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(2, 0)).await?;
    scene.report(scene.at(1, 1), 40).await?;
    scene.done(&account.ours.cancel_now(&subscription)).await?;
    scene.counted(40).await?;
    scene.advance(scene.at(2, 3)).await?;
    scene.billed(&subscription, 1_060).await
}

pub(crate) async fn without_invoice_now_what_was_used_is_dropped(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "cancel-dropping").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(2, 0)).await?;
    scene.report(scene.at(1, 1), 40).await?;
    scene.counted(40).await?;
    let path = format!("/v1/subscriptions/{subscription}");
    account.delete(&path).await?.done()?;
    scene.advance_past_week(0).await?;
    scene.billed(&subscription, 0).await
}

pub(crate) async fn at_period_end_bills_the_last_period(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "cancel-at-end").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(1, 0)).await?;
    let request = account.ours.cancel_at_period_end(&subscription);
    scene.done(&request).await?;
    let end = Some(scene.at(7, 0));
    let state = scene.state(&subscription).await?;
    expect("the status until then", "active", state.status)?;
    expect("when it is going to end", end, state.cancel_at)?;
    scene.advance(scene.at(6, 0)).await?;
    scene.report(scene.at(0, 1), 10).await?;
    scene.report(scene.at(5, 1), 30).await?;
    scene.counted(40).await?;
    scene.advance_past_week(0).await?;
    let state = scene.stands(&subscription, "canceled").await?;
    expect("when it ended", end, state.ended_at)?;
    scene.billed(&subscription, 1_060).await
}

pub(crate) async fn twice_finds_nothing(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "cancel-twice").await?;
    let subscription = scene.subscribe(0).await?;
    let (cancel, key) = (account.ours.cancel_now(&subscription), account.fresh());
    let first = account.ours.send(&cancel, &key).await;
    anyhow::ensure!(
        matches!(first, Said::Done(_)),
        "expected an end, got {first:?}"
    );
    match account.ours.send(&cancel, &key).await {
        Said::Refused(Refused { code, .. }) => expect("the code", "resource_missing", &code),
        said @ (Said::Done(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected a refusal, got {said:?}")
        }
    }
}
