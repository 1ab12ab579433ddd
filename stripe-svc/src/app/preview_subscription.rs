//! `PreviewSubscription`: what a link would make and cost, before anything is done.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use crate::{
    app::{App, find_price::find_price},
    domain::{
        preview::{Estimate, Intent, Preview, SimilarCustomer},
        refusal::Refusal,
    },
    store::customers,
};

/// Looks at what a link would do, or why it could not.
///
/// # Errors
/// Stripe or the database did not say.
pub(crate) async fn preview_subscription(
    app: &App,
    intent: Intent,
) -> Result<Result<Preview, Refusal>, Fault> {
    let Intent {
        organization_id,
        admin_email,
        deployment_type,
        plan_type,
        trial_days,
        seats,
    } = intent;
    let price = match find_price(app, plan_type, deployment_type).await? {
        Ok(price) => price,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let catalog = &app.catalog;
    let Some(listed) = catalog.price(plan_type, deployment_type) else {
        return Err(Fault::internal(
            "a price was found that is not in the catalog",
        ));
    };
    let estimate = Estimate::of(
        app.clock.now(),
        trial_days,
        catalog.interval,
        catalog.meter.formula,
        listed.unit_amount,
        seats,
    )
    .ok_or_else(|| Fault::internal("the first period ends outside of the calendar"))?;
    let reused = customers::find(&app.db, organization_id)
        .await
        .map_err(db_fault)?;
    let found = app.stripe.similar_customers(&admin_email, organization_id);
    let mut similar = found.await?;
    if !similar.is_empty() {
        see_what_is_billed(app, &mut similar).await?;
    }
    Ok(Ok(Preview {
        lookup_key: listed.lookup_key.clone(),
        price,
        currency: catalog.currency.clone(),
        unit_amount: listed.unit_amount,
        formula: catalog.meter.formula,
        interval: catalog.interval,
        days_until_due: catalog.days_until_due,
        reused,
        estimate,
        similar,
    }))
}

/// Finds out which of them have a subscription already: beside it another would bill twice.
async fn see_what_is_billed(app: &App, similar: &mut [SimilarCustomer]) -> Result<(), Fault> {
    let meter = app.stripe.meter(&app.catalog.meter.event_name).await?;
    for customer in similar {
        let found = app.stripe.billing_subscription(&customer.id, &meter);
        customer.subscription = found.await?;
    }
    Ok(())
}
