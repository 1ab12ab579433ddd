//! Trials and how they end. Clocks begin at six in the morning; a period is a week.

use crate::account::{Account, expect};
use crate::scene::Scene;

pub(crate) async fn a_trial_turns_active_without_a_payment_method(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "trial-end").await?;
    let subscription = scene.subscribe(2).await?;
    let state = scene.state(&subscription).await?;
    expect("the status", "trial", state.status)?;
    expect("the trial's end", Some(scene.at(2, 0)), state.trial_end)?;
    scene.advance(scene.at(1, 23)).await?;
    expect(
        "the status before",
        "trial",
        scene.state(&subscription).await?.status,
    )?;
    scene.advance(scene.at(2, 1)).await?;
    let state = scene.stands(&subscription, "active").await?;
    let end = Some(scene.at(9, 0));
    expect("the first paid period's end", end, state.current_period_end)
}

pub(crate) async fn usage_of_the_trial_is_not_billed_and_the_first_paid_day_is(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "trial-usage").await?;
    let subscription = scene.subscribe(2).await?;
    scene.advance(scene.at(1, 0)).await?;
    scene.report(scene.at(0, 20), 300).await?;
    scene.advance(scene.at(4, 0)).await?;
    // The day on which the trial ends at six: the report of seven is paid for.
    scene.report(scene.at(2, 1), 40).await?;
    scene.report(scene.at(3, 1), 10).await?;
    scene.counted(350).await?;
    scene.advance_past_week(2).await?;
    // 40 + 10 seat-days at 26.5 cents.
    scene.billed(&subscription, 1_325).await
}
