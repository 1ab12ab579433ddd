//! `ProvisionSubscription`: an organization's customer and its subscription, each exactly once.

use billing_kit::{Fault, Violation};
use billing_kit_db::db_fault;
use chrono::DateTime;

use crate::{
    app::{
        App,
        adopt_customer::adopt_customer,
        carry_out::{Ended, carry_out},
        existing_customer,
        find_price::find_price,
    },
    domain::{
        call::{Call, CallRequest, CallState, Step, first_key},
        ids::{CallId, CustomerId, SubscriptionId},
        provision::{Provision, ProvisionOutcome, Provisioned},
        refusal::Refusal,
        terms::SubscriptionStatus,
    },
    store::{calls, customers},
    stripe::{SubscriptionObject, customers as customer_requests, from_json, subscriptions},
};

/// The parameter of a subscription that names its customer.
const CUSTOMER: &str = "customer";
/// The parameter of a subscription that names its price: in every call that was to be sent.
const PRICE: &str = "items[0][price]";

/// Provisions a subscription, or goes on where an earlier run of the same operation ended.
///
/// # Errors
/// The outcome is not known yet; the same operation again goes on.
pub(crate) async fn provision_subscription(
    app: &App,
    terms: Provision,
) -> Result<ProvisionOutcome, Fault> {
    let stored = calls::of_operation(&app.db, terms.operation_id)
        .await
        .map_err(db_fault)?;
    for call in &stored {
        same_operation(call, &terms)?;
    }
    let of_step = |step| stored.iter().find(|call| call.step == step).cloned();
    if let Some(call) = of_step(Step::CreateSubscription) {
        return finish(app, &terms, call).await;
    }
    // A gap in the catalog is found before anything is made in Stripe.
    let price = find_price(app, terms.plan_type, terms.deployment_type).await?;
    let known = of_step(Step::AdoptCustomer).or_else(|| of_step(Step::CreateCustomer));
    let customer_call = match (known, &price) {
        (Some(call), _) => Ok(call),
        (None, Ok(_)) => customer_call(app, &terms).await?,
        (None, Err(refusal)) => Err(refusal.clone()),
    };
    let customer_call = match customer_call {
        Ok(call) => call,
        Err(refusal) => return refuse(app, &terms, refusal).await,
    };
    let existing = customer_call.changed_customer();
    let customer = match existing {
        Some(customer) => {
            match existing_customer::prepare(app, &terms, &stored, &customer).await? {
                Ok(()) => customer,
                Err(refusal) => return refuse(app, &terms, refusal).await,
            }
        }
        None => match carry_out(app, customer_call).await? {
            Ended::Succeeded { object_id, .. } => CustomerId::new(object_id),
            Ended::Refused(refusal) => return Ok(ProvisionOutcome::Refused(refusal)),
        },
    };
    let price = match price {
        Ok(price) => price,
        Err(refusal) => return refuse(app, &terms, refusal).await,
    };
    let days_until_due = app.catalog.days_until_due;
    let request = subscriptions::create_request(&terms, &customer, &price, days_until_due);
    let call = store(
        app,
        &terms,
        Step::CreateSubscription,
        request,
        CallState::Open,
    )
    .await?;
    finish(app, &terms, call).await
}

/// Stores the call that sees to the customer: the one that the admin chose, which may be refused; else
/// the one that an earlier operation of the organization left, or a new one. Each gets this operation's
/// name and e-mail address: a new one at once, another when it has the subscription.
async fn customer_call(app: &App, terms: &Provision) -> Result<Result<Call, Refusal>, Fault> {
    if let Some(customer) = &terms.adopt {
        let request = customer_requests::update_request(customer, terms);
        let call = new_call(app, terms, Step::AdoptCustomer, request, CallState::Open);
        return adopt_customer(app, customer, call).await;
    }
    let known = customers::find(&app.db, terms.organization_id)
        .await
        .map_err(db_fault)?;
    let request = match known {
        Some(customer) if existing_customer::exists(app, &customer).await? => {
            customer_requests::update_request(&customer, terms)
        }
        Some(_) | None => customer_requests::create_request(terms),
    };
    let call = store(app, terms, Step::CreateCustomer, request, CallState::Open).await?;
    Ok(Ok(call))
}

/// Stores a refusal of ours as the subscription's call, so that the same operation again is answered
/// the same.
async fn refuse(app: &App, terms: &Provision, refusal: Refusal) -> Result<ProvisionOutcome, Fault> {
    // Nothing is sent, so there is nothing to repeat; but by the customer it shows what was asked for.
    let adopted = terms.adopt.iter();
    let form = adopted.map(|customer| (CUSTOMER.to_owned(), customer.to_string()));
    let request = CallRequest::new("/subscriptions", form.collect());
    let state = CallState::Refused(refusal);
    let call = store(app, terms, Step::CreateSubscription, request, state).await?;
    finish(app, terms, call).await
}

/// Stores a call of the operation, to be carried out afterwards. Where the step has one, that one stays.
///
/// # Errors
/// The database did not say.
pub(super) async fn store(
    app: &App,
    terms: &Provision,
    step: Step,
    request: CallRequest,
    state: CallState,
) -> Result<Call, Fault> {
    let call = new_call(app, terms, step, request, state);
    calls::store(&app.db, &call, app.clock.now())
        .await
        .map_err(db_fault)
}

fn new_call(
    app: &App,
    terms: &Provision,
    step: Step,
    request: CallRequest,
    state: CallState,
) -> Call {
    let id = CallId(app.ids.next());
    Call {
        id,
        operation_id: terms.operation_id,
        organization_id: terms.organization_id,
        step,
        key: first_key(step, id),
        request,
        state,
        first_sent_at: None,
        last_sent_at: None,
    }
}

/// Carries the subscription's call out, does with a customer that was there before what follows from
/// it, and tells what came of it.
async fn finish(app: &App, terms: &Provision, call: Call) -> Result<ProvisionOutcome, Fault> {
    match carry_out(app, call).await? {
        Ended::Succeeded {
            object_id,
            response,
        } => {
            let subscription = SubscriptionId::new(object_id);
            match existing_customer::change(app, terms, &subscription).await? {
                Some(refusal) => Ok(ProvisionOutcome::Refused(refusal)),
                None => provisioned(&response).map(ProvisionOutcome::Provisioned),
            }
        }
        Ended::Refused(refusal) => {
            existing_customer::leave(app, terms, &refusal).await?;
            if let Some(price) = app.catalog.price(terms.plan_type, terms.deployment_type) {
                app.stripe.forget_price(&price.lookup_key);
            }
            Ok(ProvisionOutcome::Refused(refusal))
        }
    }
}

/// Reads Stripe's stored answer. The words and times are Stripe's own; none is guessed.
fn provisioned(response: &serde_json::Value) -> Result<Provisioned, Fault> {
    let subscription: SubscriptionObject = from_json(response)?;
    let time = |seconds| {
        DateTime::from_timestamp(seconds, 0)
            .ok_or_else(|| Fault::internal("Stripe answered a time outside of the calendar"))
    };
    let status = SubscriptionStatus::from_stripe(&subscription.status).ok_or_else(|| {
        let status = &subscription.status;
        Fault::internal(format!(
            "Stripe answered with an unknown status: '{status}'"
        ))
    })?;
    Ok(Provisioned {
        customer_id: CustomerId::new(subscription.customer),
        subscription_id: subscription.id,
        status,
        trial_end: subscription.trial_end.map(time).transpose()?,
        start: time(subscription.start_date)?,
    })
}

/// An operation's terms never change. What shows in the stored call is compared, because whoever
/// sent other terms under this operation would take the answer for one to those.
fn same_operation(call: &Call, terms: &Provision) -> Result<(), Fault> {
    let form = |name| call.request.value(name);
    // It takes an address away: that is none of the terms.
    let is_restore = call.step == Step::RestoreCustomer;
    let differs = |name, wanted: &str| form(name).is_some_and(|stored| stored != wanted);
    let trial = terms.trial_days.days().map(|days| days.to_string());
    let is_sent_subscription = form(PRICE).is_some();
    let trial_differs = is_sent_subscription && form("trial_period_days") != trial.as_deref();
    if call.organization_id != terms.organization_id
        || differs("name", &terms.organization_name)
        || (!is_restore && differs("email", &terms.admin_email))
        || trial_differs
        || shows_other_customer(call, terms)
    {
        return Err(Fault::invalid(vec![Violation::new(
            "operation_id",
            "This operation was stored with other terms.",
        )]));
    }
    Ok(())
}

/// Whether a stored call is about another customer than the one that the terms name to be adopted.
fn shows_other_customer(call: &Call, terms: &Provision) -> bool {
    let adopted = terms.adopt.as_ref().map(CustomerId::as_str);
    match call.step {
        Step::AdoptCustomer => call.request.path.strip_prefix("/customers/") != adopted,
        Step::CreateCustomer => adopted.is_some(),
        Step::CreateSubscription => {
            let stored = call.request.value(CUSTOMER);
            let is_sent = call.request.value(PRICE).is_some();
            // What was sent names its customer, whether adopted or not: the call before tells that.
            (adopted.is_some() || !is_sent) && stored != adopted
        }
        Step::UpdateCustomer
        | Step::RestoreCustomer
        | Step::UpdateSubscription
        | Step::CancelAtPeriodEnd
        | Step::CancelNow => false,
    }
}
