//! Goal: who is late and who is silent is what the domain says, held reports count for nothing, and
//! what a report is compared with moves as it should.
//! Method: a freshly migrated database, and the statements that the use cases run.

use billing_harness::TestDatabase;
use billing_kit::Ids;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use serde_json::json;
use uuid::Uuid;

use super::{
    audit_events::Author,
    baselines, delivery,
    holds::{self, HeldFilter},
    notices, reporting, reports,
    summary::{self, Counts, Total, UsageDay},
    tests::{database, new_report, now, report, states},
};
use crate::domain::{
    delivery::DeliveryState,
    expectation::{Patience, ReportingState},
    hold::{Decision, Hold, HoldReason},
    notice::Period,
    standing::{Standing, SubscriptionStatus},
};

const ALL: HeldFilter = HeldFilter {
    organization_id: None,
    period_ends_before: None,
};

const PATIENCE: Patience = Patience {
    late_after: TimeDelta::hours(27),
    silent_after: TimeDelta::hours(51),
};

fn linked(id: Uuid, hours_ago: i64) -> Standing {
    Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some(format!("cus_{id}")),
        billing_start_at: Some(now() - TimeDelta::hours(hours_ago)),
        billable: true,
        version: 1,
        ..Standing::unknown(id)
    }
}

async fn reported(
    db: &DatabaseConnection,
    standing: Standing,
    user_count: i32,
    at: DateTime<Utc>,
    url: &str,
) {
    let latest = reporting::Latest {
        standing,
        user_count,
        reported_at: at,
        instance_url: url.to_owned(),
        signing_key: None,
        has_several: false,
    };
    reporting::lock_with_reports(db, &[latest]).await.unwrap();
}

async fn in_state(db: &DatabaseConnection, state: ReportingState, size: i64) -> Vec<Uuid> {
    let span = PATIENCE.span(state, now());
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = reporting::list_expected(db, span, after, size)
            .await
            .unwrap();
        let Some(last) = page.last() else {
            return found;
        };
        after = Some((last.expected_since.unwrap(), last.organization_id));
        found.extend(page.iter().map(|it| it.organization_id));
    }
}

#[tokio::test]
async fn silence_counts_from_the_last_report_or_the_link_and_only_for_those_who_are_billed() {
    let (_database, db) = database().await;
    let hours_ago = |hours| now() - TimeDelta::hours(hours);
    let id = Uuid::from_u128;
    // Linked long ago, and their last reports.
    for (n, hours) in [
        (1, 1),
        (2, 27),
        (3, 28),
        (4, 51),
        (5, 52),
        (6, 300),
        (7, 300),
    ] {
        reported(&db, linked(id(n), 1_000), 5, hours_ago(hours), "a.example").await;
    }
    // Linked just now, or three days ago, and not heard of since.
    reported(&db, linked(id(8), 2), 5, hours_ago(300), "a.example").await;
    reported(&db, linked(id(9), 72), 5, hours_ago(300), "a.example").await;
    reporting::lock_with_standings(&db, &[linked(id(10), 60)])
        .await
        .unwrap();
    // Nobody waits for these.
    reported(
        &db,
        Standing::unknown(id(11)),
        5,
        hours_ago(300),
        "a.example",
    )
    .await;
    let paused = Standing {
        status: SubscriptionStatus::Paused,
        billable: false,
        ..linked(id(12), 1_000)
    };
    reported(&db, paused, 5, hours_ago(300), "a.example").await;
    // What it used before its end may still be sent.
    let ended = Standing {
        status: SubscriptionStatus::Canceled,
        billing_end_at: Some(hours_ago(200)),
        ..linked(id(14), 1_000)
    };
    reported(&db, ended, 5, hours_ago(300), "a.example").await;

    for size in [1, 2, 100] {
        let ids = |numbers: &[u128]| numbers.iter().copied().map(id).collect::<Vec<_>>();
        use ReportingState::{Late, OnTime, Silent};
        assert_eq!(in_state(&db, Silent, size).await, ids(&[6, 7, 9, 10, 5]));
        assert_eq!(in_state(&db, Late, size).await, ids(&[4, 3]));
        assert_eq!(in_state(&db, OnTime, size).await, ids(&[2, 8, 1]));
    }
    let counts = summary::counts(&db, hours_ago(27), hours_ago(51), now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((counts.late, counts.silent), (2, 5));

    let mut known = reporting::get_many(&db, [10, 11, 13].map(id).to_vec())
        .await
        .unwrap();
    known.sort_by_key(|it| it.organization_id);
    let known: Vec<_> = known
        .iter()
        .map(|it| (it.organization_id, it.user_count, it.expected_since))
        .collect();
    assert_eq!(
        known,
        [(id(10), None, Some(hours_ago(60))), (id(11), Some(5), None)]
    );
    db.close().await.unwrap();
}

#[tokio::test]
async fn without_a_link_every_report_is_what_the_next_is_compared_with_and_with_one_none_is() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let baseline = async || {
        let known = "SELECT baseline_user_count AS count, baseline_reported_at AS at,
            baseline_instance_url AS url FROM organization_reporting WHERE baseline_reported_at IS NOT NULL";
        let row = db.query_one_raw(super::sql(known, [])).await.unwrap()?;
        let at: DateTime<Utc> = row.try_get("", "at").unwrap();
        let (count, url) = (row.try_get("", "count"), row.try_get("", "url"));
        let url: Option<String> = url.unwrap();
        Some((
            count.unwrap(),
            (now() - at).num_hours(),
            url.unwrap_or_default(),
        ))
    };
    let hours_ago = |hours| now() - TimeDelta::hours(hours);
    let pending = || Standing::unknown(id);
    reported(&db, pending(), 45, hours_ago(9), "a.example").await;
    assert_eq!(baseline().await, Some((45, 9, "a.example".to_owned())));
    reported(&db, pending(), 7, hours_ago(10), "late.example").await;
    assert_eq!(baseline().await, Some((45, 9, "a.example".to_owned())));
    reported(&db, pending(), 4_500, hours_ago(8), "b.example").await;
    assert_eq!(baseline().await, Some((4_500, 8, "b.example".to_owned())));
    // The report that finds it linked is compared with that, and so are all after it.
    for hours in [7, 6] {
        reported(&db, linked(id, 8), 1, hours_ago(hours), "c.example").await;
        assert_eq!(baseline().await, Some((4_500, 8, "b.example".to_owned())));
    }
    // org-svc away: that nothing is known of it does not unlink it.
    reported(&db, pending(), 1, hours_ago(5), "c.example").await;
    assert_eq!(baseline().await, Some((4_500, 8, "b.example".to_owned())));

    let stranger = Ids::random().next();
    reported(&db, linked(stranger, 8), 1, hours_ago(7), "c.example").await;
    baselines::compute(&db, vec![stranger]).await.unwrap();
    let none = baselines::get_many(&db, vec![stranger]).await.unwrap();
    assert!(none.is_empty(), "its first report will be one");
    db.close().await.unwrap();
}

async fn insert(
    database: &TestDatabase,
    db: &DatabaseConnection,
    id: Uuid,
    user_count: i32,
    at: DateTime<Utc>,
    state: DeliveryState,
) -> Uuid {
    let owner = database.connect().await;
    let exists =
        format!("INSERT INTO organizations (id, name) VALUES ('{id}', 'A') ON CONFLICT DO NOTHING");
    owner.execute_unprepared(&exists).await.unwrap();
    owner.close().await.unwrap();
    let mut report = report(id, at);
    report.content.user_count = user_count;
    let mut new = new_report(Ids::random().next(), report, state);
    if state == DeliveryState::Held {
        new.hold = Some(Hold {
            reason: HoldReason::CountJump,
            message: "It jumps.".to_owned(),
            compared_with: json!({"baseline_user_count": 45, "limit_user_count": 90}),
            cause: "64 to 128".to_owned(),
        });
    }
    reports::insert_new(db, std::slice::from_ref(&new))
        .await
        .unwrap();
    new.id
}

#[tokio::test]
async fn a_day_counts_the_latest_report_of_each_that_is_neither_held_nor_discarded() {
    let (database, db) = database().await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let midnight = now() - TimeDelta::hours(12);
    let at = |hours| midnight + TimeDelta::hours(hours);
    use DeliveryState::{Held, Queued, Waiting};
    for (id, users, hours, state) in [
        (one, 40, 1, Waiting),
        (one, 45, 3, Queued),
        (one, 4_500, 5, Held),
        (two, 7, 0, Waiting),
        (two, 99, -1, Waiting),
        (two, 98, 24, Waiting),
    ] {
        insert(&database, &db, id, users, at(hours), state).await;
        if state != Held {
            reported(&db, Standing::unknown(id), users, at(hours), "a.example").await;
        }
    }
    let count = async || {
        let txn = db.begin().await.unwrap();
        summary::count_day(&txn, midnight.date_naive(), at(-48), now())
            .await
            .unwrap();
        txn.commit().await.unwrap();
        let days = summary::days(&db, midnight.date_naive()).await.unwrap();
        (days, summary::total(&db).await.unwrap())
    };
    let day = UsageDay {
        day: midnight.date_naive(),
        user_count: 52,
        organization_count: 2,
    };
    let total = Total {
        unsigned_organization_count: 2,
        user_count: 45 + 98,
        counted_at: now(),
    };
    assert_eq!(count().await, (vec![day], Some(total)));

    let refused = insert(&database, &db, one, 45, at(4), Waiting).await;
    let refuse = format!(
        "UPDATE usage_reports SET delivery_state = 'refused', error_code = 'x' WHERE id = '{refused}'"
    );
    db.execute_unprepared(&refuse).await.unwrap();
    let counts = summary::counts(&db, now(), now(), now())
        .await
        .unwrap()
        .unwrap();
    let expected = Counts {
        late: 0,
        silent: 0,
        held: 1,
        held_organizations: 1,
        held_urgent: 0,
        refused: 1,
        queued: 1,
        oldest_queued_at: Some(now()),
    };
    assert_eq!(counts, expected);
    db.close().await.unwrap();
}

#[tokio::test]
async fn held_reports_are_listed_by_organization_and_time() {
    let (database, db) = database().await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let at = |hours| now() - TimeDelta::hours(hours);
    let mut expected = Vec::new();
    for (id, hours) in [(one, 9), (one, 3), (two, 20), (two, 1)] {
        reported(&db, linked(id, 100), 45, at(90), "a.example").await;
        let held = insert(&database, &db, id, 4_500, at(hours), DeliveryState::Held).await;
        insert(
            &database,
            &db,
            id,
            45,
            at(hours) + TimeDelta::minutes(1),
            DeliveryState::Queued,
        )
        .await;
        expected.push(held);
    }
    for size in [1, 3, 10] {
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let page = holds::list(&db, ALL, after, size).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.organization_id, last.reported_at, last.id));
            found.extend(page.iter().map(|it| it.id));
        }
        assert_eq!(found, expected);
    }
    let filter = HeldFilter {
        organization_id: Some(two),
        ..ALL
    };
    let of_two = holds::list(&db, filter, None, 10).await.unwrap();
    assert_eq!(of_two.len(), 2);
    assert_eq!(of_two[0].reason, HoldReason::CountJump);
    assert_eq!(holds::count(&db, one).await.unwrap(), 2);
    db.close().await.unwrap();
}

/// Reported in a pause, which ends: it is then what it would have been without it.
#[tokio::test]
async fn what_waited_and_was_unexpected_is_held_when_it_could_be_sent() {
    let (database, db) = database().await;
    let id = Uuid::from_u128(1);
    let at = |hours| now() - TimeDelta::hours(hours);
    reported(&db, linked(id, 100), 45, at(90), "a.example").await;
    insert(&database, &db, id, 45, at(2), DeliveryState::Waiting).await;
    let mut jump = report(id, at(1));
    jump.content.user_count = 4_500;
    let mut jump = new_report(Ids::random().next(), jump, DeliveryState::Waiting);
    jump.hold = Some(Hold {
        reason: HoldReason::CountJump,
        message: "It jumps.".to_owned(),
        compared_with: json!({"baseline_user_count": 45, "limit_user_count": 90}),
        cause: "64 to 128".to_owned(),
    });
    reports::insert_new(&db, &[jump]).await.unwrap();
    assert_eq!(holds::count(&db, id).await.unwrap(), 0);
    delivery::reconsider(&db, vec![id], now()).await.unwrap();
    let states = states(&db, id).await;
    assert_eq!(
        states,
        [(at(2), DeliveryState::Queued), (at(1), DeliveryState::Held)]
    );
    db.close().await.unwrap();
}

/// As an admin does it.
async fn release(db: &DatabaseConnection, id: Uuid, report_id: Uuid) {
    let released = holds::Decided {
        report_id,
        state: DeliveryState::Queued,
        first_attempt_at: now(),
        error: None,
    };
    holds::settle(db, &[released], now()).await.unwrap();
    let decider = holds::Decider {
        author: Author {
            admin_user_id: Some("admin".to_owned()),
            api_key_id: None,
            client_address: None,
            request_id: "request".to_owned(),
        },
        admin_email: Some("admin@vaultai.eu".to_owned()),
    };
    let row = [(Ids::random().next(), report_id)];
    holds::record(db, id, &row, Decision::Released, &decider, now())
        .await
        .unwrap();
}

/// The reason of a hold stays when an admin has released the report. Judged anew, which it is whenever
/// its organization stands otherwise, it would have been held once more.
#[tokio::test]
async fn what_was_released_is_held_no_more_and_may_have_missed_its_invoice() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    super::tests::make_organization(&database, id).await;
    let mut standing = linked(id, 100);
    let learn = async |standing: &Standing| {
        reporting::lock_with_standings(&db, std::slice::from_ref(standing))
            .await
            .unwrap();
        delivery::reconsider(&db, vec![id], now()).await.unwrap();
    };
    learn(&standing).await;
    let mut held = new_report(
        Ids::random().next(),
        report(id, now() - TimeDelta::hours(30)),
        DeliveryState::Held,
    );
    held.hold = Some(Hold {
        reason: HoldReason::CountJump,
        message: "It reports 5 users after 500.".to_owned(),
        compared_with: json!({"baseline_user_count": 500, "limit_user_count": 50}),
        cause: "1/64 to 1/128".to_owned(),
    });
    let (report_id, at) = (held.id, held.report.reported_at);
    reports::insert_new(&db, &[held]).await.unwrap();
    standing.version = 2;
    standing.invoiced_until = Some(at + TimeDelta::hours(1));
    learn(&standing).await;
    assert_eq!(states(&db, id).await, [(at, DeliveryState::Held)]);

    release(&db, id, report_id).await;
    for (status, billable, invoiced_until, expected) in [
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
            SubscriptionStatus::Active,
            true,
            standing.invoiced_until,
            DeliveryState::MissedInvoice,
        ),
    ] {
        standing = Standing {
            status,
            billable,
            invoiced_until,
            version: standing.version + 1,
            ..standing
        };
        learn(&standing).await;
        assert_eq!(states(&db, id).await, [(at, expected)]);
    }
    db.close().await.unwrap();
}

#[tokio::test]
async fn what_is_urgent_is_counted_and_listed_by_the_period_that_a_report_belongs_to() {
    let (database, db) = database().await;
    let [near, far, unknown] = [1, 2, 3].map(Uuid::from_u128);
    let hours = |hours: i64| now() + TimeDelta::hours(hours);
    for organization in [near, far, unknown] {
        let standing = Standing::unknown(organization);
        reporting::lock_with_standings(&db, &[standing])
            .await
            .unwrap();
        for at in [hours(-50), hours(-2)] {
            insert(&database, &db, organization, 4_500, at, DeliveryState::Held).await;
        }
    }
    let period = |start, end| Period {
        start: Some(start),
        end: Some(end),
    };
    // The first report of each belongs on the invoice before; of the far one, that is final.
    let periods = [
        (near, period(hours(-20), hours(20))),
        (far, period(hours(-20), hours(500))),
    ];
    for _ in 0..2 {
        notices::keep_periods(&db, &periods).await.unwrap();
    }
    let urgent = hours(23);
    let filter = HeldFilter {
        period_ends_before: Some(urgent),
        ..ALL
    };
    let listed = holds::list(&db, filter, None, 10).await.unwrap();
    let listed: Vec<_> = listed
        .into_iter()
        .map(|it| (it.organization_id, it.reported_at))
        .collect();
    let expected = [(near, hours(-50)), (near, hours(-2)), (far, hours(-50))];
    assert_eq!(listed, expected);
    let counts = summary::counts(&db, now(), now(), urgent).await.unwrap();
    let counts = counts.unwrap();
    assert_eq!((counts.held, counts.held_urgent), (6, 3));

    // The period goes on to the next.
    let next = [(near, period(hours(20), hours(700)))];
    notices::keep_periods(&db, &next).await.unwrap();
    let counts = summary::counts(&db, now(), now(), hours(19)).await.unwrap();
    assert_eq!(counts.unwrap().held_urgent, 1, "the far one's first");
    db.close().await.unwrap();
}
