//! Goal: what SQL decides is what the domain decides, and the entities are the tables.
//! Method: a freshly migrated database; the same cases through both.

use billing_harness::TestDatabase;
use billing_kit::Ids;
use billing_kit_db::DatabaseConfig;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use uuid::Uuid;

use super::{delivery, reporting, reports, reports::NewReport, spool};
use crate::{
    config::DB_ROLE,
    domain::{
        delivery::{AGE_MAX, DeliveryState, first_attempt_at, state_at_recording},
        report::{Content, Report},
        standing::{Drain, Standing, SubscriptionStatus},
    },
};

pub(super) async fn database() -> (TestDatabase, DatabaseConnection) {
    let database = TestDatabase::migrated().await;
    let config = DatabaseConfig::new(database.url(), 4);
    let db = billing_kit_db::connect(&config, DB_ROLE).await.unwrap();
    (database, db)
}

pub(super) fn now() -> DateTime<Utc> {
    "2026-03-31T12:00:00Z".parse().unwrap()
}

/// The organization must exist for the foreign key; org-svc would have made it.
pub(super) async fn make_organization(database: &TestDatabase, id: Uuid) {
    let owner = database.connect().await;
    let insert = format!("INSERT INTO organizations (id, name) VALUES ('{id}', 'Acme')");
    owner.execute_unprepared(&insert).await.unwrap();
    owner.close().await.unwrap();
}

pub(super) fn report(organization_id: Uuid, reported_at: DateTime<Utc>) -> Report {
    let content = Content {
        organization_name: "Acme".to_owned(),
        instance_url: "acme.example".to_owned(),
        user_count: 5,
    };
    Report {
        organization_id,
        content,
        reported_at,
    }
}

pub(super) fn new_report(id: Uuid, report: Report, state: DeliveryState) -> NewReport {
    NewReport {
        id,
        received_at: now(),
        deployment_type: None,
        state,
        first_attempt_at: first_attempt_at(report.reported_at, now()),
        hold: None,
        report,
    }
}

pub(super) async fn states(
    db: &DatabaseConnection,
    id: Uuid,
) -> Vec<(DateTime<Utc>, DeliveryState)> {
    let mut rows = reports::list(db, id, None, 100).await.unwrap();
    rows.reverse();
    rows.into_iter()
        .map(|row| (row.reported_at.unwrap(), row.state))
        .collect()
}

#[tokio::test]
async fn a_waiting_report_is_reconsidered_as_the_domain_would_have_it() {
    use SubscriptionStatus::{
        Active, Canceled, Incomplete, IncompleteExpired, PastDue, Paused, Pending, Trial, Unpaid,
    };
    let (database, db) = database().await;
    let start = now() - TimeDelta::days(40);
    let times = [
        start - TimeDelta::microseconds(1),
        start,
        now() - AGE_MAX - TimeDelta::seconds(1),
        now() - AGE_MAX,
        now(),
        now() + TimeDelta::minutes(4),
    ];
    let statuses = [
        Pending,
        Trial,
        Active,
        PastDue,
        Unpaid,
        Incomplete,
        IncompleteExpired,
        Paused,
        Canceled,
    ];
    let mut version = 0;
    for status in statuses {
        for (billable, start) in [(true, Some(start)), (false, Some(start)), (false, None)] {
            let id = Ids::random().next();
            make_organization(&database, id).await;
            let waiting: Vec<_> = times
                .iter()
                .map(|time| {
                    new_report(
                        Ids::random().next(),
                        report(id, *time),
                        DeliveryState::Waiting,
                    )
                })
                .collect();
            assert_eq!(
                reports::insert_new(&db, &waiting).await.unwrap().len(),
                times.len()
            );
            version += 1;
            let standing = Standing {
                organization_id: id,
                status,
                deployment_type: None,
                stripe_customer_id: Some(format!("cus_{version}")),
                billing_start_at: start,
                billable,
                version,
                drain: Drain::None,
            };
            reporting::lock_with_standings(&db, std::slice::from_ref(&standing))
                .await
                .unwrap();
            delivery::reconsider(&db, vec![id], now()).await.unwrap();
            let expected: Vec<_> = times
                .iter()
                .map(|time| (*time, state_at_recording(&standing, *time, now())))
                .collect();
            assert_eq!(
                states(&db, id).await,
                expected,
                "{status:?} {billable} {start:?}"
            );
        }
    }
    db.close().await.unwrap();
}

#[tokio::test]
async fn an_older_standing_never_replaces_a_newer_one() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let standing = |status, version| Standing {
        status,
        version,
        ..Standing::unknown(id)
    };
    for (status, version) in [
        (SubscriptionStatus::Active, 7),
        (SubscriptionStatus::Pending, 6),
        (SubscriptionStatus::Pending, 0),
        (SubscriptionStatus::Pending, Standing::unknown(id).version),
    ] {
        reporting::lock_with_standings(&db, &[standing(status, version)])
            .await
            .unwrap();
        let latest = reporting::Latest {
            standing: standing(status, version),
            user_count: 1,
            reported_at: now(),
            instance_url: "acme.example".to_owned(),
        };
        let known = reporting::lock_with_reports(&db, &[latest]).await.unwrap();
        assert_eq!(known[0].status, SubscriptionStatus::Active);
        assert_eq!(known[0].version, 7);
    }
    db.close().await.unwrap();
}

/// An adopted organization stands at version 0; while org-svc is away that must not be forgotten.
#[tokio::test]
async fn the_first_standing_of_all_is_not_replaced_by_not_knowing() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let adopted = Standing {
        status: SubscriptionStatus::Active,
        version: 0,
        ..Standing::unknown(id)
    };
    for standing in [Standing::unknown(id), adopted, Standing::unknown(id)] {
        let latest = reporting::Latest {
            standing,
            user_count: 1,
            reported_at: now(),
            instance_url: "acme.example".to_owned(),
        };
        reporting::lock_with_reports(&db, &[latest]).await.unwrap();
    }
    let latest = reporting::Latest {
        standing: Standing::unknown(id),
        user_count: 1,
        reported_at: now(),
        instance_url: "acme.example".to_owned(),
    };
    let known = reporting::lock_with_reports(&db, &[latest]).await.unwrap();
    assert_eq!(known[0].status, SubscriptionStatus::Active);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_late_report_does_not_change_the_latest_count() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let note = async |user_count, reported_at| {
        let standing = Standing::unknown(id);
        let latest = reporting::Latest {
            standing,
            user_count,
            reported_at,
            instance_url: "acme.example".to_owned(),
        };
        reporting::lock_with_reports(&db, &[latest]).await.unwrap();
        let known = reporting::get_many(&db, vec![id]).await.unwrap();
        known[0].user_count.unwrap()
    };
    assert_eq!(note(10, now()).await, 10);
    assert_eq!(
        note(99, now() - TimeDelta::hours(1)).await,
        10,
        "an older one"
    );
    assert_eq!(
        note(99, now()).await,
        10,
        "the same moment with another count is a conflict"
    );
    assert_eq!(note(11, now() + TimeDelta::hours(1)).await, 11);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_key_is_in_one_of_the_two_tables_only() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let spooled = |report| spool::Spooled {
        id: Ids::random().next(),
        report,
        received_at: now(),
    };
    let first = report(id, now());
    let second = report(id, now() + TimeDelta::seconds(1));

    let waiting = new_report(Ids::random().next(), first.clone(), DeliveryState::Waiting);
    assert_eq!(reports::insert_new(&db, &[waiting]).await.unwrap().len(), 1);
    assert!(
        spool::insert_new(&db, &[spooled(first)])
            .await
            .unwrap()
            .is_empty()
    );

    assert_eq!(
        spool::insert_new(&db, &[spooled(second.clone())])
            .await
            .unwrap()
            .len(),
        1
    );
    let waiting = new_report(Ids::random().next(), second.clone(), DeliveryState::Waiting);
    assert!(
        reports::insert_new(&db, &[waiting])
            .await
            .unwrap()
            .is_empty()
    );
    let keys = vec![(id, second.reported_at)];
    assert_eq!(reports::find_known(&db, keys).await.unwrap().len(), 1);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_leased_organization_is_leased_once_until_the_lease_ends() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let standing = Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some("cus_1".to_owned()),
        billing_start_at: Some(now() - TimeDelta::days(1)),
        billable: true,
        version: 1,
        ..Standing::unknown(id)
    };
    reporting::lock_with_standings(&db, &[standing])
        .await
        .unwrap();
    let queued = new_report(
        Ids::random().next(),
        report(id, now()),
        DeliveryState::Queued,
    );
    reports::insert_new(&db, &[queued]).await.unwrap();
    reporting::schedule(&db, &[(id, now())]).await.unwrap();

    let (one, two) = (Ids::random().next(), Ids::random().next());
    let until = now() + TimeDelta::seconds(60);
    assert_eq!(
        delivery::lease(&db, one, now(), until, 10).await.unwrap(),
        [id]
    );
    assert!(
        delivery::lease(&db, two, now(), until, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let later = until + TimeDelta::seconds(1);
    assert_eq!(
        delivery::lease(&db, two, later, later, 10).await.unwrap(),
        [id]
    );
    assert!(
        delivery::lock_leased(&db, vec![id], one)
            .await
            .unwrap()
            .is_empty(),
        "it was lost"
    );
    assert_eq!(
        delivery::first_queued(&db, vec![id], now())
            .await
            .unwrap()
            .len(),
        1
    );
    db.close().await.unwrap();
}

/// Queued under a subscription that ended, and found again when the organization was linked anew: the
/// new subscription owes nothing for it.
#[tokio::test]
async fn what_was_queued_before_the_present_subscription_is_not_billed() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let start = now() - TimeDelta::days(1);
    let linked_anew = Standing {
        organization_id: id,
        status: SubscriptionStatus::Trial,
        deployment_type: None,
        stripe_customer_id: Some("cus_1".to_owned()),
        billing_start_at: Some(start),
        billable: true,
        version: 2,
        drain: Drain::None,
    };
    reporting::lock_with_standings(&db, &[linked_anew])
        .await
        .unwrap();
    let (before, since) = (start - TimeDelta::days(2), start + TimeDelta::hours(1));
    let queued = [before, since].map(|time| {
        new_report(
            Ids::random().next(),
            report(id, time),
            DeliveryState::Queued,
        )
    });
    reports::insert_new(&db, &queued).await.unwrap();
    delivery::drop_outdated(&db, vec![id], now()).await.unwrap();
    assert_eq!(
        states(&db, id).await,
        [
            (before, DeliveryState::NotBilled),
            (since, DeliveryState::Queued)
        ]
    );
}

/// The chaos run found events in Stripe whose reports were `superseded`: their answer was lost, and a
/// later report of the day replaced them in the queue. Had such an event been held up on its way, it
/// would have arrived after the later one and counted in its place.
#[tokio::test]
async fn a_report_that_was_on_its_way_is_not_replaced_by_a_later_one() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let standing = Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some("cus_1".to_owned()),
        billing_start_at: Some(now() - TimeDelta::days(1)),
        billable: true,
        version: 1,
        ..Standing::unknown(id)
    };
    reporting::lock_with_standings(&db, &[standing])
        .await
        .unwrap();
    let times = [3, 2, 1].map(|hours| now() - TimeDelta::hours(hours));
    let queue = async |at| {
        let queued = new_report(Ids::random().next(), report(id, at), DeliveryState::Queued);
        reports::insert_new(&db, &[queued]).await.unwrap();
        delivery::drop_outdated(&db, vec![id], now()).await.unwrap();
        delivery::first_queued(&db, vec![id], now()).await.unwrap()
    };

    let in_flight = queue(times[0]).await;
    delivery::mark_sent(&db, &in_flight, now()).await.unwrap();
    queue(times[1]).await;
    let next = queue(times[2]).await;
    assert_eq!(next[0].reported_at, times[0], "its outcome comes first");
    assert_eq!(
        states(&db, id).await,
        [
            (times[0], DeliveryState::Queued),
            (times[1], DeliveryState::Superseded),
            (times[2], DeliveryState::Queued),
        ]
    );
    db.close().await.unwrap();
}
