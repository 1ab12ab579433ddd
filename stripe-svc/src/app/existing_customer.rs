//! A customer that was in Stripe before the link: one that the admin chose, or one that an earlier
//! operation of the organization left.
//!
//! A link that is refused must leave it as it was (Paymenter#986). So its name, address and metadata
//! are changed last, when the subscription exists. There are two exceptions, and each has its undo:
//! - Stripe refuses a subscription for a customer without an e-mail address. Such a customer gets the
//!   address first. It is taken away again if the subscription is refused.
//! - Stripe may refuse the change itself, for example because the metadata are full. Then the new
//!   subscription, of which nothing was used, is canceled.
//!
//! Every step is a stored call, so a crash anywhere resumes at the first step that is not done.

use billing_kit::Fault;
use billing_kit_db::db_fault;

use crate::{
    app::{
        App,
        adopt_customer::already_billed,
        carry_out::{Ended, carry_out},
        provision_subscription::store,
        refresh_subscription::refresh_subscription,
    },
    domain::{
        call::{Call, CallState, Step},
        ids::{CustomerId, SubscriptionId},
        provision::Provision,
        refusal::Refusal,
    },
    store::calls,
    stripe::{customers as requests, subscriptions},
};

/// Whether Stripe still has a customer.
///
/// # Errors
/// Stripe did not say.
pub(super) async fn exists(app: &App, customer: &CustomerId) -> Result<bool, Fault> {
    match app.stripe.customer(customer).await {
        Ok(customer) => Ok(customer.is_some()),
        Err(unknown) if unknown.code == "resource_missing" => Ok(false),
        Err(unknown) => Err(unknown.into()),
    }
}

/// Sees to it that the customer can have the subscription, or says why not.
///
/// # Errors
/// The outcome is not known yet; the same operation again resumes here.
pub(super) async fn prepare(
    app: &App,
    terms: &Provision,
    stored: &[Call],
    customer: &CustomerId,
) -> Result<Result<(), Refusal>, Fault> {
    if let Some(refusal) = already_billed(app, customer).await? {
        return Ok(Err(refusal));
    }
    let known = of_step(stored, Step::UpdateCustomer);
    let call = match known {
        Some(call) => call,
        None => match app.stripe.customer(customer).await? {
            Some(found) if !found.has_email => {
                let request = requests::email_request(customer, &terms.admin_email);
                store(app, terms, Step::UpdateCustomer, request, CallState::Open).await?
            }
            // Stripe refuses the subscription of a deleted customer itself.
            Some(_) | None => return Ok(Ok(())),
        },
    };
    match carry_out(app, call).await? {
        Ended::Succeeded { .. } => Ok(Ok(())),
        Ended::Refused(refusal) => Ok(Err(refusal)),
    }
}

/// Brings the customer to the operation's terms, now that it has the subscription. If Stripe refuses
/// that, the subscription is canceled, and the refusal is the outcome.
///
/// # Errors
/// The outcome is not known yet; the same operation again resumes here.
pub(super) async fn change(
    app: &App,
    terms: &Provision,
    subscription: &SubscriptionId,
) -> Result<Option<Refusal>, Fault> {
    let stored = stored(app, terms).await?;
    let Some(call) = change_call(&stored) else {
        return Ok(None);
    };
    let Ended::Refused(refusal) = carry_out(app, call).await? else {
        return Ok(None);
    };
    let request = subscriptions::cancel_unused_request(subscription);
    let cancel = store(app, terms, Step::CancelNow, request, CallState::Open).await?;
    if let Ended::Refused(cancel) = carry_out(app, cancel).await? {
        tracing::error!(
            operation_id = %terms.operation_id,
            stripe_subscription_id = %subscription,
            code = %cancel.code,
            "the subscription of a refused link could not be canceled: cancel it in Stripe"
        );
    }
    refresh_subscription(app, subscription)
        .await
        .map_err(super::change_subscription::fault_of)?;
    restore_address(app, terms, &stored).await?;
    Ok(Some(refusal))
}

/// Leaves the customer as it was before the link, because its subscription was refused.
///
/// # Errors
/// The outcome is not known yet; the same operation again resumes here.
pub(super) async fn leave(app: &App, terms: &Provision, refusal: &Refusal) -> Result<(), Fault> {
    let stored = stored(app, terms).await?;
    restore_address(app, terms, &stored).await?;
    // Last: until then nobody else may adopt the customer.
    match change_call(&stored) {
        Some(call) => calls::refuse(&app.db, &call, refusal, app.clock.now())
            .await
            .map_err(db_fault),
        None => Ok(()),
    }
}

/// Takes the address away that [`prepare`] gave the customer, if it did.
async fn restore_address(app: &App, terms: &Provision, stored: &[Call]) -> Result<(), Fault> {
    let given = of_step(stored, Step::UpdateCustomer)
        .filter(|call| matches!(call.state, CallState::Succeeded { .. }));
    let Some(customer) = given.and_then(|call| call.changed_customer()) else {
        return Ok(());
    };
    let request = requests::no_email_request(&customer);
    let call = store(app, terms, Step::RestoreCustomer, request, CallState::Open).await?;
    // A refusal is final too: the customer was deleted in the meantime.
    carry_out(app, call).await.map(drop)
}

async fn stored(app: &App, terms: &Provision) -> Result<Vec<Call>, Fault> {
    calls::of_operation(&app.db, terms.operation_id)
        .await
        .map_err(db_fault)
}

fn of_step(stored: &[Call], step: Step) -> Option<Call> {
    stored.iter().find(|call| call.step == step).cloned()
}

/// The call that brings a customer that was there before to the operation's terms.
fn change_call(stored: &[Call]) -> Option<Call> {
    of_step(stored, Step::AdoptCustomer)
        .or_else(|| of_step(stored, Step::CreateCustomer))
        .filter(|call| call.changed_customer().is_some())
}
