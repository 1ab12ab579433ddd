//! Brings one stored call to its end, whatever was done of it before and whoever else works on it.
//!
//! Two processes may be at it at once: org-svc has two replicas, or a lease ran out. They send the
//! same request under the same key, so Stripe does it once; and what they write is conditional on
//! what they saw.
//!
//! A call whose first attempt is [`REPEAT_HORIZON`](crate::domain::call::REPEAT_HORIZON) old is
//! never repeated under its key, which Stripe may have forgotten. It is looked up: by then whatever
//! was sent under it has long ended ([`IN_FLIGHT_MAX`](crate::domain::call::IN_FLIGHT_MAX) after the
//! last attempt), and Stripe's lists show everything that was made. What is found is the outcome.
//! Where nothing is found, nothing was made, and nothing can be made under the old key any more:
//! nobody can send it once the row has another, because a call is sent only after its row confirmed
//! the key. So a fresh key, stored first, cannot double anything.
//!
//! The same holds at once for a key under which Stripe saved a failure: that answer proves that the
//! attempt has ended.

use std::time::Duration;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use serde_json::Value;

use crate::{
    app::App,
    domain::{
        call::{Call, CallState, NextMove, Step, next_key},
        ids::CustomerId,
        refusal::Refusal,
        subscription::FetchTicket,
        terms::SubscriptionStatus,
    },
    store::{calls, customers, subscriptions},
    stripe::{
        Answer, Budget, CreatedObject, Reply, StatusObject, Unknown, UnknownKind, call_to_sent,
        from_text, read_subscription,
    },
};

/// How long one run may take, repetitions included; less where the caller's deadline is nearer.
const RUN_MAX: Duration = Duration::from_secs(30);
const ATTEMPTS_MAX: u32 = 5;
/// How often a run may begin anew, because the row had changed or was given a fresh key.
const ROUNDS_MAX: usize = 4;

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ended {
    Succeeded { object_id: String, response: Value },
    Refused(Refusal),
}

/// Carries a stored call out.
///
/// # Errors
/// The outcome is not known yet; the same again goes on from here.
pub(super) async fn carry_out(app: &App, stored: Call) -> Result<Ended, Fault> {
    let budget = Budget::within(RUN_MAX, ATTEMPTS_MAX);
    let mut call = stored;
    for _ in 0..ROUNDS_MAX {
        match call.state.clone() {
            CallState::Open => {}
            CallState::Succeeded {
                object_id,
                response,
            } => {
                return Ok(Ended::Succeeded {
                    object_id,
                    response,
                });
            }
            CallState::Refused(refusal) => return Ok(Ended::Refused(refusal)),
        }
        match call.next_move(app.clock.now()) {
            NextMove::Send => send(app, &call, budget).await?,
            NextMove::LookUp => settle_by_look_up(app, &call).await?,
            NextMove::Wait => {
                return Err(Fault::unavailable(
                    "Stripe was asked for this a moment ago; the outcome is not known yet.",
                ));
            }
        }
        // Whoever settled it: what the row says is what is believed.
        call = calls::get(&app.db, call.id).await.map_err(db_fault)?;
    }
    Err(Fault::unavailable(
        "Another process works on this; the outcome is not known yet.",
    ))
}

/// Sends an open call and stores what comes of it.
async fn send(app: &App, call: &Call, budget: Budget) -> Result<(), Fault> {
    let now = app.clock.now();
    if !calls::mark_sent(&app.db, call, now)
        .await
        .map_err(db_fault)?
    {
        return Ok(());
    }
    let request = call_to_sent(call);
    match app
        .stripe
        .transport
        .send(&request, Some(&call.key), budget)
        .await
    {
        Ok(Answer::Done(reply)) => store_success(app, call, &reply).await,
        Ok(Answer::Refused { refusal, .. }) => store_refusal(app, call, refusal).await,
        Err(unknown) => after_unknown(app, call, unknown).await,
    }
}

async fn after_unknown(app: &App, call: &Call, unknown: Unknown) -> Result<(), Fault> {
    let (code, message) = (&unknown.code, &unknown.message);
    let request_id = unknown.request_id.as_deref();
    calls::note_unknown(&app.db, call, code, message, None, request_id)
        .await
        .map_err(db_fault)?;
    let fresh = calls::get(&app.db, call.id).await.map_err(db_fault)?;
    match unknown.kind {
        // Somebody else's attempt under the same key was answered.
        _ if fresh.state != CallState::Open => Ok(()),
        UnknownKind::KeySpent if fresh.may_give_up_key(app.clock.now()) => {
            settle_by_look_up(app, call).await
        }
        UnknownKind::KeySpent
        | UnknownKind::NoAnswer
        | UnknownKind::Later
        | UnknownKind::Broken
        | UnknownKind::Ours
        | UnknownKind::Unreadable => Err(unknown.into()),
    }
}

async fn store_success(app: &App, call: &Call, reply: &Reply) -> Result<(), Fault> {
    let response: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let request_id = reply.request_id.as_deref();
    let read = from_text::<CreatedObject>(&reply.body);
    let (object, response) = match (read, response) {
        (Ok(object), Some(response)) => (object, response),
        (read, response) => {
            let unknown = read.err().unwrap_or_else(|| {
                Unknown::new(
                    UnknownKind::Unreadable,
                    "unreadable_answer",
                    "It is not JSON.",
                )
            });
            let (code, message) = (&unknown.code, &unknown.message);
            calls::note_unknown(&app.db, call, code, message, response, request_id)
                .await
                .map_err(db_fault)?;
            return Err(unknown.into());
        }
    };
    settle_success(app, call, &object.id, response, request_id).await
}

/// Stores a success and, with it, whose customer it is.
async fn settle_success(
    app: &App,
    call: &Call,
    object_id: &str,
    response: Value,
    request_id: Option<&str>,
) -> Result<(), Fault> {
    let now = app.clock.now();
    let transaction = app.db.begin().await.map_err(db_fault)?;
    let is_settled = calls::succeed(
        &transaction,
        call,
        object_id,
        response.clone(),
        request_id,
        now,
    );
    if !is_settled.await.map_err(db_fault)? {
        // Somebody else was answered first, and an operation after this one may have come since.
        return transaction.rollback().await.map_err(db_fault);
    }
    match call.step {
        Step::CreateCustomer | Step::AdoptCustomer => {
            let customer = CustomerId::new(object_id);
            customers::put(&transaction, call.organization_id, &customer, now)
                .await
                .map_err(db_fault)?;
        }
        Step::CreateSubscription => keep_created(&transaction, &response, now).await?,
        // Whoever changes a subscription looks at it afterwards.
        Step::UpdateCustomer
        | Step::RestoreCustomer
        | Step::UpdateSubscription
        | Step::CancelAtPeriodEnd
        | Step::CancelNow => {}
    }
    transaction.commit().await.map_err(db_fault)?;
    app.changed.notify_waiters();
    tracing::info!(
        operation_id = %call.operation_id,
        step = call.step.as_str(),
        stripe_object_id = object_id,
        stripe_request_id = request_id,
        "a call to Stripe succeeded"
    );
    Ok(())
}

/// Tells the feed of the subscription that was made. An answer that cannot be read for it is no
/// reason to lose the outcome: what is fetched later fills the gap.
async fn keep_created(
    transaction: &DatabaseTransaction,
    response: &Value,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    match read_subscription(response) {
        Ok(subscription) => {
            subscriptions::keep(transaction, &[subscription], FetchTicket::NONE, now)
                .await
                .map_err(db_fault)?;
        }
        Err(error) => tracing::error!(%error, "the new subscription is not in the feed yet"),
    }
    Ok(())
}

async fn store_refusal(app: &App, call: &Call, refusal: Refusal) -> Result<(), Fault> {
    if call.step == Step::CancelNow && refusal.is_resource_missing() {
        // It ended already: by an earlier attempt of ours as a rule.
        if let Some(reply) = ended_subscription(app, call).await? {
            return store_success(app, call, &reply).await;
        }
    }
    tracing::warn!(
        operation_id = %call.operation_id,
        step = call.step.as_str(),
        code = %refusal.code,
        param = refusal.param,
        stripe_request_id = refusal.request_id,
        "Stripe refused a call"
    );
    calls::refuse(&app.db, call, &refusal, app.clock.now())
        .await
        .map_err(db_fault)
}

/// The subscription that a call is about, where it has ended; `None` too where there is none.
async fn ended_subscription(app: &App, call: &Call) -> Result<Option<Reply>, Unknown> {
    let reply = match app.stripe.retrieve(&call.request.path).await {
        Ok(reply) => reply,
        Err(unknown) if unknown.code == "resource_missing" => return Ok(None),
        Err(unknown) => return Err(unknown),
    };
    let found: StatusObject = from_text(&reply.body)?;
    let status = SubscriptionStatus::from_stripe(&found.status);
    Ok(status
        .is_some_and(SubscriptionStatus::is_final)
        .then_some(reply))
}

async fn start_over(app: &App, call: &Call) -> Result<(), Fault> {
    let key = next_key(call.step, call.id, app.ids.next());
    tracing::warn!(
        operation_id = %call.operation_id,
        step = call.step.as_str(),
        "a call is sent under a fresh key: under its first nothing was done"
    );
    calls::start_over(&app.db, call, &key)
        .await
        .map_err(db_fault)
}

/// Settles a call from what Stripe has, or gives it a fresh key where Stripe has nothing of it.
async fn settle_by_look_up(app: &App, call: &Call) -> Result<(), Fault> {
    let value = |name| call.request.value(name).unwrap_or_default();
    let found = match call.step {
        // To do it twice is the same as once, and no other operation came in between: an
        // organization has one at a time.
        Step::CreateCustomer if call.changed_customer().is_some() => None,
        Step::AdoptCustomer
        | Step::UpdateCustomer
        | Step::RestoreCustomer
        | Step::UpdateSubscription
        | Step::CancelAtPeriodEnd => None,
        Step::CancelNow => {
            let ended = ended_subscription(app, call).await?;
            ended.map(|_| call.request.path.clone())
        }
        Step::CreateCustomer => {
            let (operation, organization) = (call.operation_id, call.organization_id);
            let found = app
                .stripe
                .find_customer(value("email"), operation, organization);
            found.await?.map(|id| format!("/customers/{id}"))
        }
        Step::CreateSubscription => {
            let found = app
                .stripe
                .find_subscription(value("customer"), call.operation_id);
            found.await?.map(|id| format!("/subscriptions/{id}"))
        }
    };
    match found {
        Some(path) => {
            let reply = app.stripe.retrieve(&path).await?;
            store_success(app, call, &reply).await
        }
        None => start_over(app, call).await,
    }
}
