//! Goal: what SQL decides is what the domain decides, and the entities are the tables.
//! Method: a freshly migrated database; the same cases through both.

use billing_harness::TestDatabase;
use billing_kit::Ids;
use billing_kit_db::DatabaseConfig;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use uuid::Uuid;

use super::{delivery, findings, reporting, reports, reports::NewReport, spool};
use crate::{
    config::DB_ROLE,
    domain::{
        delivery::{AGE_MAX, DeliveryState, first_attempt_at, state_at_recording},
        finding::FindingKind,
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
        source: None,
        signature: None,
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
        makes_network_known: true,
        low: None,
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

/// Every way to stand that matters to a report, and more.
fn standings() -> Vec<Standing> {
    use SubscriptionStatus::{
        Active, Canceled, Incomplete, IncompleteExpired, PastDue, Paused, Pending, Trial, Unpaid,
    };
    let days_ago = |days| Some(now() - TimeDelta::days(days));
    let mut standings = Vec::new();
    for status in [
        Pending,
        Trial,
        Active,
        PastDue,
        Unpaid,
        Incomplete,
        IncompleteExpired,
        Paused,
        Canceled,
    ] {
        for (billable, start, end, trial_end, invoiced) in [
            (true, days_ago(40), None, None, None),
            (false, days_ago(40), None, None, None),
            (false, None, None, None, None),
            (true, days_ago(40), days_ago(0), None, None),
            (false, days_ago(40), days_ago(0), None, None),
            (true, days_ago(40), None, None, days_ago(0)),
            (true, days_ago(40), None, days_ago(36), days_ago(0)),
            (false, days_ago(40), None, days_ago(36), days_ago(0)),
            (true, days_ago(40), days_ago(0), days_ago(36), days_ago(0)),
            (false, None, days_ago(0), None, days_ago(0)),
        ] {
            let version = i64::try_from(standings.len()).unwrap() + 1;
            standings.push(Standing {
                organization_id: Ids::random().next(),
                status,
                deployment_type: None,
                stripe_customer_id: Some(format!("cus_{version}")),
                billing_start_at: start,
                billable,
                billing_end_at: end,
                trial_end_at: trial_end,
                invoiced_until: invoiced,
                version,
                drain: Drain::None,
            });
        }
    }
    standings
}

#[tokio::test]
async fn an_open_report_is_judged_again_as_the_domain_would_have_it() {
    let (database, db) = database().await;
    let start = now() - TimeDelta::days(40);
    let times = [
        start - TimeDelta::microseconds(1),
        start,
        now() - AGE_MAX - TimeDelta::seconds(1),
        now() - AGE_MAX,
        now() - TimeDelta::days(1),
        now(),
        now() + TimeDelta::minutes(4),
    ];
    // What waits, and what is queued and was not on its way.
    for open in [DeliveryState::Waiting, DeliveryState::Queued] {
        for standing in standings() {
            let id = standing.organization_id;
            make_organization(&database, id).await;
            let reports = times.map(|at| new_report(Ids::random().next(), report(id, at), open));
            let inserted = reports::insert_new(&db, &reports).await.unwrap();
            assert_eq!(inserted.len(), times.len());
            reporting::lock_with_standings(&db, std::slice::from_ref(&standing))
                .await
                .unwrap();
            delivery::reconsider(&db, vec![id], now()).await.unwrap();
            let mut expected = times.map(|at| (at, state_at_recording(&standing, at, now())));
            // Of a day the last missed one stands for the others.
            let missed = DeliveryState::MissedInvoice;
            if (expected[2].1, expected[3].1) == (missed, missed) {
                expected[2].1 = DeliveryState::Superseded;
            }
            assert_eq!(states(&db, id).await, expected, "{standing:?}");
        }
    }
    db.close().await.unwrap();
}

/// An organization whose subscription began 30 days ago.
async fn linked(database: &TestDatabase, db: &DatabaseConnection) -> Standing {
    let id = Ids::random().next();
    make_organization(database, id).await;
    let standing = Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some(format!("cus_{id}")),
        billing_start_at: Some(now() - TimeDelta::days(30)),
        billable: true,
        version: 1,
        ..Standing::unknown(id)
    };
    learn(db, &standing).await;
    standing
}

/// What the feed does with a standing.
async fn learn(db: &DatabaseConnection, standing: &Standing) {
    reporting::lock_with_standings(db, std::slice::from_ref(standing))
        .await
        .unwrap();
    delivery::reconsider(db, vec![standing.organization_id], now())
        .await
        .unwrap();
}

async fn queue(db: &DatabaseConnection, id: Uuid, at: DateTime<Utc>) -> Uuid {
    let report_id = Ids::random().next();
    let queued = new_report(report_id, report(id, at), DeliveryState::Queued);
    reports::insert_new(db, &[queued]).await.unwrap();
    reporting::schedule(db, &[(id, now())]).await.unwrap();
    report_id
}

/// What became of a report that Stripe took.
fn sent(report_id: Uuid) -> delivery::Settlement {
    delivery::Settlement {
        report_id,
        state: DeliveryState::Sent,
        is_attempt: true,
        stripe_meter_event_id: Some(format!("ur_{report_id}")),
        error: None,
        next_attempt_at: None,
    }
}

/// The chaos run found a day of which nothing was billed: a late report had replaced the earlier ones
/// in the queue, and then it was heard that the subscription had ended before it, so that it was not
/// billed itself.
#[tokio::test]
async fn what_a_report_replaced_that_is_not_billed_is_judged_again() {
    use DeliveryState::{MissedInvoice, NotBilled, Queued, Sent, Superseded};
    let hours_ago = |hours| now() - TimeDelta::hours(hours);
    let times = [5, 4, 2].map(hours_ago);
    let end = hours_ago(3);
    for (is_sent, invoiced_until, expected) in [
        (false, None, [Superseded, Queued, NotBilled]),
        (false, Some(end), [Superseded, MissedInvoice, NotBilled]),
        // It was sent before that was heard: it is what Stripe counts for the day.
        (true, None, [Superseded, Superseded, Sent]),
        (true, Some(end), [Superseded, Superseded, Sent]),
    ] {
        let (database, db) = database().await;
        let standing = linked(&database, &db).await;
        let id = standing.organization_id;
        for at in times {
            queue(&db, id, at).await;
        }
        delivery::drop_outdated(&db, vec![id], now()).await.unwrap();
        let told = states(&db, id).await.into_iter().map(|(_, it)| it);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [Superseded, Superseded, Queued],
            "the last of the day replaces the others while it is to be billed"
        );
        if is_sent {
            let last = delivery::first_queued(&db, vec![id], now()).await.unwrap();
            let settlement = sent(last[0].id);
            delivery::settle(&db, &[settlement], now()).await.unwrap();
        }
        let ended = Standing {
            status: SubscriptionStatus::Canceled,
            billing_end_at: Some(end),
            invoiced_until,
            version: 2,
            ..standing
        };
        learn(&db, &ended).await;
        // Again and again, as the feed and the relay would: it stays as it is.
        for _ in 0..2 {
            delivery::drop_outdated(&db, vec![id], now()).await.unwrap();
            let told = states(&db, id).await.into_iter().map(|(_, it)| it);
            assert_eq!(
                told.collect::<Vec<_>>(),
                expected,
                "{is_sent} {invoiced_until:?}"
            );
        }
        let findings = findings::list(&db, None, false, 10).await.unwrap();
        let is_missed = expected.contains(&MissedInvoice);
        assert_eq!(findings.len(), usize::from(is_missed));
        db.close().await.unwrap();
    }
}

/// What is queued when a subscription ends is settled at once: sent where it was used before, else not
/// billed; and what may be with Stripe already is brought to its outcome.
#[tokio::test]
async fn what_is_queued_at_the_end_of_a_subscription_is_settled_at_once() {
    let (database, db) = database().await;
    let mut standing = linked(&database, &db).await;
    let id = standing.organization_id;
    let hours_ago = |hours| now() - TimeDelta::hours(hours);
    let times = [50, 26, 4, 2].map(hours_ago);
    for at in times {
        queue(&db, id, at).await;
    }
    standing = Standing {
        status: SubscriptionStatus::Canceled,
        billing_end_at: Some(hours_ago(25)),
        version: 2,
        ..standing
    };
    learn(&db, &standing).await;
    let (queued, free) = (DeliveryState::Queued, DeliveryState::NotBilled);
    let told: Vec<_> = states(&db, id)
        .await
        .into_iter()
        .map(|(_, it)| it)
        .collect();
    assert_eq!(told, [queued, queued, free, free]);

    // Its customer is deleted: nothing more is sent, but for what may have arrived.
    let in_flight = delivery::first_queued(&db, vec![id], now()).await.unwrap();
    assert_eq!(in_flight[0].reported_at, times[0]);
    delivery::mark_sent(&db, &in_flight, now()).await.unwrap();
    standing = Standing {
        billable: false,
        version: 3,
        ..standing
    };
    learn(&db, &standing).await;
    let told: Vec<_> = states(&db, id)
        .await
        .into_iter()
        .map(|(_, it)| it)
        .collect();
    assert_eq!(told, [queued, free, free, free]);
    let token = Ids::random().next();
    let leased = delivery::lease(&db, token, now(), now() + TimeDelta::seconds(9), 10).await;
    assert_eq!(leased.unwrap(), [id], "its outcome is still to be learned");
    delivery::drop_outdated(&db, vec![id], now()).await.unwrap();
    assert_eq!(
        delivery::first_queued(&db, vec![id], now())
            .await
            .unwrap()
            .len(),
        1
    );
    db.close().await.unwrap();
}

#[tokio::test]
async fn what_is_reported_in_a_pause_waits_for_its_end() {
    let (database, db) = database().await;
    let mut standing = linked(&database, &db).await;
    let id = standing.organization_id;
    let at = now() - TimeDelta::hours(1);
    queue(&db, id, at).await;
    for (status, billable, end, expected) in [
        (
            SubscriptionStatus::Paused,
            false,
            None,
            DeliveryState::Waiting,
        ),
        (
            SubscriptionStatus::Active,
            true,
            None,
            DeliveryState::Queued,
        ),
        (
            SubscriptionStatus::Paused,
            false,
            None,
            DeliveryState::Waiting,
        ),
        // It ends in the pause, which began before.
        (
            SubscriptionStatus::Canceled,
            true,
            Some(at),
            DeliveryState::NotBilled,
        ),
    ] {
        standing = Standing {
            status,
            billable,
            billing_end_at: end,
            version: standing.version + 1,
            ..standing
        };
        learn(&db, &standing).await;
        assert_eq!(states(&db, id).await, [(at, expected)], "{status:?}");
    }
    db.close().await.unwrap();
}

/// Two subscriptions' worth of days that were invoiced before we could send them.
#[tokio::test]
async fn what_missed_its_invoice_is_a_finding_where_something_was_lost() {
    let (database, db) = database().await;
    let standing = linked(&database, &db).await;
    let id = standing.organization_id;
    let days_ago = |days, hours| now() - TimeDelta::days(days) + TimeDelta::hours(hours);
    let send = async |at| {
        let report_id = queue(&db, id, at).await;
        let settlement = sent(report_id);
        delivery::settle(&db, &[settlement], now()).await.unwrap();
    };
    // Five seats were sent at noon, as each of these reports says.
    send(days_ago(3, 0)).await;
    send(days_ago(2, 0)).await;
    let times = [
        days_ago(4, 0),
        days_ago(3, 2),
        days_ago(2, -2),
        days_ago(1, 0),
        days_ago(1, 1),
    ];
    for at in times {
        queue(&db, id, at).await;
    }
    let invoiced = Standing {
        invoiced_until: Some(now()),
        version: 2,
        ..standing
    };
    learn(&db, &invoiced).await;
    let missed = DeliveryState::MissedInvoice;
    let expected = [
        missed,
        // It says what was sent before: nothing is lost, and nobody need look.
        missed,
        // A later one of its day was sent.
        DeliveryState::Superseded,
        DeliveryState::Superseded,
        missed,
    ];
    let told: std::collections::BTreeMap<_, _> = states(&db, id).await.into_iter().collect();
    assert_eq!(times.map(|at| told[&at]), expected);
    let findings = findings::list(&db, None, false, 10).await.unwrap();
    let findings: Vec<_> = findings
        .iter()
        .map(|it| (it.kind, it.day, it.expected, it.found.as_str()))
        .collect();
    let kind = FindingKind::MissedInvoice;
    let day = |days| days_ago(days, 0).date_naive();
    assert_eq!(findings, [(kind, day(1), 5, "0"), (kind, day(4), 5, "0")]);
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
            signing_key: None,
            has_several: false,
        };
        let known = reporting::lock_with_reports(&db, &[latest]).await.unwrap();
        assert_eq!(known[0].standing.status, SubscriptionStatus::Active);
        assert_eq!(known[0].standing.version, 7);
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
            signing_key: None,
            has_several: false,
        };
        reporting::lock_with_reports(&db, &[latest]).await.unwrap();
    }
    let latest = reporting::Latest {
        standing: Standing::unknown(id),
        user_count: 1,
        reported_at: now(),
        instance_url: "acme.example".to_owned(),
        signing_key: None,
        has_several: false,
    };
    let known = reporting::lock_with_reports(&db, &[latest]).await.unwrap();
    assert_eq!(known[0].standing.status, SubscriptionStatus::Active);
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
            signing_key: None,
            has_several: false,
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
        ..Standing::unknown(id)
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

/// The chaos run found reports that were `not_billed`, with a meter event whose outcome nobody asked
/// for any more: their subscription ended and the next began while Stripe's answer was on its way. For
/// all that anyone knew, they were billed.
#[tokio::test]
async fn what_was_on_its_way_is_asked_for_whatever_becomes_of_the_link() {
    let (database, db) = database().await;
    let standing = linked(&database, &db).await;
    let id = standing.organization_id;
    let at = now() - TimeDelta::hours(2);
    let report_id = queue(&db, id, at).await;
    let due = async || {
        let token = Ids::random().next();
        let until = now() + TimeDelta::seconds(40);
        let leased = delivery::lease(&db, token, now(), until, 10).await.unwrap();
        delivery::drop_outdated(&db, leased.clone(), now())
            .await
            .unwrap();
        let due = delivery::first_queued(&db, leased.clone(), now()).await;
        delivery::release(&db, leased).await.unwrap();
        let due = due.unwrap().into_iter();
        due.map(|it| (it.id, it.stripe_customer_id))
            .collect::<Vec<_>>()
    };
    let first = delivery::first_queued(&db, vec![id], now()).await.unwrap();
    delivery::mark_sent(&db, &first, now()).await.unwrap();
    let customer = standing.stripe_customer_id.clone().unwrap();
    let unlinked = Standing {
        version: 2,
        ..Standing::unknown(id)
    };
    let linked_again = Standing {
        stripe_customer_id: Some("cus_other".to_owned()),
        billing_start_at: Some(now()),
        version: 3,
        ..standing
    };
    for standing in [unlinked, linked_again] {
        learn(&db, &standing).await;
        assert_eq!(due().await, [(report_id, customer.clone())], "{standing:?}");
    }
    assert_eq!(states(&db, id).await, [(at, DeliveryState::Queued)]);
    // What was never on its way is nobody's any more.
    let never_sent = now() - TimeDelta::hours(1);
    queue(&db, id, never_sent).await;
    due().await;
    let expected = [
        (at, DeliveryState::Queued),
        (never_sent, DeliveryState::NotBilled),
    ];
    assert_eq!(states(&db, id).await, expected);
    db.close().await.unwrap();
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
