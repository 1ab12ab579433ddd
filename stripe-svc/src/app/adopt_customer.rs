//! A customer in Stripe that an admin chose for a link, in place of a new one.
//!
//! Who owns the customer is decided under a lock, together with the stored call that will change it.
//! From then on, until that call has ended, nobody else can adopt the customer.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::TransactionTrait;

use crate::{
    app::{App, existing_customer::exists},
    domain::{call::Call, ids::CustomerId, refusal::Refusal},
    store::{calls, customers},
};

/// Stores the call that adopts a customer, to be sent when it has the subscription; or says why it
/// cannot be adopted.
///
/// # Errors
/// Stripe or the database did not say.
pub(super) async fn adopt_customer(
    app: &App,
    customer: &CustomerId,
    call: Call,
) -> Result<Result<Call, Refusal>, Fault> {
    let taken = || {
        let message = format!("The customer {customer} belongs to another organization.");
        Refusal::ours("customer_of_another_organization", message)
    };
    let organization = call.organization_id;
    // Said of a customer of ours first: its owner's subscription is nobody else's business.
    if customers::is_of_another(&app.db, customer, organization)
        .await
        .map_err(db_fault)?
    {
        return Ok(Err(taken()));
    }
    if !exists(app, customer).await? {
        let message = format!("The customer {customer} is not in Stripe, or was deleted there.");
        return Ok(Err(Refusal::ours("resource_missing", message)));
    }
    if let Some(refusal) = already_billed(app, customer).await? {
        return Ok(Err(refusal));
    }
    let transaction = app.db.begin().await.map_err(db_fault)?;
    customers::lock(&transaction, customer)
        .await
        .map_err(db_fault)?;
    if customers::is_of_another(&transaction, customer, organization)
        .await
        .map_err(db_fault)?
    {
        transaction.rollback().await.map_err(db_fault)?;
        return Ok(Err(taken()));
    }
    let call = calls::store(&transaction, &call, app.clock.now())
        .await
        .map_err(db_fault)?;
    transaction.commit().await.map_err(db_fault)?;
    Ok(Ok(call))
}

/// A customer that was there before may have been given a subscription by hand; a second one on the
/// same meter would bill everything twice.
///
/// # Errors
/// Stripe did not say.
pub(super) async fn already_billed(
    app: &App,
    customer: &CustomerId,
) -> Result<Option<Refusal>, Fault> {
    let meter = app.stripe.meter(&app.catalog.meter.event_name).await?;
    let subscription = app.stripe.billing_subscription(customer, &meter).await?;
    Ok(subscription.map(|subscription| {
        let message = format!(
            "The customer {customer} has the subscription {subscription}, which bills the same meter already. Cancel it in Stripe first."
        );
        Refusal::ours("customer_has_subscription", message)
    }))
}
