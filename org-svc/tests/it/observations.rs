//! ObserveOrganizations: what a report changes, and above all what it does not.

use billing_proto::common::v1::SubscriptionStatus;
use chrono::TimeDelta;

use crate::support::{World, new_id, observation};

const VERSIONS: &str =
    "SELECT coalesce(string_agg(xmin::text || ctid::text, ',' ORDER BY id), '') FROM organizations";

#[tokio::test]
async fn an_unknown_organization_becomes_pending_once() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let (first, second) = (new_id(), new_id());
    let batch = vec![
        observation(second, "Beta", "beta.eu", world.now()),
        observation(first, "Acme", "acme.eu", world.now()),
        observation(
            second,
            "Beta SARL",
            "beta.eu",
            world.now() + TimeDelta::seconds(1),
        ),
    ];
    let standings = org_svc.observe(batch.clone()).await;
    let ids: Vec<_> = standings
        .iter()
        .map(|s| s.organization_id.clone())
        .collect();
    assert_eq!(ids, [second, first, second].map(|id| id.to_string()));
    for standing in &standings {
        assert_eq!(standing.subscription_status(), SubscriptionStatus::Pending);
        assert!(!standing.billable);
        assert!(standing.standing_version > 0);
    }
    assert_eq!(org_svc.get(second).await.name, "Beta SARL");
    assert_eq!(org_svc.observe(batch).await, standings);
    assert_eq!(world.count("SELECT count(*) FROM organizations").await, 2);
    assert_eq!(
        world
            .count("SELECT count(*) FROM organization_changes")
            .await,
        2
    );
}

#[tokio::test]
async fn the_daily_report_of_a_known_organization_writes_nothing() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let ids: Vec<_> = (0..50).map(|_| new_id()).collect();
    let day = |days| {
        let time = world.now() + TimeDelta::days(days);
        ids.iter()
            .map(|id| observation(*id, "Acme", "acme.eu", time))
            .collect::<Vec<_>>()
    };
    org_svc.observe(day(0)).await;
    let before = world.text(VERSIONS).await;
    org_svc.observe(day(1)).await;
    assert_eq!(world.text(VERSIONS).await, before);
}

#[tokio::test]
async fn a_pending_organization_takes_the_latest_name_and_no_older_one() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let id = new_id();
    for (name, seconds, kept) in [("One", 10, "One"), ("Two", 20, "Two"), ("Old", 15, "Two")] {
        let time = world.now() + TimeDelta::seconds(seconds);
        org_svc
            .observe(vec![observation(id, name, "a.eu", time)])
            .await;
        assert_eq!(org_svc.get(id).await.name, kept);
    }
    // A name is no matter of billing: the feed does not tell of it.
    assert_eq!(
        world
            .count("SELECT count(*) FROM organization_changes")
            .await,
        1
    );
}

#[tokio::test]
async fn fm16_a_linked_organization_keeps_its_name_and_shows_the_other_one() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let id = new_id();
    let at = |seconds| world.now() + TimeDelta::seconds(seconds);
    org_svc
        .observe(vec![observation(id, "Acme", "acme.eu", at(0))])
        .await;
    world
        .rows(&format!("UPDATE organizations SET stripe_customer_id = 'cus_1', stripe_subscription_id = 'sub_1', subscription_status = 'active', billing_start_at = now(), deployment_type = 'on-premise' WHERE id = '{id}' RETURNING id"))
        .await;

    let standings = org_svc
        .observe(vec![observation(id, "Evil", "evil.eu", at(1))])
        .await;
    assert!(standings[0].billable);
    assert_eq!(standings[0].stripe_customer_id, "cus_1");
    let organization = org_svc.get(id).await;
    assert_eq!(
        (
            organization.name.as_str(),
            organization.instance_url.as_str()
        ),
        ("Acme", "acme.eu")
    );
    assert_eq!(organization.reported_name, "Evil");
    assert_eq!(organization.reported_instance_url, "evil.eu");

    org_svc
        .observe(vec![observation(id, "Acme", "acme.eu", at(2))])
        .await;
    let organization = org_svc.get(id).await;
    assert_eq!(organization.reported_name, "");
    assert_eq!(organization.reported_instance_url, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_organizations_in_many_batches_at_once_do_not_deadlock() {
    let world = World::new().await;
    let replicas = [world.start_alone().await, world.start_alone().await];
    let ids: Vec<_> = (0..60).map(|_| new_id()).collect();
    for round in 0..3 {
        let batches = (0..16).map(|turn| {
            let time = world.now() + TimeDelta::seconds(round * 100 + turn);
            let mut batch: Vec<_> = ids
                .iter()
                .map(|id| observation(*id, &format!("Name {round} {turn}"), "a.eu", time))
                .collect();
            let by = usize::try_from(turn).unwrap() * 4 % batch.len();
            batch.rotate_left(by);
            if turn % 2 == 0 {
                batch.reverse();
            }
            replicas[usize::try_from(turn % 2).unwrap()].observe(batch)
        });
        futures::future::join_all(batches).await;
        let latest = format!("SELECT count(*) FROM organizations WHERE name = 'Name {round} 15'");
        assert_eq!(world.count(&latest).await, 60);
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM organization_changes")
            .await,
        60
    );
}
