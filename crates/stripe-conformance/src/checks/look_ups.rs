//! Finding again what was made, and what becomes of it in other hands.

use stripe_svc::conformance::Said;

use crate::account::{Account, expect, text_of};
use crate::scene::Scene;

pub(crate) async fn the_list_shows_a_customer_at_once(account: &Account) -> anyhow::Result<()> {
    let link = account.link("list");
    let customer = account.customer_of(&link).await?;
    let found = account.ours.find_customer(&link).await;
    let found = found.map_err(anyhow::Error::msg)?;
    expect("the customer that is found", Some(customer), found)?;
    // Of another operation on the same address nothing is found.
    let other = stripe_svc::conformance::Link {
        operation: account.ids.next(),
        ..link
    };
    let found = account.ours.find_customer(&other).await;
    expect(
        "what another made",
        None,
        found.map_err(anyhow::Error::msg)?,
    )
}

pub(crate) async fn the_search_shows_a_customer_in_the_end(
    account: &Account,
) -> anyhow::Result<()> {
    let link = account.link("search");
    let customer = account.customer_of(&link).await?;
    let email = format!("changed-{}", link.email);
    let request = account.ours.email(&customer, &email);
    let said = account.ours.send(&request, &account.fresh()).await;
    anyhow::ensure!(
        matches!(said, Said::Done(_)),
        "expected a new e-mail, got {said:?}"
    );
    account
        .eventually(&customer, async || {
            let found = account.ours.find_customer(&link).await;
            let found = found.map_err(anyhow::Error::msg)?;
            Ok(if found.as_ref() == Some(&customer) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            })
        })
        .await
}

pub(crate) async fn the_list_shows_a_subscription_at_once(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "subscription-list").await?;
    let ours = &account.ours;
    let before = ours.billing_subscription(&scene.customer).await;
    let before = before.map_err(anyhow::Error::msg)?;
    expect("a subscription before there is one", None, before)?;
    let subscription = scene.subscribe(0).await?;
    let found = ours.find_subscription(&scene.customer, &scene.link).await;
    let found = found.map_err(anyhow::Error::msg)?;
    expect("what is found", Some(subscription.clone()), found)?;
    let billing = ours.billing_subscription(&scene.customer).await;
    let billing = billing.map_err(anyhow::Error::msg)?;
    expect("what bills the meter", Some(subscription.clone()), billing)?;
    // Ended ones too: a link that was made and canceled was made.
    scene.done(&ours.cancel_now(&subscription)).await?;
    let found = ours.find_subscription(&scene.customer, &scene.link).await;
    let found = found.map_err(anyhow::Error::msg)?;
    expect("what is found once it ended", Some(subscription), found)?;
    let billing = ours.billing_subscription(&scene.customer).await;
    let billing = billing.map_err(anyhow::Error::msg)?;
    expect("what bills the meter once it ended", None, billing)
}

pub(crate) async fn metadata_comes_back(account: &Account) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "metadata").await?;
    let subscription = scene.subscribe(3).await?;
    let organization = Some(scene.link.organization);
    let state = scene.state(&subscription).await?;
    expect("the organization", organization, state.organization)?;
    // A change that names no metadata leaves it, and one that names some leaves the rest.
    scene
        .done(&account.ours.cancel_at_period_end(&subscription))
        .await?;
    let state = scene.state(&subscription).await?;
    expect(
        "the organization after a change",
        organization,
        state.organization,
    )?;
    let path = format!("/v1/customers/{}", scene.customer);
    account
        .post(&path, &[("metadata[note]", "seen")])
        .await?
        .done()?;
    let customer = account.get(&path, &[]).await?;
    let kept = customer.text("/metadata/organization_id");
    expect(
        "the customer's organization",
        text_of(scene.link.organization).as_str(),
        kept,
    )?;
    expect("what was added", "seen", customer.text("/metadata/note"))
}

pub(crate) async fn a_deleted_customer_ends_its_subscription(
    account: &Account,
) -> anyhow::Result<()> {
    let scene = Scene::begin(account, "deleted").await?;
    let subscription = scene.subscribe(0).await?;
    let path = format!("/v1/customers/{}", scene.customer);
    account.delete(&path).await?.done()?;
    let state = scene.stands(&subscription, "canceled").await?;
    expect(
        "the customer to be seen as deleted",
        true,
        state.customer_deleted,
    )
}
