//! Stripe is called no faster than its account allows.

use std::time::{Duration, Instant};

use billing_proto::stripe::v1::meter_event_outcome::Outcome;

use crate::support::{METER_EVENTS, World, event, link};

#[tokio::test]
async fn a_batch_goes_out_at_the_pace_that_is_configured_and_links_keep_their_own() {
    let world = World::start().await;
    let pace = [
        ("STRIPE_METER_EVENTS_PER_SECOND", "20"),
        ("STRIPE_CALLS_PER_SECOND", "1000"),
    ];
    let service = world.service_with(&pace).await;
    let mut customers = Vec::new();
    for _ in 0..32 {
        customers.push(world.customer().await);
    }
    let events = customers.iter().map(|it| event(it, 5, world.now()));
    let started = Instant::now();
    let (outcomes, linked_after) = tokio::join!(service.record(events.collect()), async {
        service.provisioned(&link()).await;
        started.elapsed()
    });
    let took = started.elapsed();
    let is_accepted = |outcome: &Outcome| matches!(outcome, Outcome::Accepted(_));
    assert!(outcomes.iter().all(is_accepted), "{outcomes:?}");
    // Two were saved up; the other thirty take a second and a half.
    assert!(took >= Duration::from_millis(1_450), "{took:?}");
    assert!(linked_after < took, "{linked_after:?}");
}

/// What has no time to wait for its turn is not sent, and nothing of it is lost.
#[tokio::test]
async fn who_has_no_time_to_wait_is_told_to_come_again() {
    let world = World::start().await;
    let pace = [("STRIPE_METER_EVENTS_PER_SECOND", "1")];
    let service = world.service_with(&pace).await;
    let first = world.customer().await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(world.customer().await);
    }
    service.record_one(&event(&first, 1, world.now())).await;
    let events: Vec<_> = others.iter().map(|it| event(it, 5, world.now())).collect();
    // Of the three seconds one is kept to answer in.
    let outcomes = service
        .try_record(events.clone(), Duration::from_secs(3))
        .await;
    let outcomes = outcomes.unwrap();
    let waiting = outcomes.iter().filter(|it| matches!(it, Outcome::Retry(_)));
    let waiting = waiting.count();
    assert!((2..=3).contains(&waiting), "{outcomes:?}");
    let sent = world.calls(METER_EVENTS);
    // One may have been on its way when the time ended: its outcome is not known then.
    let answered = u64::try_from(1 + 4 - waiting).unwrap();
    assert!(
        (answered..=answered + 1).contains(&sent),
        "{sent} of {answered}"
    );

    // The same again ends those that waited, and sends none twice.
    let outcomes = service.record(events).await;
    let is_accepted = |outcome: &Outcome| matches!(outcome, Outcome::Accepted(_));
    assert!(outcomes.iter().all(is_accepted), "{outcomes:?}");
    // But that one, which goes again under its identifier.
    assert_eq!(world.calls(METER_EVENTS), 5 + (sent - answered));
}
