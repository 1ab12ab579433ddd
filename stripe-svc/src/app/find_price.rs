//! The price of a plan on a deployment type.

use billing_kit::Fault;

use crate::{
    app::App,
    domain::{
        ids::PriceId,
        refusal::Refusal,
        terms::{DeploymentType, PlanType},
    },
};

/// The price of these terms, or why there is none.
pub(super) async fn find_price(
    app: &App,
    plan: PlanType,
    deployment: DeploymentType,
) -> Result<Result<PriceId, Refusal>, Fault> {
    const CODE: &str = "price_not_found";
    let Some(price) = app.catalog.price(plan, deployment) else {
        let (plan, deployment) = (plan.as_str(), deployment.as_str());
        let message = format!(
            "The catalog has no price for the plan '{plan}' on '{deployment}'. Add one to the catalog's file and run `stripe-svc catalog apply`."
        );
        return Ok(Err(Refusal::ours(CODE, message)));
    };
    let found = app.stripe.price(&price.lookup_key).await?;
    Ok(found.ok_or_else(|| {
        let message = format!(
            "Stripe has no active price with the lookup key '{}'. Run `stripe-svc catalog apply`.",
            price.lookup_key
        );
        Refusal::ours(CODE, message)
    }))
}
