//! Goal: an organization is marked as drained when nothing of it is left to deliver and not before, and
//! nothing joins its queue behind the mark.
//! Method: a freshly migrated database and the drain's own step.

use billing_kit::Ids;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use super::{
    delivery::{self, Settlement},
    drains,
    reporting::{self, Latest},
    reports, spool,
    tests::{database, make_organization, new_report, now, report, states},
};
use crate::{
    app::drain::look,
    domain::{
        delivery::{DeliveryState, meter_event_identifier, state_at_recording},
        standing::{Drain, Standing, SubscriptionStatus},
    },
};

/// Longer than any pause of the drain's.
const A_MINUTE: TimeDelta = TimeDelta::minutes(1);

fn standing(id: Uuid, version: i64, drain: Drain) -> Standing {
    Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some(format!("cus_{id}")),
        billing_start_at: Some(now() - TimeDelta::days(3)),
        billable: true,
        version,
        drain,
        ..Standing::unknown(id)
    }
}

/// Learns of a standing as from the feed.
async fn learn(db: &DatabaseConnection, standing: &Standing) {
    let id = standing.organization_id;
    reporting::lock_with_standings(db, std::slice::from_ref(standing))
        .await
        .unwrap();
    delivery::reconsider(db, vec![id], now()).await.unwrap();
}

/// Records a report as it comes in, and answers where it begins.
async fn arrives(
    db: &DatabaseConnection,
    known: &Standing,
    reported_at: DateTime<Utc>,
) -> DeliveryState {
    let latest = Latest {
        standing: known.clone(),
        user_count: 5,
        reported_at,
        instance_url: "acme.example".to_owned(),
        signing_key: None,
        has_several: false,
    };
    let stands = reporting::lock_with_reports(db, &[latest]).await.unwrap();
    let state = state_at_recording(&stands[0].standing, reported_at, now());
    let report = report(known.organization_id, reported_at);
    let new = new_report(Ids::random().next(), report, state);
    reports::insert_new(db, &[new]).await.unwrap();
    state
}

/// Delivers everything that is queued.
async fn deliver(db: &DatabaseConnection, id: Uuid) {
    delivery::drop_outdated(db, vec![id], now()).await.unwrap();
    for sent in delivery::first_queued(db, vec![id], now()).await.unwrap() {
        let settlement = Settlement {
            report_id: sent.id,
            state: DeliveryState::Sent,
            is_attempt: true,
            stripe_meter_event_id: Some(meter_event_identifier(sent.id)),
            error: None,
            next_attempt_at: None,
        };
        delivery::settle(db, &[settlement], now()).await.unwrap();
    }
}

#[tokio::test]
async fn fm19_the_mark_comes_after_the_queue_and_what_comes_after_the_mark_waits() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    assert!(look(&db, now()).await.unwrap().is_none(), "nobody drains");
    learn(&db, &standing(id, 1, Drain::None)).await;
    let first = now() - TimeDelta::hours(30);
    assert_eq!(
        arrives(&db, &standing(id, 1, Drain::None), first).await,
        DeliveryState::Queued
    );
    let draining = standing(id, 2, Drain::Draining);
    learn(&db, &draining).await;
    let mut time = now();
    let mut step = async || {
        time += A_MINUTE;
        look(&db, time).await.unwrap().map(|drain| drain.is_drained)
    };
    assert_eq!(step().await, Some(false));
    // Until the mark reports join the queue as ever.
    let second = now() - TimeDelta::hours(3);
    assert_eq!(arrives(&db, &draining, second).await, DeliveryState::Queued);
    deliver(&db, id).await;
    assert_eq!(step().await, Some(false));
    deliver(&db, id).await;
    assert_eq!(step().await, Some(true));
    let third = now() - TimeDelta::hours(2);
    assert_eq!(arrives(&db, &draining, third).await, DeliveryState::Waiting);
    // The same standing again, as the feed may tell it, changes nothing.
    learn(&db, &draining).await;
    assert_eq!(states(&db, id).await[2], (third, DeliveryState::Waiting));
    // Told again and again until org-svc knows it, then no more.
    assert_eq!(step().await, Some(true));
    let drain = look(&db, now() + TimeDelta::days(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((drain.organization_id, drain.standing_version), (id, 2));
    drains::acknowledge(&db, drain).await.unwrap();
    assert!(step().await.is_none());

    let ended = Standing {
        status: SubscriptionStatus::Canceled,
        billable: false,
        ..standing(id, 3, Drain::None)
    };
    learn(&db, &ended).await;
    assert_eq!(
        states(&db, id).await,
        [
            (first, DeliveryState::Sent),
            (second, DeliveryState::Sent),
            (third, DeliveryState::NotBilled),
        ]
    );
    db.close().await.unwrap();
}

/// The trial ends between the confirmation and Stripe's answer: the mark, which was found under another
/// standing, is void, and org-svc says instead that it is drained.
#[tokio::test]
async fn fm19_nothing_is_sent_of_who_is_drained_however_else_it_comes_to_stand() {
    for goes_on in [true, false] {
        let (database, db) = database().await;
        let id = Ids::random().next();
        make_organization(&database, id).await;
        let draining = Standing {
            status: SubscriptionStatus::Trial,
            ..standing(id, 1, Drain::Draining)
        };
        learn(&db, &draining).await;
        let marked = look(&db, now()).await.unwrap().unwrap();
        assert!(marked.is_drained);
        drains::acknowledge(&db, marked).await.unwrap();
        let times = [3, 2, 1].map(|hours| now() - TimeDelta::hours(hours));
        assert_eq!(
            arrives(&db, &draining, times[0]).await,
            DeliveryState::Waiting
        );
        for (version, status) in [
            (2, SubscriptionStatus::Trial),
            (3, SubscriptionStatus::Active),
        ] {
            let drained = Standing {
                status,
                ..standing(id, version, Drain::Drained)
            };
            learn(&db, &drained).await;
            let at = times[usize::try_from(version).unwrap() - 1];
            assert_eq!(arrives(&db, &drained, at).await, DeliveryState::Waiting);
            deliver(&db, id).await;
            assert!(look(&db, now() + A_MINUTE).await.unwrap().is_none());
        }
        let told = states(&db, id).await.into_iter().map(|(_, it)| it);
        assert_eq!(told.collect::<Vec<_>>(), [DeliveryState::Waiting; 3]);

        let after = Standing {
            billing_end_at: (!goes_on).then(|| times[1]),
            ..standing(id, 4, Drain::None)
        };
        learn(&db, &after).await;
        let told = states(&db, id).await.into_iter().map(|(_, it)| it);
        let rest = if goes_on {
            DeliveryState::Queued
        } else {
            DeliveryState::NotBilled
        };
        assert_eq!(
            told.collect::<Vec<_>>(),
            [DeliveryState::Queued, rest, rest]
        );
        db.close().await.unwrap();
    }
}

/// A drain that was taken back, and one of which only the next was heard: what waited is owed.
#[tokio::test]
async fn a_mark_is_void_once_the_organization_stands_otherwise() {
    for after in [Drain::None, Drain::Draining] {
        let (database, db) = database().await;
        let id = Ids::random().next();
        make_organization(&database, id).await;
        let draining = standing(id, 1, Drain::Draining);
        learn(&db, &draining).await;
        assert!(look(&db, now()).await.unwrap().unwrap().is_drained);
        let at = now() - TimeDelta::hours(1);
        assert_eq!(arrives(&db, &draining, at).await, DeliveryState::Waiting);
        learn(&db, &standing(id, 3, after)).await;
        assert_eq!(states(&db, id).await, [(at, DeliveryState::Queued)]);
        let next = look(&db, now() + A_MINUTE).await.unwrap();
        assert_eq!(
            next.map(|drain| drain.is_drained),
            (after == Drain::Draining).then_some(false)
        );
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_spooled_report_is_delivered_before_the_mark() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    learn(&db, &standing(id, 1, Drain::Draining)).await;
    let spooled = spool::Spooled {
        id: Ids::random().next(),
        report: report(id, now()),
        received_at: now(),
    };
    spool::insert_new(&db, std::slice::from_ref(&spooled))
        .await
        .unwrap();
    assert!(!look(&db, now()).await.unwrap().unwrap().is_drained);
    spool::take(&db, vec![spooled.id]).await.unwrap();
    assert!(
        look(&db, now() + A_MINUTE)
            .await
            .unwrap()
            .unwrap()
            .is_drained
    );
    db.close().await.unwrap();
}

/// A person may release it, and then it is owed.
#[tokio::test]
async fn a_held_report_is_decided_before_the_mark() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    learn(&db, &standing(id, 1, Drain::Draining)).await;
    let held = new_report(
        Ids::random().next(),
        report(id, now()),
        DeliveryState::Waiting,
    );
    reports::insert_new(&db, &[held]).await.unwrap();
    let hold = "UPDATE usage_reports SET hold_reason = 'count_jump', error_code = 'count_jump', error_message = 'It jumps.'";
    sea_orm::ConnectionTrait::execute_unprepared(&db, hold)
        .await
        .unwrap();
    assert!(!look(&db, now()).await.unwrap().unwrap().is_drained);
    assert_eq!(states(&db, id).await, [(now(), DeliveryState::Held)]);
    let again = look(&db, now() + A_MINUTE).await.unwrap();
    assert!(!again.unwrap().is_drained);
    db.close().await.unwrap();
}

/// What waits because it could not be billed may be billed by now, though the feed did not say so yet:
/// the standing came with a report.
#[tokio::test]
async fn what_waits_is_looked_at_again_before_the_mark() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let incomplete = Standing {
        status: SubscriptionStatus::Incomplete,
        billable: false,
        ..standing(id, 1, Drain::None)
    };
    learn(&db, &incomplete).await;
    let first = now() - TimeDelta::hours(30);
    assert_eq!(
        arrives(&db, &incomplete, first).await,
        DeliveryState::Waiting
    );
    let draining = standing(id, 2, Drain::Draining);
    arrives(&db, &draining, now()).await;
    assert!(!look(&db, now()).await.unwrap().unwrap().is_drained);
    assert_eq!(states(&db, id).await[0], (first, DeliveryState::Queued));
    db.close().await.unwrap();
}

/// Its queue stands still, so it is not waited for.
#[tokio::test]
async fn who_cannot_be_billed_is_drained_once_nothing_is_on_its_way() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    learn(&db, &standing(id, 1, Drain::None)).await;
    arrives(&db, &standing(id, 1, Drain::None), now()).await;
    reporting::schedule(&db, &[(id, now())]).await.unwrap();
    let token = Ids::random().next();
    let leased = delivery::lease(&db, token, now(), now() + A_MINUTE, 10).await;
    assert_eq!(leased.unwrap(), [id]);
    let paused = Standing {
        status: SubscriptionStatus::Paused,
        billable: false,
        ..standing(id, 2, Drain::Draining)
    };
    learn(&db, &paused).await;
    assert!(!look(&db, now()).await.unwrap().unwrap().is_drained);
    delivery::release(&db, vec![id]).await.unwrap();
    let next = look(&db, now() + A_MINUTE).await.unwrap();
    assert!(next.unwrap().is_drained);
    db.close().await.unwrap();
}
