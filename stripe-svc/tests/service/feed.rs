//! `WatchSubscriptions`: what org-svc learns of subscriptions, and from where it goes on.

use billing_proto::common::v1::SubscriptionStatus;

use crate::support::{World, link};

#[tokio::test]
async fn a_new_subscription_is_in_the_feed_for_every_reader_of_every_replica() {
    let world = World::start().await;
    let service = world.service().await;
    let other = world.service().await;
    let mut early = other.watch(0).await;
    let request = link();
    let provisioned = service.provisioned(&request).await;

    let changes = early.next().await;
    let [state] = changes.states.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(
        state.stripe_subscription_id,
        provisioned.stripe_subscription_id
    );
    assert_eq!(state.stripe_customer_id, provisioned.stripe_customer_id);
    assert_eq!(state.organization_id, request.organization_id);
    assert_eq!(state.subscription_status(), SubscriptionStatus::Trial);
    assert_eq!(state.start_time, provisioned.start_time);
    assert_eq!(state.trial_end_time, provisioned.trial_end_time);
    assert_eq!(state.current_period_end_time, provisioned.trial_end_time);
    assert_eq!(state.version, changes.cursor);
    assert_eq!((state.cancel_time, state.end_time), (None, None));
    assert!(!state.customer_deleted);

    // Who comes later is told the same; who has it already is told the next.
    assert_eq!(service.watch(0).await.next().await, changes);
    let mut late = service.watch(changes.cursor).await;
    other.provisioned(&link()).await;
    let next = late.next().await;
    assert!(next.cursor > changes.cursor);
    assert_eq!(next.states.len(), 1);
    assert_eq!(early.next().await, next);
    assert_eq!(service.watch_fails(-1).await, tonic::Code::InvalidArgument);
}
