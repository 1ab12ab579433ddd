//! `UpdateSubscription` and `CancelSubscription`: each change made once, whatever happens on the way.

use billing_proto::{
    common::v1::{CancelMode, DeploymentType, PlanType, SubscriptionStatus},
    stripe::v1::{
        CancelSubscriptionRequest, ProvisionSubscriptionRequest, ProvisionedSubscription,
        StripeRefusal, SubscriptionState, UpdateSubscriptionRequest,
        cancel_subscription_response::Outcome as CancelOutcome,
        update_subscription_response::Outcome as UpdateOutcome,
    },
};
use chrono::TimeDelta;
use reqwest::Method;
use stripe_sim::FaultEffect;
use tonic::Code;

use crate::support::{Service, World, answer, event, eventually, link, new_id, once};

const UPDATE_CUSTOMER: &str = "POST /v1/customers/{id}";
const UPDATE_SUBSCRIPTION: &str = "POST /v1/subscriptions/{id}";
const CANCEL_NOW: &str = "DELETE /v1/subscriptions/{id}";

fn update_of(
    link: &ProvisionSubscriptionRequest,
    linked: &ProvisionedSubscription,
) -> UpdateSubscriptionRequest {
    UpdateSubscriptionRequest {
        operation_id: new_id(),
        organization_id: link.organization_id.clone(),
        stripe_customer_id: linked.stripe_customer_id.clone(),
        stripe_subscription_id: linked.stripe_subscription_id.clone(),
        admin_email: "other@acme.example".to_owned(),
        deployment_type: DeploymentType::ManagedCloud.into(),
        plan_type: PlanType::ManagedCloud.into(),
    }
}

fn cancel_of(
    link: &ProvisionSubscriptionRequest,
    linked: &ProvisionedSubscription,
    mode: CancelMode,
) -> CancelSubscriptionRequest {
    CancelSubscriptionRequest {
        operation_id: new_id(),
        organization_id: link.organization_id.clone(),
        stripe_subscription_id: linked.stripe_subscription_id.clone(),
        mode: mode.into(),
    }
}

async fn updated(service: &Service, request: &UpdateSubscriptionRequest) -> SubscriptionState {
    match service.update(request).await.unwrap() {
        UpdateOutcome::Subscription(state) => state,
        UpdateOutcome::Refusal(refusal) => panic!("refused: {refusal:?}"),
    }
}

async fn update_refused(service: &Service, request: &UpdateSubscriptionRequest) -> StripeRefusal {
    match service.update(request).await.unwrap() {
        UpdateOutcome::Subscription(state) => panic!("updated: {state:?}"),
        UpdateOutcome::Refusal(refusal) => refusal,
    }
}

async fn canceled(service: &Service, request: &CancelSubscriptionRequest) -> SubscriptionState {
    match service.cancel(request).await.unwrap() {
        CancelOutcome::Subscription(state) => state,
        CancelOutcome::Refusal(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[tokio::test]
async fn an_update_changes_the_address_and_the_price_and_nothing_else() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    let (_, before) = world.one_of_each();

    let update = update_of(&request, &linked);
    let state = updated(&service, &update).await;
    let (customer, after) = world.one_of_each();
    assert_eq!(customer["email"], "other@acme.example");
    assert_eq!(customer["name"], "Acme Corp");
    let (item_before, item) = (&before["items"]["data"][0], &after["items"]["data"][0]);
    assert_eq!(
        item["price"]["lookup_key"],
        "vaultai_managed_cloud_on_managed_cloud"
    );
    assert_eq!(item["id"], item_before["id"]);
    assert_eq!(after["items"]["data"].as_array().unwrap().len(), 1);
    assert_eq!(after["metadata"], before["metadata"]);
    assert_eq!(state.subscription_status(), SubscriptionStatus::Trial);
    assert_eq!(state.stripe_subscription_id, linked.stripe_subscription_id);
    assert_eq!(state.trial_end_time, linked.trial_end_time);

    // The same operation again changes nothing more; on other terms it is none.
    assert_eq!(updated(&service, &update).await.version, state.version);
    assert_eq!(world.calls(UPDATE_SUBSCRIPTION), 1);
    assert_eq!(world.calls(UPDATE_CUSTOMER), 1);
    let other = CancelSubscriptionRequest {
        operation_id: update.operation_id.clone(),
        ..cancel_of(&request, &linked, CancelMode::AtPeriodEnd)
    };
    let error = service.cancel(&other).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_update_touches_what_it_is_asked_for_and_nothing_else() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    let (_, before) = world.one_of_each();
    let email_only = UpdateSubscriptionRequest {
        deployment_type: DeploymentType::Unspecified.into(),
        plan_type: PlanType::Unspecified.into(),
        ..update_of(&request, &linked)
    };
    updated(&service, &email_only).await;
    let (customer, after) = world.one_of_each();
    assert_eq!(customer["email"], "other@acme.example");
    assert_eq!(after["items"], before["items"]);
    assert_eq!(world.calls(UPDATE_SUBSCRIPTION), 0);

    let price_only = UpdateSubscriptionRequest {
        admin_email: String::new(),
        ..update_of(&request, &linked)
    };
    updated(&service, &price_only).await;
    updated(&service, &price_only).await;
    assert_eq!(world.calls(UPDATE_CUSTOMER), 1);
    assert_eq!(world.calls(UPDATE_SUBSCRIPTION), 1);

    let half = UpdateSubscriptionRequest {
        plan_type: PlanType::Unspecified.into(),
        ..update_of(&request, &linked)
    };
    let nothing = UpdateSubscriptionRequest {
        admin_email: String::new(),
        operation_id: new_id(),
        ..email_only.clone()
    };
    // The terms of an operation never change.
    let other_terms = UpdateSubscriptionRequest {
        operation_id: price_only.operation_id.clone(),
        ..email_only
    };
    for bad in [half, nothing, other_terms] {
        let error = service.update(&bad).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn whatever_is_lost_of_an_update_it_is_made_under_one_key() {
    for effect in [
        FaultEffect::TimeoutBefore { hang_ms: 50 },
        FaultEffect::TimeoutAfter { hang_ms: 50 },
        FaultEffect::CutBody,
        FaultEffect::Respond(answer(409)),
        FaultEffect::Respond(answer(500)),
    ] {
        let world = World::start().await;
        let service = world.service().await;
        let request = link();
        let linked = service.provisioned(&request).await;
        world.fault(once(UPDATE_CUSTOMER, effect.clone()));
        world.fault(once(UPDATE_SUBSCRIPTION, effect));
        let update = update_of(&request, &linked);
        eventually("the update", async || service.update(&update).await.is_ok()).await;
        world.assert_faults_struck();
        for route in [UPDATE_CUSTOMER, UPDATE_SUBSCRIPTION] {
            let mut keys = world.keys(route);
            keys.dedup();
            assert!(keys.len() <= 1, "{route}: {keys:?}");
        }
        let (customer, subscription) = world.one_of_each();
        assert_eq!(customer["email"], "other@acme.example");
        assert_eq!(
            subscription["items"]["data"][0]["price"]["lookup_key"],
            "vaultai_managed_cloud_on_managed_cloud"
        );
    }
}

#[tokio::test]
async fn an_update_that_is_refused_leaves_the_price() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    let bad_email = UpdateSubscriptionRequest {
        admin_email: "nobody".to_owned(),
        ..update_of(&request, &linked)
    };
    let refusal = update_refused(&service, &bad_email).await;
    assert_eq!(refusal.param, "email");
    assert_eq!(update_refused(&service, &bad_email).await, refusal);
    assert_eq!(world.calls(UPDATE_SUBSCRIPTION), 0);

    let of_nobody = UpdateSubscriptionRequest {
        stripe_subscription_id: "sub_nobody".to_owned(),
        ..update_of(&request, &linked)
    };
    let refusal = update_refused(&service, &of_nobody).await;
    assert_eq!(refusal.code, "resource_missing");
    let (customer, _) = world.one_of_each();
    assert_eq!(customer["email"], "billing@acme.example");
}

#[tokio::test]
async fn killed_between_address_and_price_it_goes_on_at_the_price() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    let hang = FaultEffect::TimeoutBefore { hang_ms: 60_000 };
    world.fault(once(UPDATE_SUBSCRIPTION, hang));
    let update = update_of(&request, &linked);
    {
        let killed = async {
            eventually("the call under way", async || {
                let sent = "SELECT count(*) AS n FROM stripe_calls WHERE step = 'update_subscription' AND attempt_count = 1";
                world.row(sent).await.try_get::<i64>("", "n").unwrap() == 1
            })
            .await;
        };
        tokio::select! {
            outcome = service.update(&update) => panic!("{outcome:?}"),
            () = killed => {}
        }
    }
    service.kill();
    let next = world.service().await;
    updated(&next, &update).await;
    assert_eq!(world.calls(UPDATE_CUSTOMER), 1);
}

#[tokio::test]
async fn two_replicas_at_one_cancellation_make_it_once() {
    let world = World::start().await;
    let (one, two) = (world.service().await, world.service().await);
    let request = link();
    let linked = one.provisioned(&request).await;
    let cancel = cancel_of(&request, &linked, CancelMode::AtPeriodEnd);
    let (first, second) = tokio::join!(canceled(&one, &cancel), canceled(&two, &cancel));
    for state in [&first, &second] {
        assert_eq!(state.cancel_time, state.current_period_end_time);
        assert_eq!(state.subscription_status(), SubscriptionStatus::Trial);
    }
    let mut keys = world.keys(UPDATE_SUBSCRIPTION);
    keys.dedup();
    assert_eq!(keys.len(), 1);
    // The feed tells of it without any webhook.
    let told = one.watch(0).await.next().await;
    assert_eq!(told.states.last().unwrap().cancel_time, first.cancel_time);
}

/// bencher#951: an immediate cancellation dropped the usage of the open period.
#[tokio::test]
async fn fm19_to_cancel_now_invoices_what_was_used_whatever_is_lost_on_the_way() {
    for effect in [
        None,
        Some(FaultEffect::TimeoutAfter { hang_ms: 50 }),
        Some(FaultEffect::Respond(answer(500))),
    ] {
        let world = World::start().await;
        let service = world.service().await;
        let request = ProvisionSubscriptionRequest {
            trial_days: 0,
            ..link()
        };
        let linked = service.provisioned(&request).await;
        world.advance(TimeDelta::days(2));
        let usage = event(&linked.stripe_customer_id, 45, world.now());
        service.record_one(&usage).await;
        world.advance(TimeDelta::hours(1));
        if let Some(effect) = effect {
            world.fault(once(CANCEL_NOW, effect));
        }
        let cancel = cancel_of(&request, &linked, CancelMode::Now);
        eventually("the end", async || service.cancel(&cancel).await.is_ok()).await;
        world.assert_faults_struck();
        let state = canceled(&service, &cancel).await;
        assert_eq!(state.subscription_status(), SubscriptionStatus::Canceled);
        assert!(state.end_time.is_some());
        let path = format!("/v1/invoices?customer={}", linked.stripe_customer_id);
        let invoices = world.stripe(Method::GET, &path, &[]).await;
        let totals = invoices["data"].as_array().unwrap().iter();
        let billed: Vec<_> = totals.filter(|it| it["total"].as_i64() > Some(0)).collect();
        assert_eq!(billed.len(), 1, "{invoices}");
    }
}

#[tokio::test]
async fn what_ended_already_is_canceled() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    let path = format!("/v1/subscriptions/{}", linked.stripe_subscription_id);
    world.stripe(Method::DELETE, &path, &[]).await;
    let now = cancel_of(&request, &linked, CancelMode::Now);
    let state = canceled(&service, &now).await;
    assert_eq!(state.subscription_status(), SubscriptionStatus::Canceled);
    // It has no period end left to end at.
    let later = cancel_of(&request, &linked, CancelMode::AtPeriodEnd);
    let CancelOutcome::Refusal(_) = service.cancel(&later).await.unwrap() else {
        panic!("it is over");
    };
    let of_nobody = CancelSubscriptionRequest {
        stripe_subscription_id: "sub_nobody".to_owned(),
        ..cancel_of(&request, &linked, CancelMode::Now)
    };
    let CancelOutcome::Refusal(refusal) = service.cancel(&of_nobody).await.unwrap() else {
        panic!("there is none");
    };
    assert_eq!(refusal.code, "resource_missing");
}

/// The 23 hours after which a call is never repeated under its key, for calls that change.
#[tokio::test]
async fn an_update_of_unknown_outcome_is_made_again_under_a_fresh_key_after_23_hours() {
    let world = World::start().await;
    let service = world.service().await;
    let request = link();
    let linked = service.provisioned(&request).await;
    for _ in 0..5 {
        world.fault(once(UPDATE_SUBSCRIPTION, FaultEffect::Respond(answer(500))));
    }
    let update = update_of(&request, &linked);
    assert!(service.update(&update).await.is_err());
    world.advance(TimeDelta::hours(24));
    eventually("the update", async || service.update(&update).await.is_ok()).await;
    let (_, subscription) = world.one_of_each();
    assert_eq!(
        subscription["items"]["data"][0]["price"]["lookup_key"],
        "vaultai_managed_cloud_on_managed_cloud"
    );
}
