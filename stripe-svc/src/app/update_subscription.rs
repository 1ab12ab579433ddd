//! `UpdateSubscription`: other terms for a subscription that is there.
//!
//! Two stored calls, or the one of them that is asked for. First the customer's e-mail address, because
//! that is what Stripe may refuse, and a refusal then leaves the price as it was; then the price of the
//! subscription's one item on our meter. Without terms for a price the item is not touched: the
//! catalog may have another price for the same terms by now.
//!
//! The price changes with `proration_behavior=create_prorations`. Stripe prorates no metered price;
//! what the word decides is what becomes of the usage until the change: with `none` it is dropped
//! together with the old price, with this it is billed, in `billing_mode=flexible` each part at the
//! price that was in force when it was reported. It comes with the period's own invoice, so an admin
//! who changes a plan twice sends nobody two more invoices (that would be `always_invoice`).

use billing_kit::Fault;

use crate::{
    app::{
        App,
        carry_out::{Ended, carry_out},
        change_subscription::{changed, other_terms, store, stored},
        find_price::find_price,
    },
    domain::{
        call::{Call, CallRequest, Step},
        change::{ChangeOutcome, PriceTerms, Target, Update},
        refusal::Refusal,
    },
    stripe::{customers as customer_requests, subscriptions},
};

/// Updates a subscription, or goes on where an earlier run of the same operation ended.
///
/// # Errors
/// The outcome is not known yet; the same operation again goes on.
pub(crate) async fn update_subscription(app: &App, update: Update) -> Result<ChangeOutcome, Fault> {
    const STEPS: [Step; 2] = [Step::UpdateCustomer, Step::UpdateSubscription];
    let target = &update.target;
    let known = stored(app, target, &STEPS).await?;
    let of_step = |step| known.iter().find(|call| call.step == step).cloned();
    let price_call = match (update.price, of_step(Step::UpdateSubscription)) {
        (Some(_), Some(call)) => Some(call),
        (None, Some(_)) => return Err(other_terms()),
        (price, None) => {
            // What we would refuse ourselves is found before anything is changed in Stripe.
            let request = match price {
                Some(price) => Some(price_request(app, target, price).await?),
                None => None,
            };
            let is_possible = !matches!(request, Some(Err(_)));
            if is_possible && let Some(email) = &update.admin_email {
                let customer_call = match of_step(Step::UpdateCustomer) {
                    Some(call) => same_email(call, email)?,
                    None => store_customer_call(app, &update, email).await?,
                };
                if let Ended::Refused(refusal) = carry_out(app, customer_call).await? {
                    return Ok(ChangeOutcome::Refused(refusal));
                }
            }
            match request {
                Some(request) => Some(store(app, target, Step::UpdateSubscription, request).await?),
                None => None,
            }
        }
    };
    let Some(price_call) = price_call else {
        return changed(app, target).await;
    };
    match carry_out(app, price_call).await? {
        Ended::Succeeded { .. } => changed(app, target).await,
        Ended::Refused(refusal) => {
            if let Some(terms) = update.price
                && let Some(price) = app.catalog.price(terms.plan_type, terms.deployment_type)
            {
                app.stripe.forget_price(&price.lookup_key);
            }
            Ok(ChangeOutcome::Refused(refusal))
        }
    }
}

async fn store_customer_call(app: &App, update: &Update, email: &str) -> Result<Call, Fault> {
    let request = customer_requests::email_request(&update.customer_id, email);
    store(app, &update.target, Step::UpdateCustomer, Ok(request)).await
}

/// An operation's terms never change: what shows in the stored call is compared.
fn same_email(call: Call, email: &str) -> Result<Call, Fault> {
    if call.request.value("email") == Some(email) {
        Ok(call)
    } else {
        Err(other_terms())
    }
}

/// The request that changes the price, or why there is none.
async fn price_request(
    app: &App,
    target: &Target,
    terms: PriceTerms,
) -> Result<Result<CallRequest, Refusal>, Fault> {
    const NO_ITEM: &str = "meter_not_billed";
    let price = match find_price(app, terms.plan_type, terms.deployment_type).await? {
        Ok(price) => price,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let event_name = &app.catalog.meter.event_name;
    let meter = app.stripe.meter(event_name).await?;
    let id = &target.subscription_id;
    Ok(match app.stripe.billing_item(id, &meter).await? {
        Ok(Some(item)) => Ok(subscriptions::price_request(id, &item, &price)),
        Ok(None) => Err(Refusal::ours(
            NO_ITEM,
            format!(
                "The subscription {id} has no item that bills the meter '{event_name}'. Give it one in Stripe first."
            ),
        )),
        Err(refusal) => Err(refusal),
    })
}
