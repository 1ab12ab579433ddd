//! Errors, as Stripe writes them and as we read them.

use serde_json::Value;
use stripe_svc::conformance::{Refused, Said};

use crate::account::{Account, expect, id_of};

pub(crate) async fn what_is_not_there_is_resource_missing(account: &Account) -> anyhow::Result<()> {
    let path = "/v1/subscriptions/sub_conformance00";
    let answer = account.get(path, &[]).await?;
    expect("the status", 404, answer.status)?;
    expect(
        "the type",
        "invalid_request_error",
        answer.text("/error/type"),
    )?;
    expect("the code", "resource_missing", answer.text("/error/code"))?;
    expect("the parameter", "id", answer.text("/error/param"))?;
    let state = account.ours.state("sub_conformance00").await;
    expect("our reading", Ok(None), state)?;
    let link = account.link("nobody");
    let price = &account.first_price;
    let request = account
        .ours
        .subscription(&link, 0, "cus_conformance00", price);
    refused(account, &request, "resource_missing", "customer").await
}

pub(crate) async fn a_bad_parameter_is_named(account: &Account) -> anyhow::Result<()> {
    let link = account.link("bad-parameter");
    let request = account.ours.customer(&link);
    let bad_email = request.clone().with("email", "nobody");
    refused(account, &bad_email, "email_invalid", "email").await?;
    let unknown = request.with("colour", "blue");
    refused(account, &unknown, "parameter_unknown", "colour").await
}

pub(crate) async fn a_second_currency_is_refused(account: &Account) -> anyhow::Result<()> {
    let link = account.link("second-currency");
    let customer = account.customer_of(&link).await?;
    let path = format!("/v1/prices/{}", account.first_price);
    let ours = account.get(&path, &[]).await?.done()?;
    let product = ours.get("product").and_then(Value::as_str);
    let price = [
        ("currency", "usd"),
        ("unit_amount", "900"),
        ("recurring[interval]", "month"),
        ("product", product.unwrap_or_default()),
    ];
    let price = id_of(&account.post("/v1/prices", &price).await?.done()?)?;
    let form = [
        ("customer", &*customer),
        ("items[0][price]", &price),
        ("collection_method", "send_invoice"),
        ("days_until_due", "30"),
    ];
    account.post("/v1/subscriptions", &form).await?.done()?;
    // Prices cannot be deleted.
    let path = format!("/v1/prices/{price}");
    account.post(&path, &[("active", "false")]).await?.done()?;
    let ours = &account.ours;
    let request = ours.subscription(&link, 0, &customer, &account.first_price);
    match ours.send(&request, &account.fresh()).await {
        Said::Refused(Refused { message, .. }) if message.contains("currenc") => Ok(()),
        said @ (Said::Done(_) | Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected a refusal that names the currencies, got {said:?}")
        }
    }
}

pub(crate) async fn a_customer_without_an_address_is_refused(
    account: &Account,
) -> anyhow::Result<()> {
    let link = account.link("no-address");
    let form = [
        ("name", link.name.as_str()),
        ("metadata[conformance_run]", account.run()),
    ];
    let customer = id_of(&account.post("/v1/customers", &form).await?.done()?)?;
    account.made_customer(&customer);
    let ours = &account.ours;
    let request = ours.subscription(&link, 0, &customer, &account.first_price);
    match ours.send(&request, &account.fresh()).await {
        Said::Refused(Refused { message, .. }) if message.contains("email") => Ok(()),
        said @ (Said::Done(_) | Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected a refusal that names the address, got {said:?}")
        }
    }
}

async fn refused(
    account: &Account,
    request: &stripe_svc::conformance::Request,
    code: &str,
    param: &str,
) -> anyhow::Result<()> {
    match account.ours.send(request, &account.fresh()).await {
        Said::Refused(Refused {
            code: got,
            param: Some(at_fault),
            message: _,
        }) if got == code && at_fault == param => Ok(()),
        said @ (Said::Done(_) | Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected a refusal with {code} of {param}, got {said:?}")
        }
    }
}

pub(crate) async fn a_bad_key_is_nobodys_refusal(account: &Account) -> anyhow::Result<()> {
    let stranger = account.stranger()?;
    match stranger.get("/customers").await {
        Said::Unknown { kind: "ours", .. } => Ok(()),
        said @ (Said::Done(_) | Said::Refused(_) | Said::Unknown { .. }) => {
            anyhow::bail!("expected our reading to be that it is our fault, got {said:?}")
        }
    }
}

pub(crate) async fn answers_carry_a_request_id(account: &Account) -> anyhow::Result<()> {
    for path in ["/v1/customers", "/v1/customers/cus_conformance00"] {
        let answer = account.get(path, &[]).await?;
        let id = answer.request_id.unwrap_or_default();
        anyhow::ensure!(
            id.starts_with("req_"),
            "expected a request id of {path}, got \"{id}\""
        );
    }
    Ok(())
}
