//! Idempotency keys.

use stripe_svc::conformance::Said;

use crate::account::{Account, expect, id_of};

pub(crate) async fn the_same_key_brings_the_same_object(account: &Account) -> anyhow::Result<()> {
    let (key, link) = (account.fresh(), account.link("replay"));
    let form = [
        ("name", link.name.as_str()),
        ("email", link.email.as_str()),
        ("metadata[conformance_run]", account.run()),
    ];
    let first = account.post_keyed("/v1/customers", &form, &key).await?;
    expect("the first answer to be a replay", false, first.is_replay)?;
    let first = id_of(&first.done()?)?;
    account.made_customer(&first);
    let again = account.post_keyed("/v1/customers", &form, &key).await?;
    expect("the second answer to be a replay", true, again.is_replay)?;
    expect("its customer", first, id_of(&again.done()?)?)
}

pub(crate) async fn a_key_with_other_parameters_is_an_error(
    account: &Account,
) -> anyhow::Result<()> {
    let (key, link) = (account.fresh(), account.link("other-parameters"));
    let request = account.ours.customer(&link);
    let made = match account.ours.send(&request, &key).await {
        Said::Done(customer) => id_of(&customer)?,
        said @ (Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected a customer, got {said:?}")
        }
    };
    account.made_customer(&made);
    let form = [("name", "Another"), ("email", link.email.as_str())];
    let other = account.post_keyed("/v1/customers", &form, &key).await?;
    expect("the status", 400, other.status)?;
    expect("the type", "idempotency_error", other.text("/error/type"))?;
    match account
        .ours
        .send(&request.with("name", "Another"), &key)
        .await
    {
        Said::Unknown { kind: "ours", .. } => Ok(()),
        said @ (Said::Done(_) | Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected our reading to be that it is our fault, got {said:?}")
        }
    }
}
