//! WatchOrganizations: every change, in order, at least once.

use std::{collections::BTreeSet, time::Duration};

use billing_proto::{
    common::v1::SubscriptionStatus,
    org::v1::{WatchOrganizationsRequest, WatchOrganizationsResponse},
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::time::timeout;
use tonic::Streaming;

use crate::support::{OrgSvc, World, new_id, observation};

const PATIENCE: Duration = Duration::from_secs(10);

async fn watch(org_svc: &OrgSvc, cursor: i64) -> Streaming<WatchOrganizationsResponse> {
    let request = WatchOrganizationsRequest { cursor };
    let mut client = org_svc.watching.clone();
    let response = client.watch_organizations(request);
    response.await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<WatchOrganizationsResponse>) -> WatchOrganizationsResponse {
    timeout(PATIENCE, stream.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn it_goes_on_from_its_cursor_and_then_follows() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let ids = [new_id(), new_id(), new_id()];
    let observe = async |at: usize| {
        org_svc
            .observe(vec![observation(ids[at], "Acme", "a.eu", world.now())])
            .await;
    };
    observe(0).await;
    observe(1).await;
    let mut all = watch(&org_svc, 0).await;
    let first = next(&mut all).await;
    let seen: Vec<_> = first
        .standings
        .iter()
        .map(|s| s.organization_id.clone())
        .collect();
    assert_eq!(seen, [ids[0].to_string(), ids[1].to_string()]);
    assert_eq!(first.standings[1].standing_version, first.cursor);

    let mut rest = watch(&org_svc, first.standings[0].standing_version).await;
    assert_eq!(next(&mut rest).await.standings, first.standings[1..]);

    let mut new = watch(&org_svc, first.cursor).await;
    observe(2).await;
    for stream in [&mut all, &mut rest, &mut new] {
        let followed = next(stream).await;
        assert_eq!(followed.standings[0].organization_id, ids[2].to_string());
        assert_eq!(
            followed.standings[0].subscription_status(),
            SubscriptionStatus::Pending
        );
    }
}

#[tokio::test]
async fn a_message_holds_at_most_500_changes_and_none_is_left_out() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    for _ in 0..2 {
        let batch = (0..600).map(|_| observation(new_id(), "Acme", "a.eu", world.now()));
        org_svc.observe(batch.collect()).await;
    }
    let mut stream = watch(&org_svc, 0).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 1_200 {
        let message = next(&mut stream).await;
        assert!(message.standings.len() <= 500);
        seen.extend(message.standings.into_iter().map(|s| s.organization_id));
    }
}

/// The failure that the lock is there for: a transaction takes a cursor and commits after another one
/// that took a later cursor. A reader that saw the later one would never look for the earlier again.
#[tokio::test]
async fn a_cursor_is_given_out_only_when_every_smaller_one_is_visible() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let slow = world.db.begin().await.unwrap();
    slow.execute_unprepared("SELECT pg_advisory_xact_lock(hashtext('organization_changes'))")
        .await
        .unwrap();
    let id = new_id();
    let writer = org_svc.observe(vec![observation(id, "Fast", "f.eu", world.now())]);
    tokio::pin!(writer);
    assert!(
        timeout(Duration::from_millis(300), &mut writer)
            .await
            .is_err()
    );
    let earlier = new_id();
    slow.execute_unprepared(&format!(
        "INSERT INTO organizations (id, name, created_at, updated_at) VALUES ('{earlier}', 'Slow', now(), now());
         INSERT INTO organization_changes (organization_id, changed_at) VALUES ('{earlier}', now())"
    ))
    .await
    .unwrap();
    slow.commit().await.unwrap();
    writer.await;
    let mut stream = watch(&org_svc, 0).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(
            next(&mut stream)
                .await
                .standings
                .into_iter()
                .map(|s| s.organization_id),
        );
    }
    assert_eq!(seen, [earlier.to_string(), id.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_misses_nothing_while_many_write() {
    let world = World::new().await;
    let replicas = [world.start_alone().await, world.start_alone().await];
    let mut stream = watch(&replicas[0], 0).await;
    let writers = (0..40).map(|turn| {
        let batch = (0..5).map(|_| observation(new_id(), "Acme", "a.eu", world.now()));
        replicas[turn % 2].observe(batch.collect())
    });
    let reader = async {
        let (mut seen, mut cursor) = (BTreeSet::new(), 0);
        while seen.len() < 200 {
            let message = next(&mut stream).await;
            assert!(message.cursor > cursor);
            for standing in message.standings {
                // What was seen is what the cursor says: nothing from behind it comes later.
                assert!(standing.standing_version > cursor);
                seen.insert(standing.organization_id);
            }
            cursor = message.cursor;
        }
    };
    tokio::join!(reader, futures::future::join_all(writers));
}

#[tokio::test]
async fn it_ends_when_the_process_stops() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let mut stream = watch(&org_svc, 0).await;
    let (drained, ended) = tokio::join!(
        org_svc.life.drain(PATIENCE),
        timeout(PATIENCE, stream.message())
    );
    assert!(drained);
    assert!(ended.unwrap().unwrap().is_none());
}
