//! LinkOrganization, and how money is not lost around it.

use std::time::Duration;

use billing_proto::{
    common::v1::{DeploymentType, LinkOperationState, PlanType, SubscriptionStatus},
    org::v1::{LinkOrganizationRequest, LinkOrganizationResponse, LinkTerms},
    stripe::v1::StripeRefusal,
};
use chrono::TimeDelta;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{
    ErrorReason, OrgSvc, World, eventually, fault, new_id, nowhere, observation,
    stripe_svc::{Mood, StripeSvc, start_time},
};

/// Longer than any lease.
pub(crate) const LEASE_OVER: TimeDelta = TimeDelta::minutes(2);

pub(crate) fn terms() -> LinkTerms {
    LinkTerms {
        admin_email: "billing@acme.example".to_owned(),
        deployment_type: DeploymentType::OnPremise.into(),
        plan_type: PlanType::ManagedCloud.into(),
        trial_days: Some(4),
        adopt_customer_id: String::new(),
    }
}

pub(crate) fn card_declined() -> StripeRefusal {
    StripeRefusal {
        code: "email_invalid".to_owned(),
        message: "Invalid email address: billing@acme.example".to_owned(),
        param: "email".to_owned(),
        stripe_request_id: "req_1".to_owned(),
    }
}

pub(crate) async fn pending(world: &World, org_svc: &OrgSvc) -> Uuid {
    let id = new_id();
    let name = "Acme Corp";
    org_svc
        .observe(vec![observation(id, name, "acme.eu", world.now())])
        .await;
    id
}

pub(crate) async fn link(
    world: &World,
    org_svc: &OrgSvc,
    id: Uuid,
    terms: LinkTerms,
) -> Result<LinkOrganizationResponse, Status> {
    link_within(world, org_svc, id, terms, Duration::from_secs(9)).await
}

async fn link_within(
    world: &World,
    org_svc: &OrgSvc,
    id: Uuid,
    terms: LinkTerms,
    deadline: Duration,
) -> Result<LinkOrganizationResponse, Status> {
    let mut request = world.as_admin(LinkOrganizationRequest {
        organization_id: id.to_string(),
        terms: Some(terms),
    });
    request.set_timeout(deadline);
    let response = org_svc
        .organizations
        .clone()
        .link_organization(request)
        .await?;
    Ok(response.into_inner())
}

fn state(response: &LinkOrganizationResponse) -> LinkOperationState {
    response.operation.as_ref().unwrap().state()
}

async fn eventually_linked(org_svc: &OrgSvc, id: Uuid) {
    eventually("the link", async || {
        let organization = org_svc.get(id).await;
        (organization.stripe_customer_id == "cus_1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_link_is_made_once_and_told_everywhere() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;

    let linked = link(&world, &org_svc, id, terms()).await.unwrap();
    assert_eq!(state(&linked), LinkOperationState::Succeeded);
    let organization = linked.organization.unwrap();
    assert_eq!(organization.stripe_customer_id, "cus_1");
    assert_eq!(organization.stripe_subscription_id, "sub_1");
    assert_eq!(
        organization.subscription_status(),
        SubscriptionStatus::Trial
    );
    assert_eq!(organization.deployment_type(), DeploymentType::OnPremise);
    assert_eq!(organization.plan_type(), PlanType::ManagedCloud);
    assert_eq!(organization.admin_email, "billing@acme.example");
    assert_eq!(
        organization.billing_start_time.unwrap().seconds,
        start_time().timestamp()
    );
    assert!(organization.trial_end_time.is_some());
    assert_eq!(
        organization.link_operation.unwrap().state(),
        LinkOperationState::Succeeded
    );

    let request = &stripe_svc.requests()[0];
    assert_eq!(request.organization_id, id.to_string());
    assert_eq!(request.organization_name, "Acme Corp");
    assert_eq!(request.trial_days, 4);

    let standing = &org_svc
        .observe(vec![observation(id, "Acme Corp", "acme.eu", world.now())])
        .await[0];
    assert!(standing.billable);
    let told = format!(
        "SELECT count(*) FROM organization_changes JOIN organizations ON id = organization_id AND standing_version = cursor WHERE id = '{id}' AND cursor = {}",
        standing.standing_version
    );
    assert_eq!(world.count(&told).await, 1);
    let audited = format!(
        "SELECT string_agg(action || ' ' || admin_user_id, ', ' ORDER BY occurred_at, id) FROM audit_events WHERE organization_id = '{id}' AND request_id <> ''"
    );
    assert_eq!(
        world.text(&audited).await.unwrap(),
        "organization.link_requested admin-1, organization.linked admin-1"
    );
}

#[tokio::test]
async fn the_same_terms_again_are_the_same_link_and_others_a_conflict() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let first = link(&world, &org_svc, id, terms()).await.unwrap();
    let again = link(&world, &org_svc, id, terms()).await.unwrap();
    assert_eq!(again.operation, first.operation);
    let other = LinkTerms {
        trial_days: Some(9),
        ..terms()
    };
    let refused = link(&world, &org_svc, id, other).await;
    assert_eq!(refused.as_ref().unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(fault(refused).reason, ErrorReason::LinkConflict);
    assert_eq!(stripe_svc.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fm11_many_links_at_once_on_two_replicas_make_one_customer() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Hang).await;
    let replicas = [
        world.start(&stripe_svc.url()).await,
        world.start(&stripe_svc.url()).await,
    ];
    let id = pending(&world, &replicas[0]).await;
    let links = (0..8).map(|turn| link(&world, &replicas[turn % 2], id, terms()));
    let stored = async {
        eventually("a call", async || {
            (!stripe_svc.requests().is_empty()).then_some(())
        })
        .await;
        let other = LinkTerms {
            plan_type: PlanType::SelfHosted.into(),
            ..terms()
        };
        // On other terms it is a conflict even before the first has ended.
        let refused = link(&world, &replicas[1], id, other).await;
        assert_eq!(fault(refused).reason, ErrorReason::LinkConflict);
        stripe_svc.set_mood(Mood::Provision);
    };
    let (links, ()) = tokio::join!(futures::future::join_all(links), stored);
    let operations: Vec<_> = links
        .into_iter()
        .map(|link| link.unwrap().operation.unwrap())
        .collect();
    for operation in &operations {
        assert_eq!(operation.state(), LinkOperationState::Succeeded);
        assert_eq!(operation.id, operations[0].id);
    }
    assert_eq!(stripe_svc.requests().len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM link_operations").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM audit_events").await, 2);
}

#[tokio::test]
async fn stripe_svc_away_is_running_and_the_worker_finishes() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::LoseTheAnswer).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let deadline = Duration::from_millis(1_500);
    let answer = link_within(&world, &org_svc, id, terms(), deadline)
        .await
        .unwrap();
    assert_eq!(state(&answer), LinkOperationState::Running);
    let operation = answer.operation.unwrap();
    assert_eq!(operation.error_code, "unavailable");
    assert_eq!(org_svc.get(id).await.stripe_customer_id, "");

    stripe_svc.set_mood(Mood::Provision);
    world.pass(TimeDelta::minutes(1));
    eventually_linked(&org_svc, id).await;
    // What was done while the answer was lost was not done again.
    assert_eq!(stripe_svc.provisioned(), 1);
    let requests = stripe_svc.requests();
    assert!(requests.len() > 1);
    assert!(requests.iter().all(|request| *request == requests[0]));
    let done = org_svc.get(id).await.link_operation.unwrap();
    assert_eq!(
        (done.id.as_str(), done.error_code.as_str()),
        (operation.id.as_str(), "")
    );
}

#[tokio::test]
async fn a_request_whose_client_is_gone_is_carried_on() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Hang).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let gone = link(&world, &org_svc, id, terms());
    tokio::select! {
        _ = gone => panic!("nothing can have answered"),
        () = eventually("a call", async || (!stripe_svc.requests().is_empty()).then_some(())) => {}
    }
    stripe_svc.set_mood(Mood::Provision);
    eventually_linked(&org_svc, id).await;
    assert_eq!(stripe_svc.requests().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_stripes_and_leaves_the_organization_pending() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Refuse(card_declined())).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;

    let status = link(&world, &org_svc, id, terms()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = tonic_types::StatusExt::get_error_details(&status);
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "STRIPE_REFUSED");
    for (key, value) in [
        ("stripe_code", "email_invalid"),
        ("stripe_param", "email"),
        ("stripe_request_id", "req_1"),
    ] {
        assert_eq!(info.metadata[key], value);
    }
    assert_eq!(status.message(), card_declined().message);

    let organization = org_svc.get(id).await;
    assert_eq!(
        organization.subscription_status(),
        SubscriptionStatus::Pending
    );
    let operation = organization.link_operation.unwrap();
    assert_eq!(operation.state(), LinkOperationState::Refused);
    assert_eq!(operation.error_code, "email_invalid");
    let audited = format!(
        "SELECT string_agg(action, ', ' ORDER BY occurred_at, id) FROM audit_events WHERE organization_id = '{id}'"
    );
    assert_eq!(
        world.text(&audited).await.unwrap(),
        "organization.link_requested, organization.link_refused"
    );

    // A new one may be started, on other terms too.
    stripe_svc.set_mood(Mood::Provision);
    let other = LinkTerms {
        trial_days: Some(0),
        ..terms()
    };
    let linked = link(&world, &org_svc, id, other).await.unwrap();
    assert_eq!(state(&linked), LinkOperationState::Succeeded);
    assert_ne!(linked.operation.unwrap().id, operation.id);
}

#[tokio::test]
async fn a_gap_in_the_catalog_has_a_reason_of_its_own() {
    let world = World::new().await;
    let refusal = StripeRefusal {
        code: "price_not_found".to_owned(),
        ..card_declined()
    };
    let stripe_svc = StripeSvc::start(Mood::Refuse(refusal)).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let refused = fault(link(&world, &org_svc, id, terms()).await);
    assert_eq!(refused.reason, ErrorReason::PriceNotFound);
}

/// Nothing is stored or sent of such a request, and it would be found so for ever.
#[tokio::test]
async fn a_request_that_stripe_svc_finds_invalid_is_refused_and_not_repeated() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::FindInvalid).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let refused = fault(link(&world, &org_svc, id, terms()).await);
    assert_eq!(refused.reason, ErrorReason::StripeRefused);
    assert!(refused.message.contains("admin_email"), "{refused}");
    let operation = org_svc.get(id).await.link_operation.unwrap();
    assert_eq!(operation.state(), LinkOperationState::Refused);
    assert_eq!(operation.error_code, "invalid_argument");
    assert_eq!(stripe_svc.requests().len(), 1);
}

/// The process dies between the commit of the operation and its end. The row is all that is left.
#[test]
fn a_crash_in_the_middle_is_carried_on_by_the_next_process() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (outside, doomed) = (runtime(), runtime());
    let (world, stripe_svc) =
        outside.block_on(async { (World::new().await, StripeSvc::start(Mood::Hang).await) });
    let id = doomed.block_on(async {
        let org_svc = world.start(&stripe_svc.url()).await;
        let id = pending(&world, &org_svc).await;
        let gone = link(&world, &org_svc, id, terms());
        tokio::select! {
            _ = gone => panic!("nothing can have answered"),
            () = eventually("a call", async || (!stripe_svc.requests().is_empty()).then_some(())) => {}
        }
        id
    });
    // Nothing drains and nothing is released: as with SIGKILL.
    doomed.shutdown_background();
    outside.block_on(async {
        stripe_svc.set_mood(Mood::Provision);
        let org_svc = world.start(&stripe_svc.url()).await;
        // As long as the lease lasts nobody else may settle it.
        let answer = link_within(&world, &org_svc, id, terms(), Duration::from_secs(1)).await;
        assert_eq!(state(&answer.unwrap()), LinkOperationState::Running);
        world.pass(LEASE_OVER);
        eventually_linked(&org_svc, id).await;
        assert_eq!(stripe_svc.provisioned(), 1);
        assert_eq!(world.count("SELECT count(*) FROM link_operations WHERE state = 'succeeded' AND attempt_count = 2").await, 1);
    });
}

/// A process that lost its lease comes back with an answer after another one has settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_lost_the_lease_settles_nothing() {
    let world = World::new().await;
    let slow = StripeSvc::start(Mood::Hang).await;
    let quick = StripeSvc::start(Mood::Provision).await;
    let late = world.start(&slow.url()).await;
    let id = pending(&world, &late).await;
    let request = link(&world, &late, id, terms());
    let takeover = async {
        eventually("a call", async || {
            (!slow.requests().is_empty()).then_some(())
        })
        .await;
        let other = world.start(&quick.url()).await;
        world.pass(LEASE_OVER);
        // Both find it due: the late one's own worker asks the slow service again, in vain.
        let settled = "SELECT count(*) FROM link_operations WHERE state = 'succeeded'";
        eventually("the other's end", async || {
            world.pass(LEASE_OVER);
            (world.count(settled).await == 1).then_some(())
        })
        .await;
        slow.set_mood(Mood::Refuse(card_declined()));
        other
    };
    let (answer, _other) = tokio::join!(request, takeover);
    assert_eq!(state(&answer.unwrap()), LinkOperationState::Succeeded);
    assert!(late.life.drain(Duration::from_secs(5)).await);
    assert_eq!(late_events(&world).await, 0);
    assert_eq!(
        world
            .count("SELECT count(*) FROM link_operations WHERE state = 'succeeded'")
            .await,
        1
    );
}

async fn late_events(world: &World) -> i64 {
    world
        .count("SELECT count(*) FROM audit_events WHERE action = 'organization.link_refused'")
        .await
}

#[tokio::test]
async fn an_organization_that_an_older_system_linked_is_a_conflict() {
    let world = World::new().await;
    let org_svc = world.start(&nowhere()).await;
    let id = pending(&world, &org_svc).await;
    world
        .rows(&format!("UPDATE organizations SET stripe_customer_id = 'cus_old', stripe_subscription_id = 'sub_old', subscription_status = 'active', billing_problem = 'needs migration' WHERE id = '{id}' RETURNING id"))
        .await;
    let refused = fault(link(&world, &org_svc, id, terms()).await);
    assert_eq!(refused.reason, ErrorReason::LinkConflict);
    assert!(
        !org_svc
            .observe(vec![observation(id, "Acme Corp", "acme.eu", world.now())])
            .await[0]
            .billable
    );
    assert_eq!(world.count("SELECT count(*) FROM link_operations").await, 0);
}

/// The terms of a link on a customer that is in Stripe already.
fn adopting(customer: &str) -> LinkTerms {
    LinkTerms {
        adopt_customer_id: customer.to_owned(),
        ..terms()
    }
}

#[tokio::test]
async fn the_customer_to_adopt_is_a_term_that_is_stored_told_and_compared() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Hang).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let begun = link_within(
        &world,
        &org_svc,
        id,
        adopting("cus_chosen"),
        Duration::from_secs(1),
    );
    let begun = begun.await.unwrap();
    assert_eq!(state(&begun), LinkOperationState::Running);
    for other in [terms(), adopting("cus_other")] {
        let refused = fault(link(&world, &org_svc, id, other).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
    }
    // Whoever goes on with it has it from the database.
    org_svc.life.drain(Duration::from_secs(15)).await;
    stripe_svc.set_mood(Mood::Provision);
    let next = world.start(&stripe_svc.url()).await;
    let linked = eventually("the link", async || {
        let organization = next.get(id).await;
        (organization.stripe_customer_id == "cus_chosen").then_some(organization)
    })
    .await;
    let requests = stripe_svc.requests();
    assert!(
        requests
            .iter()
            .all(|it| it.adopt_customer_id == "cus_chosen"),
        "{requests:?}"
    );
    let told = linked.link_operation.unwrap().terms.unwrap();
    assert_eq!(told.adopt_customer_id, "cus_chosen");
    let again = link(&world, &next, id, adopting("cus_chosen")).await;
    assert_eq!(state(&again.unwrap()), LinkOperationState::Succeeded);
    for other in [terms(), adopting("cus_other")] {
        let refused = fault(link(&world, &next, id, other).await);
        assert_eq!(refused.reason, ErrorReason::LinkConflict);
    }
    let asked = "SELECT count(*) FROM audit_events WHERE action = 'organization.link_requested'
        AND after->>'adopt_customer_id' = 'cus_chosen'";
    assert_eq!(world.count(asked).await, 1);
}

/// stripe-svc does not know the customers of organizations that an older system linked.
#[tokio::test]
async fn a_customer_that_another_organization_is_linked_to_is_not_adopted() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let (owner, id) = (
        pending(&world, &org_svc).await,
        pending(&world, &org_svc).await,
    );
    link(&world, &org_svc, owner, adopting("cus_older"))
        .await
        .unwrap();
    let status = link(&world, &org_svc, id, adopting("cus_older")).await;
    let details = tonic_types::StatusExt::get_error_details(&status.unwrap_err());
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "STRIPE_REFUSED");
    assert_eq!(
        info.metadata["stripe_code"],
        "customer_of_another_organization"
    );
    assert_eq!(stripe_svc.requests().len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM link_operations").await, 1);
}

#[tokio::test]
async fn bad_terms_and_unknown_organizations_store_nothing() {
    let world = World::new().await;
    let org_svc = world.start(&nowhere()).await;
    let id = pending(&world, &org_svc).await;
    let bad = LinkTerms {
        admin_email: "nope".to_owned(),
        deployment_type: 0,
        plan_type: 7,
        trial_days: Some(731),
        adopt_customer_id: "cus/1".to_owned(),
    };
    let refused = fault(link(&world, &org_svc, id, bad).await);
    assert_eq!(refused.reason, ErrorReason::InvalidArgument);
    let fields: Vec<_> = refused.violations.into_iter().map(|v| v.field).collect();
    assert_eq!(
        fields,
        [
            "admin_email",
            "deployment_type",
            "plan_type",
            "trial_days",
            "adopt_customer_id"
        ]
    );
    let unknown = fault(link(&world, &org_svc, new_id(), terms()).await);
    assert_eq!(unknown.reason, ErrorReason::OrganizationNotFound);
    assert_eq!(world.count("SELECT count(*) FROM link_operations").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM audit_events").await, 0);
}

/// Told to stop while stripe-svc does not answer, the process lets go in time, and what it leaves
/// behind is due at once.
#[tokio::test]
async fn a_drain_does_not_wait_for_a_call_that_hangs() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Hang).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let request = link(&world, &org_svc, id, terms());
    let drain = async {
        eventually("a call", async || {
            (!stripe_svc.requests().is_empty()).then_some(())
        })
        .await;
        assert!(org_svc.life.drain(Duration::from_secs(15)).await);
    };
    let (answer, ()) = tokio::join!(request, drain);
    assert_eq!(state(&answer.unwrap()), LinkOperationState::Running);
    let free =
        "SELECT count(*) FROM link_operations WHERE state = 'running' AND lease_until IS NULL";
    assert_eq!(world.count(free).await, 1);

    stripe_svc.set_mood(Mood::Provision);
    let next = world.start(&stripe_svc.url()).await;
    eventually_linked(&next, id).await;
}
