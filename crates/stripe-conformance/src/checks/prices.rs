//! A change of price in the middle of a period.

use anyhow::Context as _;

use crate::account::{Account, expect};
use crate::scene::Scene;

pub(crate) async fn each_day_is_billed_at_the_price_it_had(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "price-change").await?;
    let subscription = scene.subscribe(0).await?;
    let period_end = scene.state(&subscription).await?.current_period_end;
    scene.advance(scene.at(3, 0)).await?;
    scene.report(scene.at(1, 1), 40).await?;
    scene.report(scene.at(2, 1), 42).await?;
    scene.counted(82).await?;
    let item = account.ours.billing_item(&subscription).await;
    let item = item.map_err(anyhow::Error::msg)?;
    let item = item.context("expected an item on the meter, got none")?;
    let price = &account.second_price;
    let changed = account.ours.price_change(&subscription, &item, price);
    scene.done(&changed).await?;
    let after = account.ours.billing_item(&subscription).await;
    let after = after.map_err(anyhow::Error::msg)?;
    expect("the item after the change", Some(item), after)?;
    let state = scene.state(&subscription).await?;
    expect("the period's end", period_end, state.current_period_end)?;
    scene.advance(scene.at(5, 0)).await?;
    scene.report(scene.at(4, 1), 20).await?;
    scene.counted(102).await?;
    scene.advance_past_week(0).await?;
    // 40 + 42 seat-days at 26.5 cents, and 20 at 33.
    scene.billed(&subscription, 2_173 + 660).await
}
