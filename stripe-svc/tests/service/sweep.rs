//! The sweep: what no webhook brought is found.

use billing_proto::common::v1::{CollectionPauseBehavior, SubscriptionStatus};
use chrono::TimeDelta;
use reqwest::Method;
use stripe_sim::FaultEffect;

use crate::support::{World, answer, eventually, link, once};

const LIST: &str = "GET /v1/subscriptions";
/// How many passes are watched for one that is done twice.
const PASSES: u64 = 3;

/// adcp#6654: webhooks that were missed were gone.
#[tokio::test]
async fn fm13_the_sweep_finds_what_no_webhook_brought() {
    let world = World::start().await;
    let service = world.service().await;
    let [canceled, deleted, kept] = [
        service.provisioned(&link()).await,
        service.provisioned(&link()).await,
        service.provisioned(&link()).await,
    ];
    let subscription = |it: &str| format!("/v1/subscriptions/{it}");
    let path = subscription(&canceled.stripe_subscription_id);
    world.stripe(Method::DELETE, &path, &[]).await;
    let path = format!("/v1/customers/{}", deleted.stripe_customer_id);
    world.stripe(Method::DELETE, &path, &[]).await;
    let path = subscription(&kept.stripe_subscription_id);
    let later = [("cancel_at_period_end", "true")];
    world.stripe(Method::POST, &path, &later).await;
    // Stripe fails at first: the pass goes on later.
    world.fault(once(LIST, FaultEffect::Respond(answer(400))));
    let is_swept = || async {
        let row = world
            .row("SELECT count(*) AS n FROM stripe_sweeps WHERE last_ended_at IS NOT NULL")
            .await;
        row.try_get::<i64>("", "n").unwrap() == 1
    };
    world.sweep_planned().await;
    assert!(!is_swept().await);
    world.advance(TimeDelta::minutes(11));
    eventually("Stripe was asked in vain, and that is stored", || async {
        let was_asked = world.calls(LIST) >= 1;
        let paused = "SELECT count(*) AS n FROM stripe_sweeps WHERE lease_token IS NULL";
        let row = world.row(paused).await;
        was_asked && row.try_get::<i64>("", "n").unwrap() == 1
    })
    .await;
    world.advance(TimeDelta::minutes(1));
    eventually("all subscriptions are looked at", is_swept).await;

    let states = service.watch(0).await.next().await.states;
    let state = |id: &str| {
        states
            .iter()
            .rfind(|it| it.stripe_subscription_id == id)
            .unwrap()
    };
    let found = state(&canceled.stripe_subscription_id);
    assert_eq!(found.subscription_status(), SubscriptionStatus::Canceled);
    assert!(!found.customer_deleted);
    let found = state(&deleted.stripe_subscription_id);
    assert_eq!(found.subscription_status(), SubscriptionStatus::Canceled);
    assert!(found.customer_deleted);
    let found = state(&kept.stripe_subscription_id);
    assert_eq!(found.subscription_status(), SubscriptionStatus::Trial);
    assert_eq!(found.cancel_time, found.current_period_end_time);
    assert!(found.cancel_time.is_some());
}

#[tokio::test]
async fn one_replica_sweeps_and_what_is_as_it_was_is_no_change() {
    let world = World::start().await;
    let [one, two] = [world.service().await, world.service().await];
    one.provisioned(&link()).await;
    let first = two.watch(0).await.next().await;
    // Were a pass done by both, the second one's call would come within one of the passes after it.
    for _ in 0..PASSES {
        world.pass_sweep().await;
    }
    assert_eq!(world.calls(LIST), PASSES);
    let row = world
        .row("SELECT max(cursor) AS cursor FROM stripe_subscription_changes")
        .await;
    assert_eq!(row.try_get::<i64>("", "cursor").unwrap(), first.cursor);
    let row = world
        .row("SELECT fetch_ticket FROM stripe_subscriptions")
        .await;
    assert!(row.try_get::<i64>("", "fetch_ticket").unwrap() > 0);
}

/// pay-rails/pay#659: collection was paused, every invoice voided, and the status said "active".
#[tokio::test]
async fn fm32_a_pause_of_collection_is_told_with_when_it_was_first_seen_until_it_ends() {
    let world = World::start().await;
    let service = world.service().await;
    let provisioned = service.provisioned(&link()).await;
    let path = format!("/v1/subscriptions/{}", provisioned.stripe_subscription_id);
    let told = async |form: &[(&str, &str)]| {
        world.stripe(Method::POST, &path, form).await;
        world.pass_sweep().await;
        let mut states = service.watch(0).await.next().await.states;
        states.pop().unwrap()
    };
    let void = told(&[("pause_collection[behavior]", "void")]).await;
    let pause = void.collection_pause.unwrap();
    assert_eq!(pause.behavior(), CollectionPauseBehavior::Void);
    assert_eq!(pause.first_seen_time, void.observe_time);
    assert_eq!(pause.resume_time, None);
    // Changed, it is the same pause.
    let until = (world.now() + TimeDelta::days(9)).timestamp();
    let draft = told(&[
        ("pause_collection[behavior]", "keep_as_draft"),
        ("pause_collection[resumes_at]", &until.to_string()),
    ])
    .await;
    let changed = draft.collection_pause.unwrap();
    assert_eq!(changed.behavior(), CollectionPauseBehavior::KeepAsDraft);
    assert_eq!(changed.first_seen_time, pause.first_seen_time);
    assert_eq!(changed.resume_time.unwrap().seconds, until);
    assert!(draft.version > void.version);
    let resumed = told(&[("pause_collection", "")]).await;
    assert_eq!(resumed.collection_pause, None);
    assert!(resumed.version > draft.version);
}
