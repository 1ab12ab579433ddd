//! What invoices are drawn up of. Clocks begin at six in the morning; a period is a week.

use serde_json::Value;

use crate::account::{Account, expect};
use crate::scene::Scene;

pub(crate) async fn the_week_is_billed_to_the_cent(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "week").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(3, 0)).await?;
    for (at, seats) in [
        (scene.at(0, 3), 5),
        // The same UTC day, received later: it counts instead.
        (scene.at(0, 1), 7),
        (scene.at(1, 1), 12),
        (scene.at(2, 1), 20),
    ] {
        scene.report(at, seats).await?;
    }
    scene.counted(39).await?;
    scene.advance_past_week(0).await?;
    // 7 + 12 + 20 = 39 seat-days at 26.5 cents are 1033.5, and half a cent is rounded up.
    scene.billed(&subscription, 1_034).await?;
    let invoices = scene.invoices(&subscription).await?;
    let total = |invoice: &&Value| invoice.get("total").and_then(Value::as_i64) == Some(1_034);
    let Some(invoice) = invoices.iter().find(total) else {
        anyhow::bail!("expected one invoice with all of it, got {invoices:?}");
    };
    let status = invoice.get("status").and_then(Value::as_str);
    expect("the status of a sent invoice", Some("open"), status)?;
    let reason = invoice.get("billing_reason").and_then(Value::as_str);
    expect("its reason", Some("subscription_cycle"), reason)
}

pub(crate) async fn late_usage_is_billed_within_the_grace(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "grace").await?;
    let subscription = scene.subscribe(0).await?;
    // Half an hour after the period's end: its invoice is a draft.
    let end = scene.at(7, 0);
    scene.advance(end + chrono::TimeDelta::minutes(30)).await?;
    scene.report(scene.at(6, 1), 12).await?;
    scene.counted(12).await?;
    scene.advance(scene.at(7, 3)).await?;
    // 12 seat-days at 26.5 cents.
    scene.billed(&subscription, 318).await
}

pub(crate) async fn paused_collection_is_told_and_voids(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "paused").await?;
    let subscription = scene.subscribe(0).await?;
    let path = format!("/v1/subscriptions/{subscription}");
    let pause = [("pause_collection[behavior]", "void")];
    account.post(&path, &pause).await?.done()?;
    let state = scene.state(&subscription).await?;
    expect("the status", "active", state.status)?;
    expect("the pause", Some("void"), state.collection_pause)?;
    scene.advance(scene.at(3, 0)).await?;
    scene.report(scene.at(2, 1), 12).await?;
    scene.counted(12).await?;
    scene.advance_past_week(0).await?;
    let void = async || {
        let invoices = scene.invoices(&subscription).await?;
        let of = |invoice: &&Value, field, value: &Value| invoice.get(field) == Some(value);
        let void = invoices.iter().any(|invoice| {
            of(&invoice, "status", &"void".into()) && of(&invoice, "total", &318.into())
        });
        Ok(if void {
            Ok(())
        } else {
            Err(format!("{invoices:?}"))
        })
    };
    account
        .eventually("the week's invoice to be void", void)
        .await?;
    account
        .post(&path, &[("pause_collection", "")])
        .await?
        .done()?;
    let state = scene.state(&subscription).await?;
    expect("the pause after its end", None, state.collection_pause)
}

pub(crate) async fn usage_after_the_final_invoice_is_on_no_invoice(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "too-late").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(3, 0)).await?;
    scene.report(scene.at(2, 1), 10).await?;
    scene.counted(10).await?;
    scene.advance_past_week(0).await?;
    scene.billed(&subscription, 265).await?;
    scene.report(scene.at(6, 1), 100).await?;
    scene.counted(110).await?;
    scene.advance(scene.at(10, 0)).await?;
    scene.report(scene.at(9, 1), 20).await?;
    scene.counted(130).await?;
    scene.advance_past_week(7).await?;
    // 10 seat-days of the first week and 20 of the second, at 26.5 cents.
    scene.billed(&subscription, 265 + 530).await
}

pub(crate) async fn the_preview_tells_what_was_used(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "preview").await?;
    let subscription = scene.subscribe(0).await?;
    scene.advance(scene.at(2, 0)).await?;
    scene.report(scene.at(1, 1), 40).await?;
    let form = [("subscription", subscription.as_str())];
    account
        .eventually("an upcoming invoice of 1060 cents", async || {
            let preview = account.post("/v1/invoices/create_preview", &form).await?;
            let preview = preview.done()?;
            let total = preview.get("total").and_then(Value::as_i64);
            // 40 seat-days at 26.5 cents.
            Ok(if total == Some(1_060) {
                Ok(())
            } else {
                Err(format!("{total:?}"))
            })
        })
        .await
}

pub(crate) async fn billing_is_flexible(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "flexible").await?;
    let subscription = scene.subscribe(0).await?;
    let path = format!("/v1/subscriptions/{subscription}");
    let subscription = account.get(&path, &[]).await?;
    let mode = subscription.text("/billing_mode/type");
    expect("the billing mode", "flexible", mode)?;
    let method = subscription.text("/collection_method");
    expect("the collection method", "send_invoice", method)
}
