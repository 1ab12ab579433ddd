//! The feed of subscriptions: statuses converge to Stripe's, whatever is lost, doubled or shuffled.

use billing_proto::{
    common::v1::SubscriptionStatus,
    org::v1::{Organization, WatchOrganizationsRequest},
    stripe::v1::SubscriptionState,
};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    links::{link, pending, terms},
    support::{
        OrgSvc, World, eventually, new_id,
        stripe_svc::{Mood, StripeSvc, start_time},
    },
};

/// A state of the subscription of an organization's first link.
pub(crate) fn state(id: Uuid, version: i64, status: SubscriptionStatus) -> SubscriptionState {
    let time = |days| {
        let time = start_time() + TimeDelta::days(days);
        Some(billing_kit::proto_time::to_proto(time))
    };
    SubscriptionState {
        stripe_subscription_id: "sub_1".to_owned(),
        stripe_customer_id: "cus_1".to_owned(),
        organization_id: id.to_string(),
        subscription_status: status.into(),
        trial_end_time: None,
        start_time: time(0),
        current_period_start_time: time(0),
        current_period_end_time: time(30),
        cancel_time: None,
        end_time: None,
        customer_deleted: false,
        observe_time: time(0),
        version,
        invoiced_until_time: None,
        collection_pause: None,
    }
}

pub(crate) async fn eventually_at_cursor(world: &World, cursor: i64) {
    eventually("the cursor", async || {
        let read = format!("SELECT count(*) FROM org_feed_cursors WHERE cursor >= {cursor}");
        (world.count(&read).await == 1).then_some(())
    })
    .await;
}

async fn linked(world: &World, org_svc: &OrgSvc) -> Uuid {
    let id = pending(world, org_svc).await;
    link(world, org_svc, id, terms()).await.unwrap();
    id
}

async fn changes(world: &World, id: Uuid) -> i64 {
    let audited = format!(
        "SELECT count(*) FROM audit_events WHERE organization_id = '{id}' AND action = 'subscription.changed' AND admin_user_id IS NULL AND request_id <> ''"
    );
    world.count(&audited).await
}

fn status(organization: &Organization) -> SubscriptionStatus {
    organization.subscription_status()
}

#[tokio::test]
async fn what_stripe_says_is_so_and_is_told_everywhere() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let version = format!("SELECT standing_version FROM organizations WHERE id = '{id}'");
    let told_before = world.count(&version).await;

    let ending = SubscriptionState {
        cancel_time: state(id, 0, SubscriptionStatus::PastDue).current_period_end_time,
        ..state(id, 1, SubscriptionStatus::PastDue)
    };
    stripe_svc.tell(vec![ending.clone()]);
    eventually_at_cursor(&world, 1).await;
    let organization = org_svc.get(id).await;
    assert_eq!(status(&organization), SubscriptionStatus::PastDue);
    assert_eq!(organization.trial_end_time, None);
    assert_eq!(organization.cancel_time, ending.cancel_time);
    assert_eq!(
        organization.current_period_start_time,
        ending.current_period_start_time
    );
    assert_eq!(
        organization.current_period_end_time,
        ending.current_period_end_time
    );
    assert_eq!(changes(&world, id).await, 1);
    let told = world.count(&version).await;
    assert!(told > told_before, "ingest-svc hears of it");

    // Looked at again, and nothing new.
    stripe_svc.tell(vec![SubscriptionState {
        version: 2,
        ..ending
    }]);
    eventually_at_cursor(&world, 2).await;
    assert_eq!(changes(&world, id).await, 1);
    assert_eq!(world.count(&version).await, told);
}

/// What is billed hangs on how far the invoices are and when it ended: ingest-svc is told of both,
/// and an admin's trail is not filled with every invoice.
#[tokio::test]
async fn what_was_invoiced_and_what_ended_is_told_to_who_bills() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let at = |days| {
        Some(billing_kit::proto_time::to_proto(
            start_time() + TimeDelta::days(days),
        ))
    };
    let standing = async || {
        let request = WatchOrganizationsRequest { cursor: 0 };
        let mut client = org_svc.watching.clone();
        let mut feed = client
            .watch_organizations(request)
            .await
            .unwrap()
            .into_inner();
        let mut standings = feed.message().await.unwrap().unwrap().standings;
        standings.pop().unwrap()
    };

    let active = SubscriptionState {
        trial_end_time: at(4),
        ..state(id, 1, SubscriptionStatus::Active)
    };
    stripe_svc.tell(vec![active.clone()]);
    eventually_at_cursor(&world, 1).await;
    let told = standing().await;
    assert_eq!(told.trial_end_time, at(4));
    assert_eq!(
        (told.billing_end_time, told.invoiced_until_time),
        (None, None)
    );
    let audited = changes(&world, id).await;

    let invoiced = SubscriptionState {
        invoiced_until_time: at(30),
        version: 2,
        ..active
    };
    stripe_svc.tell(vec![invoiced.clone()]);
    eventually_at_cursor(&world, 2).await;
    let again = standing().await;
    assert!(again.standing_version > told.standing_version);
    assert_eq!(again.invoiced_until_time, at(30));
    assert_eq!(changes(&world, id).await, audited);

    stripe_svc.tell(vec![SubscriptionState {
        subscription_status: SubscriptionStatus::Canceled.into(),
        end_time: at(34),
        version: 3,
        ..invoiced
    }]);
    eventually_at_cursor(&world, 3).await;
    let ended = standing().await;
    assert_eq!(ended.billing_end_time, at(34));
    assert_eq!(ended.invoiced_until_time, at(30));
    assert!(ended.billable, "what came before the end");
    assert_eq!(changes(&world, id).await, audited + 1);
}

/// cashier-stripe#1201: out-of-order events moved a subscription backwards.
#[tokio::test]
async fn fm12_shuffled_and_doubled_states_end_where_stripe_is() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let replicas = [
        world.start(&stripe_svc.url()).await,
        world.start(&stripe_svc.url()).await,
    ];
    let id = linked(&world, &replicas[0]).await;
    eventually("both replicas read the feed", async || {
        (stripe_svc.cursors() == [0, 0]).then_some(())
    })
    .await;
    let first = state(id, 1, SubscriptionStatus::Active);
    let second = state(id, 2, SubscriptionStatus::PastDue);
    let third = state(id, 3, SubscriptionStatus::Canceled);
    stripe_svc.tell(vec![second.clone(), first.clone()]);
    stripe_svc.tell(vec![third.clone(), second.clone(), third.clone()]);
    stripe_svc.tell(vec![first]);
    stripe_svc.tell(vec![second]);
    eventually_at_cursor(&world, 4).await;
    let organization = replicas[1].get(id).await;
    assert_eq!(status(&organization), SubscriptionStatus::Canceled);
    assert_eq!(changes(&world, id).await, 2);
}

/// adcp#6654: what was told while nobody listened was never told again.
#[tokio::test]
async fn fm13_a_feed_that_breaks_goes_on_where_it_was() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    stripe_svc.tell(vec![state(id, 1, SubscriptionStatus::Active)]);
    eventually_at_cursor(&world, 1).await;
    stripe_svc.break_feed();
    stripe_svc.tell(vec![state(id, 2, SubscriptionStatus::Unpaid)]);
    eventually_at_cursor(&world, 2).await;
    assert!(org_svc.life.drain(std::time::Duration::from_secs(9)).await);

    stripe_svc.tell(vec![state(id, 3, SubscriptionStatus::Paused)]);
    let next = world.start(&stripe_svc.url()).await;
    eventually_at_cursor(&world, 3).await;
    assert_eq!(status(&next.get(id).await), SubscriptionStatus::Paused);
    assert_eq!(stripe_svc.cursors(), [0, 1, 2]);
}

/// The cursor has gone past a state by the time its link is settled: the link takes it up, else it
/// would stand as Stripe first answered, for ever.
#[tokio::test]
async fn a_state_that_comes_before_its_link_is_settled_is_not_lost() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Hang).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = pending(&world, &org_svc).await;
    let linking = link(&world, &org_svc, id, terms());
    let meanwhile = async {
        eventually("the call", async || {
            (!stripe_svc.requests().is_empty()).then_some(())
        })
        .await;
        stripe_svc.tell(vec![
            state(id, 7, SubscriptionStatus::PastDue),
            state(id, 6, SubscriptionStatus::Active),
        ]);
        eventually_at_cursor(&world, 1).await;
        assert_eq!(status(&org_svc.get(id).await), SubscriptionStatus::Pending);
        stripe_svc.set_mood(Mood::Provision);
    };
    let (linked, ()) = tokio::join!(linking, meanwhile);
    let organization = linked.unwrap().organization.unwrap();
    assert_eq!(status(&organization), SubscriptionStatus::PastDue);
    let unclaimed = "SELECT count(*) FROM unclaimed_subscriptions";
    assert_eq!(world.count(unclaimed).await, 0);
}

#[tokio::test]
async fn subscriptions_of_nobody_change_nothing() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    let by_hand = SubscriptionState {
        stripe_subscription_id: "sub_by_hand".to_owned(),
        organization_id: String::new(),
        ..state(id, 1, SubscriptionStatus::Canceled)
    };
    let of_a_stranger = SubscriptionState {
        stripe_subscription_id: "sub_stranger".to_owned(),
        organization_id: new_id().to_string(),
        ..by_hand.clone()
    };
    let second_of_the_same = SubscriptionState {
        stripe_subscription_id: "sub_second".to_owned(),
        ..state(id, 1, SubscriptionStatus::Canceled)
    };
    stripe_svc.tell(vec![by_hand, of_a_stranger, second_of_the_same]);
    eventually_at_cursor(&world, 1).await;
    assert_eq!(status(&org_svc.get(id).await), SubscriptionStatus::Trial);
    assert_eq!(changes(&world, id).await, 0);
}

#[tokio::test]
async fn a_deleted_customer_is_a_canceled_subscription_and_a_problem() {
    let world = World::new().await;
    let stripe_svc = StripeSvc::start(Mood::Provision).await;
    let org_svc = world.start(&stripe_svc.url()).await;
    let id = linked(&world, &org_svc).await;
    stripe_svc.tell(vec![SubscriptionState {
        customer_deleted: true,
        end_time: Some(billing_kit::proto_time::to_proto(start_time())),
        ..state(id, 1, SubscriptionStatus::Active)
    }]);
    eventually_at_cursor(&world, 1).await;
    let organization = org_svc.get(id).await;
    assert_eq!(status(&organization), SubscriptionStatus::Canceled);
    assert_eq!(
        organization.billing_problem,
        "the customer was deleted in Stripe"
    );
    assert_eq!(
        organization.cancel_time.unwrap().seconds,
        start_time().timestamp()
    );
}
