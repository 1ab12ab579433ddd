//! UpdateSubscription and CancelSubscription: each carried out once, whatever happens on the way; and a
//! cancellation at once only after everything is delivered.

use std::time::Duration;

use billing_proto::{
    common::v1::{
        CancelMode, DeploymentType, LinkOperationKind, LinkOperationState, PlanType,
        SubscriptionStatus,
    },
    org::v1::{
        CancelSubscriptionRequest, CancelSubscriptionResponse, ConfirmDrainedRequest,
        LinkOperation, LinkTerms, OrganizationStanding, UpdateSubscriptionRequest,
        UpdateSubscriptionResponse,
    },
    stripe::v1 as stripe,
};
use chrono::TimeDelta;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::{
    links::{LEASE_OVER, card_declined, link, pending, terms},
    subscriptions::state,
    support::{
        ErrorReason, OrgSvc, World, eventually, fault, new_id, observation,
        stripe_svc::{Change, Mood, StripeSvc},
    },
};

/// The drain's default bound.
const DRAIN_OVER: TimeDelta = TimeDelta::hours(25);

async fn linked(world: &World, org_svc: &OrgSvc) -> Uuid {
    let id = pending(world, org_svc).await;
    link(world, org_svc, id, terms()).await.unwrap();
    id
}

/// What changes nothing.
fn nothing(id: Uuid) -> UpdateSubscriptionRequest {
    UpdateSubscriptionRequest {
        organization_id: id.to_string(),
        admin_email: None,
        deployment_type: None,
        plan_type: None,
    }
}

fn new_plan(id: Uuid) -> UpdateSubscriptionRequest {
    UpdateSubscriptionRequest {
        plan_type: Some(PlanType::SelfHosted.into()),
        ..nothing(id)
    }
}

async fn update(
    world: &World,
    org_svc: &OrgSvc,
    message: UpdateSubscriptionRequest,
) -> Result<UpdateSubscriptionResponse, Status> {
    update_within(world, org_svc, message, Duration::from_secs(9)).await
}

async fn update_within(
    world: &World,
    org_svc: &OrgSvc,
    message: UpdateSubscriptionRequest,
    deadline: Duration,
) -> Result<UpdateSubscriptionResponse, Status> {
    let mut request = world.as_admin(message);
    request.set_timeout(deadline);
    let mut client = org_svc.organizations.clone();
    Ok(client.update_subscription(request).await?.into_inner())
}

async fn cancel(
    world: &World,
    org_svc: &OrgSvc,
    id: Uuid,
    mode: CancelMode,
) -> Result<CancelSubscriptionResponse, Status> {
    let message = CancelSubscriptionRequest {
        organization_id: id.to_string(),
        mode: mode.into(),
    };
    let mut request = world.as_admin(message);
    // One that drains is answered at its deadline.
    request.set_timeout(Duration::from_millis(1_500));
    let mut client = org_svc.organizations.clone();
    Ok(client.cancel_subscription(request).await?.into_inner())
}

async fn confirm(org_svc: &OrgSvc, id: Uuid, standing_version: i64) -> bool {
    let request = ConfirmDrainedRequest {
        organization_id: id.to_string(),
        standing_version,
    };
    let mut client = org_svc.organizations.clone();
    let response = client.confirm_drained(request).await;
    response.unwrap().into_inner().accepted
}

async fn standing(world: &World, org_svc: &OrgSvc, id: Uuid) -> OrganizationStanding {
    let observed = vec![observation(id, "Acme Corp", "acme.eu", world.now())];
    org_svc.observe(observed).await.remove(0)
}

/// Waits for the end of the latest operation.
async fn ended(org_svc: &OrgSvc, id: Uuid) -> LinkOperation {
    eventually("the end of the operation", async || {
        let operation = org_svc.get(id).await.link_operation.unwrap();
        (operation.state() != LinkOperationState::Running).then_some(operation)
    })
    .await
}

async fn audited(world: &World, id: Uuid) -> String {
    let actions = format!(
        "SELECT string_agg(action, ', ' ORDER BY occurred_at, id) FROM audit_events WHERE organization_id = '{id}' AND admin_user_id = 'admin-1' AND action LIKE 'subscription.%'"
    );
    world.text(&actions).await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_updates_at_once_on_two_replicas_are_one_and_are_told_everywhere() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let replicas = [
        world.start(&stripe_svc.url()).await,
        world.start(&stripe_svc.url()).await,
    ];
    let id = linked(&world, &replicas[0]).await;
    let before = standing(&world, &replicas[0], id).await;
    stripe_svc.set_mood(Mood::Hang);
    let message = UpdateSubscriptionRequest {
        deployment_type: Some(DeploymentType::ManagedCloud.into()),
        ..new_plan(id)
    };
    let updates = (0..6).map(|turn| update(&world, &replicas[turn % 2], message.clone()));
    let stored = async {
        eventually("a call", async || {
            (!stripe_svc.asked_changes().is_empty()).then_some(())
        })
        .await;
        let other = UpdateSubscriptionRequest {
            admin_email: Some("other@acme.example".to_owned()),
            ..nothing(id)
        };
        let refused = fault(update(&world, &replicas[1], other).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
        let refused = fault(cancel(&world, &replicas[0], id, CancelMode::Now).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
        let refused = fault(link(&world, &replicas[0], id, terms()).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
        stripe_svc.set_mood(Mood::Provision);
    };
    let (updates, ()) = tokio::join!(futures::future::join_all(updates), stored);
    let operations: Vec<_> = updates
        .into_iter()
        .map(|answer| answer.unwrap().operation.unwrap())
        .collect();
    for operation in &operations {
        assert_eq!(operation.state(), LinkOperationState::Succeeded);
        assert_eq!(operation.kind(), LinkOperationKind::Update);
        assert_eq!(operation.id, operations[0].id);
    }
    assert_eq!(stripe_svc.asked_changes().len(), 1);

    let organization = replicas[0].get(id).await;
    assert_eq!(organization.plan_type(), PlanType::SelfHosted);
    assert_eq!(organization.deployment_type(), DeploymentType::ManagedCloud);
    assert_eq!(organization.admin_email, terms().admin_email);
    assert_eq!(organization.link_operation.unwrap().id, operations[0].id);
    // ingest-svc hears of the deployment type that reports carry from now on.
    let after = standing(&world, &replicas[0], id).await;
    assert_eq!(after.deployment_type(), DeploymentType::ManagedCloud);
    assert!(after.standing_version > before.standing_version);
    assert_eq!(
        audited(&world, id).await,
        "subscription.update_requested, subscription.updated"
    );
    let changed = "SELECT count(*) FROM audit_events WHERE action = 'subscription.updated' AND before->>'plan_type' = 'managed-cloud' AND after->>'plan_type' = 'self-hosted' AND request_id <> ''";
    assert_eq!(world.count(changed).await, 1);
    // The link stands on the new terms now.
    let on_new_terms = LinkTerms {
        plan_type: PlanType::SelfHosted.into(),
        deployment_type: DeploymentType::ManagedCloud.into(),
        ..terms()
    };
    assert!(link(&world, &replicas[0], id, on_new_terms).await.is_ok());
    let on_old_terms = fault(link(&world, &replicas[0], id, terms()).await);
    assert_eq!(on_old_terms.reason, ErrorReason::LinkConflict);
}

/// The catalog may have another price for the same plan by now: an address is no reason to pay it.
#[tokio::test]
async fn an_update_of_the_address_alone_does_not_touch_the_price() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let message = UpdateSubscriptionRequest {
        admin_email: Some("new@acme.example".to_owned()),
        plan_type: Some(terms().plan_type),
        ..nothing(id)
    };
    let answer = update(&world, &org_svc, message).await.unwrap();
    let organization = answer.organization.unwrap();
    assert_eq!(organization.admin_email, "new@acme.example");
    assert_eq!(organization.plan_type(), PlanType::ManagedCloud);
    let [Change::Update(asked)] = &stripe_svc.changes()[..] else {
        panic!("one update");
    };
    assert_eq!(asked.admin_email, "new@acme.example");
    assert_eq!(asked.plan_type(), PlanType::Unspecified);
    assert_eq!(asked.deployment_type(), DeploymentType::Unspecified);
    assert_eq!(asked.stripe_subscription_id, "sub_1");

    update(&world, &org_svc, new_plan(id)).await.unwrap();
    let Some(Change::Update(asked)) = stripe_svc.changes().pop() else {
        panic!("an update");
    };
    assert_eq!(asked.admin_email, "");
    assert_eq!(asked.plan_type(), PlanType::SelfHosted);
    assert_eq!(asked.deployment_type(), DeploymentType::OnPremise);
}

#[tokio::test]
async fn what_holds_already_is_answered_without_an_operation() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let same = UpdateSubscriptionRequest {
        organization_id: id.to_string(),
        admin_email: Some(terms().admin_email),
        deployment_type: Some(terms().deployment_type),
        plan_type: Some(terms().plan_type),
    };
    let answer = update(&world, &org_svc, same).await.unwrap();
    assert_eq!(answer.operation, None);
    let organization = answer.organization.unwrap();
    assert_eq!(
        organization.link_operation.unwrap().kind(),
        LinkOperationKind::Link
    );
    assert!(stripe_svc.asked_changes().is_empty());
    assert_eq!(world.count("SELECT count(*) FROM link_operations").await, 1);
    assert_eq!(audited(&world, id).await, "");
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_everything_as_it_was() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let before = org_svc.get(id).await;
    stripe_svc.set_mood(Mood::Refuse(card_declined()));
    let status = update(&world, &org_svc, new_plan(id)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let refused = fault(cancel(&world, &org_svc, id, CancelMode::AtPeriodEnd).await);
    assert_eq!(refused.reason, ErrorReason::StripeRefused);

    let mut after = org_svc.get(id).await;
    let operation = after.link_operation.take().unwrap();
    assert_eq!(operation.kind(), LinkOperationKind::Cancel);
    assert_eq!(operation.cancel_mode(), CancelMode::AtPeriodEnd);
    assert_eq!(operation.state(), LinkOperationState::Refused);
    assert_eq!(operation.error_code, "email_invalid");
    after.link_operation = before.link_operation.clone();
    assert_eq!(after, before);
    assert_eq!(
        audited(&world, id).await,
        "subscription.update_requested, subscription.update_refused, subscription.cancel_requested, subscription.cancel_refused"
    );

    // It may be asked for again.
    stripe_svc.set_mood(Mood::Provision);
    let answer = update(&world, &org_svc, new_plan(id)).await.unwrap();
    assert_eq!(
        answer.operation.unwrap().state(),
        LinkOperationState::Succeeded
    );
}

#[tokio::test]
async fn an_update_of_unknown_outcome_is_running_and_the_worker_finishes() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    stripe_svc.set_mood(Mood::LoseTheAnswer);
    let deadline = Duration::from_millis(1_500);
    let answer = update_within(&world, &org_svc, new_plan(id), deadline).await;
    let answer = answer.unwrap();
    let operation = answer.operation.unwrap();
    assert_eq!(operation.state(), LinkOperationState::Running);
    assert_eq!(operation.error_code, "unavailable");
    assert_eq!(
        answer.organization.unwrap().plan_type(),
        PlanType::ManagedCloud
    );
    stripe_svc.set_mood(Mood::Provision);
    world.pass(TimeDelta::minutes(1));
    let done = ended(&org_svc, id).await;
    assert_eq!(done.state(), LinkOperationState::Succeeded);
    assert_eq!(done.id, operation.id);
    // Every attempt asked for the same, and it was made once.
    let asked = stripe_svc.asked_changes();
    assert!(asked.len() > 1);
    assert!(asked.iter().all(|change| *change == asked[0]));
    assert_eq!(stripe_svc.changes().len(), 1);
    assert_eq!(org_svc.get(id).await.plan_type(), PlanType::SelfHosted);
}

#[tokio::test]
async fn who_cannot_be_changed_is_told_why() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let never_linked = pending(&world, &org_svc).await;
    let ended = linked(&world, &org_svc).await;
    stripe_svc.tell(vec![state(ended, 5, SubscriptionStatus::Canceled)]);
    eventually("the end", async || {
        let status = org_svc.get(ended).await.subscription_status();
        (status == SubscriptionStatus::Canceled).then_some(())
    })
    .await;
    for id in [never_linked, ended] {
        let refused = fault(update(&world, &org_svc, new_plan(id)).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
        let refused = fault(cancel(&world, &org_svc, id, CancelMode::Now).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
    }
    let unknown = fault(update(&world, &org_svc, new_plan(new_id())).await);
    assert_eq!(unknown.reason, ErrorReason::OrganizationNotFound);
    let bad = UpdateSubscriptionRequest {
        organization_id: "acme".to_owned(),
        admin_email: Some("nope".to_owned()),
        deployment_type: Some(0),
        plan_type: Some(7),
    };
    let fields = |refused: billing_kit::Fault| -> Vec<_> {
        refused.violations.into_iter().map(|v| v.field).collect()
    };
    let refused = fault(update(&world, &org_svc, bad).await);
    assert_eq!(
        fields(refused),
        [
            "organization_id",
            "admin_email",
            "deployment_type",
            "plan_type"
        ]
    );
    let refused = fault(update(&world, &org_svc, nothing(ended)).await);
    assert_eq!(
        fields(refused),
        ["admin_email", "deployment_type", "plan_type"]
    );
    let refused = fault(cancel(&world, &org_svc, ended, CancelMode::Unspecified).await);
    assert_eq!(fields(refused), ["mode"]);
    let mut client = org_svc.organizations.clone();
    let nobody = client.update_subscription(Request::new(new_plan(ended)));
    assert_eq!(nobody.await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.count("SELECT count(*) FROM link_operations").await, 1);
}

#[tokio::test]
async fn an_end_with_the_period_shows_its_time_and_needs_no_drain() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let at_end = CancelMode::AtPeriodEnd;
    let answer = cancel(&world, &org_svc, id, at_end).await.unwrap();
    let operation = answer.operation.unwrap();
    assert_eq!(operation.state(), LinkOperationState::Succeeded);
    assert_eq!(operation.kind(), LinkOperationKind::Cancel);
    assert_eq!(operation.cancel_mode(), at_end);
    let organization = answer.organization.unwrap();
    assert!(organization.cancel_time.is_some());
    assert_eq!(
        organization.cancel_time,
        organization.current_period_end_time
    );
    assert_eq!(
        organization.subscription_status(),
        SubscriptionStatus::Trial
    );
    let standing = standing(&world, &org_svc, id).await;
    assert!(standing.billable && !standing.draining);
    let again = cancel(&world, &org_svc, id, at_end).await.unwrap();
    assert_eq!(again.operation.unwrap().id, operation.id);
    assert_eq!(stripe_svc.changes().len(), 1);
    assert_eq!(
        audited(&world, id).await,
        "subscription.cancel_requested, subscription.canceled"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fm19_stripe_is_asked_to_cancel_at_once_when_everything_is_delivered_and_not_before() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let replicas = [
        world.start(&stripe_svc.url()).await,
        world.start(&stripe_svc.url()).await,
    ];
    let id = linked(&world, &replicas[0]).await;
    let before = standing(&world, &replicas[0], id).await;
    let (one, two) = tokio::join!(
        cancel(&world, &replicas[0], id, CancelMode::Now),
        cancel(&world, &replicas[1], id, CancelMode::Now),
    );
    let (one, two) = (
        one.unwrap().operation.unwrap(),
        two.unwrap().operation.unwrap(),
    );
    assert_eq!(one.id, two.id);
    assert_eq!(one.state(), LinkOperationState::Running);
    assert_eq!(one.error_code, "draining");
    assert_ne!(one.error_message, "");
    let draining = standing(&world, &replicas[0], id).await;
    assert!(draining.draining && draining.billable);
    assert!(draining.standing_version > before.standing_version);
    let told = format!(
        "SELECT count(*) FROM organization_changes WHERE organization_id = '{id}' AND cursor = {}",
        draining.standing_version
    );
    assert_eq!(world.count(&told).await, 1);
    // Leases and retries pass, and nobody asks Stripe.
    world.pass(LEASE_OVER);
    assert!(!confirm(&replicas[0], id, before.standing_version).await);
    assert!(stripe_svc.asked_changes().is_empty());

    let confirmed = futures::future::join_all(
        (0..4).map(|turn| confirm(&replicas[turn % 2], id, draining.standing_version)),
    );
    assert!(confirmed.await.contains(&true));
    let done = ended(&replicas[1], id).await;
    assert_eq!(done.state(), LinkOperationState::Succeeded);
    assert_eq!((done.id.as_str(), done.error_code.as_str()), (&*one.id, ""));
    let [Change::Cancel(asked)] = &stripe_svc.changes()[..] else {
        panic!("one cancellation");
    };
    assert_eq!(asked.mode(), CancelMode::Now);
    assert_eq!(asked.stripe_subscription_id, "sub_1");
    let organization = replicas[0].get(id).await;
    assert_eq!(
        organization.subscription_status(),
        SubscriptionStatus::Canceled
    );
    assert!(organization.cancel_time.is_some());
    let after = standing(&world, &replicas[0], id).await;
    assert!(!after.draining);
    assert_eq!(after.billing_end_time, organization.cancel_time);
    assert!(after.standing_version > draining.standing_version);
    // A confirmation that comes late, and the same request again, change nothing.
    assert!(!confirm(&replicas[0], id, draining.standing_version).await);
    let again = cancel(&world, &replicas[0], id, CancelMode::Now).await;
    assert_eq!(again.unwrap().operation.unwrap().id, one.id);
    assert_eq!(stripe_svc.asked_changes().len(), 1);
    assert_eq!(
        audited(&world, id).await,
        "subscription.cancel_requested, subscription.canceled"
    );
}

/// The trial ends between the confirmation and Stripe's answer. Were that a standing under which
/// nothing is drained, a report would be sent then that the last invoice may miss.
#[tokio::test]
async fn fm19_what_is_drained_stays_drained_until_the_cancellation_has_ended() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    cancel(&world, &org_svc, id, CancelMode::Now).await.unwrap();
    let draining = standing(&world, &org_svc, id).await;
    assert!(draining.draining && !draining.drained);
    stripe_svc.set_mood(Mood::Hang);
    // The answer to the first may be lost.
    for _ in 0..2 {
        assert!(confirm(&org_svc, id, draining.standing_version).await);
    }
    let drained = standing(&world, &org_svc, id).await;
    assert!(drained.draining && drained.drained);
    assert!(drained.standing_version > draining.standing_version);
    eventually("a call", async || {
        (!stripe_svc.asked_changes().is_empty()).then_some(())
    })
    .await;

    stripe_svc.tell(vec![state(id, 5, SubscriptionStatus::Active)]);
    let active = eventually("the end of the trial", async || {
        let standing = standing(&world, &org_svc, id).await;
        (standing.subscription_status() == SubscriptionStatus::Active).then_some(standing)
    })
    .await;
    assert!(active.standing_version > drained.standing_version);
    assert!(active.draining && active.drained);

    stripe_svc.set_mood(Mood::Provision);
    let operation = ended(&org_svc, id).await;
    assert_eq!(operation.state(), LinkOperationState::Succeeded);
    let after = standing(&world, &org_svc, id).await;
    assert!(!after.draining && !after.drained);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_ends_and_nothing_is_canceled() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    cancel(&world, &org_svc, id, CancelMode::Now).await.unwrap();
    let draining = standing(&world, &org_svc, id).await;
    world.pass(DRAIN_OVER);
    let operation = ended(&org_svc, id).await;
    assert_eq!(operation.state(), LinkOperationState::Refused);
    assert_eq!(operation.error_code, "drain_timeout");
    let after = standing(&world, &org_svc, id).await;
    assert!(after.billable && !after.draining);
    assert!(after.standing_version > draining.standing_version);
    assert!(!confirm(&org_svc, id, draining.standing_version).await);
    assert!(stripe_svc.asked_changes().is_empty());
    assert_eq!(
        audited(&world, id).await,
        "subscription.cancel_requested, subscription.cancel_refused"
    );
    // Another try drains anew, under a standing of its own.
    let again = cancel(&world, &org_svc, id, CancelMode::Now).await.unwrap();
    assert_ne!(again.operation.unwrap().id, operation.id);
    assert!(!confirm(&org_svc, id, draining.standing_version).await);
    assert!(standing(&world, &org_svc, id).await.draining);
}

#[tokio::test]
async fn a_cancellation_that_stripe_refuses_takes_the_drain_back() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    cancel(&world, &org_svc, id, CancelMode::Now).await.unwrap();
    let draining = standing(&world, &org_svc, id).await;
    stripe_svc.set_mood(Mood::Refuse(stripe::StripeRefusal {
        code: "resource_missing".to_owned(),
        ..card_declined()
    }));
    assert!(confirm(&org_svc, id, draining.standing_version).await);
    let operation = ended(&org_svc, id).await;
    assert_eq!(operation.error_code, "resource_missing");
    let after = standing(&world, &org_svc, id).await;
    assert!(after.billable && !after.draining && !after.drained);
    assert!(after.standing_version > draining.standing_version);
}

/// Somebody cancels in Stripe's dashboard while we drain: there is nothing left to wait for.
#[tokio::test]
async fn a_subscription_that_ends_while_it_drains_is_canceled() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    cancel(&world, &org_svc, id, CancelMode::Now).await.unwrap();
    stripe_svc.tell(vec![state(id, 5, SubscriptionStatus::Canceled)]);
    let operation = ended(&org_svc, id).await;
    assert_eq!(operation.state(), LinkOperationState::Succeeded);
    let after = standing(&world, &org_svc, id).await;
    assert!(!after.draining);
    assert_eq!(after.subscription_status(), SubscriptionStatus::Canceled);
}

/// The process dies after the drain, while Stripe is asked. The row is all that is left.
#[test]
fn a_crash_in_the_middle_of_a_cancellation_is_carried_on_by_the_next_process() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (outside, doomed) = (runtime(), runtime());
    let (world, stripe_svc) = outside.block_on(async {
        let stripe_svc = StripeSvc::start(Mood::Provision).await;
        (World::new().await, stripe_svc)
    });
    let id = doomed.block_on(async {
        let org_svc = world.start(&stripe_svc.url()).await;
        let id = linked(&world, &org_svc).await;
        cancel(&world, &org_svc, id, CancelMode::Now).await.unwrap();
        stripe_svc.set_mood(Mood::Hang);
        let version = standing(&world, &org_svc, id).await.standing_version;
        assert!(confirm(&org_svc, id, version).await);
        eventually("a call", async || {
            (!stripe_svc.asked_changes().is_empty()).then_some(())
        })
        .await;
        id
    });
    // Nothing drains and nothing is released: as with SIGKILL.
    doomed.shutdown_background();
    outside.block_on(async {
        stripe_svc.set_mood(Mood::Provision);
        let org_svc = world.start(&stripe_svc.url()).await;
        world.pass(LEASE_OVER);
        let operation = ended(&org_svc, id).await;
        assert_eq!(operation.state(), LinkOperationState::Succeeded);
        assert_eq!(stripe_svc.changes().len(), 1);
    });
}
