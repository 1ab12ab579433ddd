//! Goal: what somebody should know of is stored with what it tells of, once, and handed over until it is
//! settled.
//! Method: a freshly migrated database, and the statements that the use cases run.

use billing_kit::Ids;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    delivery, findings, missed_invoices,
    notices::{self, ToTell},
    outbox, reporting, reports, sql,
    tests::{database, make_organization, new_report, now, report},
};
use crate::domain::{
    delivery::DeliveryState,
    finding::{DismissReason, FindingKind},
    hold::{Hold, HoldReason},
    notice::{NewNotice, Refused, Silent},
    reconciliation::Difference,
    standing::{Standing, SubscriptionStatus},
};

const BATCH: i64 = 100;
const HOLDING_BATCH: u64 = 100;

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

async fn reported(db: &DatabaseConnection, standing: Standing, at: DateTime<Utc>) {
    let latest = reporting::Latest {
        standing,
        user_count: 45,
        reported_at: at,
        instance_url: "a.example".to_owned(),
        signing_key: None,
        has_several: false,
    };
    reporting::lock_with_reports(db, &[latest]).await.unwrap();
}

#[derive(Debug, FromQueryResult)]
struct Stored {
    key: String,
    occurred_at: DateTime<Utc>,
    data: Value,
}

async fn stored(db: &DatabaseConnection) -> Vec<Stored> {
    let all = "SELECT key, occurred_at, data FROM notices_to_tell
        ORDER BY occurred_at, key";
    let rows = Stored::find_by_statement(sql(all, [])).all(db).await;
    rows.unwrap()
}

async fn forget_all(db: &DatabaseConnection) {
    db.execute_raw(sql("DELETE FROM notices_to_tell", []))
        .await
        .unwrap();
}

/// Takes note of everyone who is silent, `limit` at a time.
async fn marked(db: &DatabaseConnection, silent: DateTime<Utc>, limit: i64) -> Vec<Silent> {
    let mut marked = Vec::new();
    let mut after = None;
    loop {
        let found = notices::mark_silent(db, after, silent, limit)
            .await
            .unwrap();
        let Some(last) = found.last() else {
            return marked;
        };
        after = Some((last.since, last.organization_id));
        marked.extend(found);
    }
}

#[tokio::test]
async fn of_each_silence_is_told_once_and_only_of_those_who_are_billed() {
    let (_database, db) = database().await;
    let at = |hours: i64| now() - TimeDelta::hours(hours);
    let [gone, never, fine, ended, pending] = [1, 2, 3, 4, 5].map(Uuid::from_u128);
    // They count: they came before the links were learned of.
    reported(&db, Standing::unknown(gone), at(60)).await;
    reported(&db, Standing::unknown(fine), at(50)).await;
    reporting::lock_with_standings(
        &db,
        &[linked(gone, 100), linked(never, 90), linked(fine, 100)],
    )
    .await
    .unwrap();
    let standing = Standing {
        billing_end_at: Some(at(70)),
        ..linked(ended, 100)
    };
    reported(&db, standing, at(80)).await;
    reported(&db, Standing::unknown(pending), at(300)).await;
    let silent = |organization_id, hours, user_count: Option<i32>| Silent {
        organization_id,
        since: at(hours),
        last_reported_at: user_count.map(|_| at(hours)),
        user_count,
    };
    assert_eq!(
        marked(&db, at(51), 1).await,
        [silent(never, 90, None), silent(gone, 60, Some(45))]
    );
    assert_eq!(marked(&db, at(51), BATCH).await, []);

    // It reports again, and stops again.
    reported(&db, linked(gone, 100), at(1)).await;
    assert_eq!(marked(&db, at(51), BATCH).await, []);
    let later = at(1) + TimeDelta::seconds(1);
    let again = marked(&db, later, BATCH).await;
    assert_eq!(
        again,
        [silent(fine, 50, Some(45)), silent(gone, 1, Some(45))]
    );
    db.close().await.unwrap();
}

#[tokio::test]
async fn thousands_that_go_silent_together_are_one_notice() {
    let (_database, db) = database().await;
    let silent: Vec<_> = (0..2_000)
        .map(|number| Silent {
            organization_id: Uuid::from_u128(number),
            since: now() - TimeDelta::hours(52),
            last_reported_at: None,
            user_count: None,
        })
        .collect();
    let due = now() + TimeDelta::minutes(10);
    let gather = async |silent: &[Silent], now: DateTime<Utc>| {
        let due = now + TimeDelta::minutes(10);
        let id = Ids::random().next();
        notices::gather_silent(&db, id, silent, now, due)
            .await
            .unwrap();
    };
    // The first ones that were found are named, also where they were few.
    for (place, batch) in [&silent[..3], &silent[3..503], &silent[503..]]
        .iter()
        .enumerate()
    {
        let place = i64::try_from(place).unwrap();
        gather(batch, now() + TimeDelta::minutes(place)).await;
    }
    gather(&[], now()).await;
    let told = stored(&db).await;
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(told.occurred_at, now());
    assert_eq!(told.data["instance_count"], 2_000);
    let named = told.data["instances"].as_array().unwrap();
    let ids: Vec<_> = named.iter().map(|it| &it["organization_id"]).collect();
    let first: Vec<_> = (0..10)
        .map(|number| json!(Uuid::from_u128(number)))
        .collect();
    assert_eq!(ids, first.iter().collect::<Vec<_>>());
    assert_eq!(
        named[0],
        json!({"organization_id": Uuid::nil(), "silent_since": "2026-03-29T08:00:00.000Z",
            "last_reported_at": null, "user_count": null})
    );
    let lease = async |now| {
        let until = now + TimeDelta::seconds(30);
        let leased = outbox::lease::<ToTell>(&db, Uuid::from_u128(9), now, until, BATCH).await;
        leased.unwrap().len()
    };
    assert_eq!(
        lease(due - TimeDelta::seconds(1)).await,
        0,
        "it is gathered"
    );
    assert_eq!(lease(due).await, 1);
    // What is being handed over stays as it is.
    gather(&silent[..1], due).await;
    assert_eq!(stored(&db).await.len(), 2);
    db.close().await.unwrap();
}

fn jump() -> Hold {
    Hold {
        reason: HoldReason::CountJump,
        message: "It jumps.".to_owned(),
        compared_with: json!({"baseline_user_count": 1, "limit_user_count": 2}),
        cause: "4 to 8".to_owned(),
    }
}

#[tokio::test]
async fn what_is_held_once_it_could_be_sent_is_told_once_a_day() {
    let (database, db) = database().await;
    let id = Uuid::from_u128(1);
    make_organization(&database, id).await;
    let at = |minutes| now() - TimeDelta::minutes(minutes);
    reported(&db, linked(id, 100), at(600)).await;
    let ids = [3, 2, 1].map(|_| Ids::random().next());
    let waiting: Vec<_> = ids
        .into_iter()
        .zip([30, 20, 10])
        .map(|(report_id, minutes)| {
            let mut new = new_report(report_id, report(id, at(minutes)), DeliveryState::Waiting);
            new.hold = Some(jump());
            new
        })
        .collect();
    reports::insert_new(&db, &waiting).await.unwrap();
    delivery::reconsider(&db, vec![id], now()).await.unwrap();
    let told = stored(&db).await;
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    // One that is held at once on the same day is the same to whoever is told.
    let now_held = NewNotice::held(Ids::random().next(), &report(id, now()), &jump(), now());
    assert_eq!(told.key, now_held.key());
    assert_eq!(told.occurred_at, now());
    assert_eq!(
        told.data,
        json!({"report_id": ids[0], "reported_at": "2026-03-31T11:30:00.000Z", "user_count": 5,
            "instance_url": "acme.example", "reason": "count_jump", "message": "It jumps.",
            "compared_with": {"baseline_user_count": 1, "limit_user_count": 2}})
    );
    let tomorrow = now() + TimeDelta::days(1);
    for at in [now(), tomorrow, tomorrow] {
        let held = NewNotice::held(Ids::random().next(), &report(id, at), &jump(), at);
        notices::tell(&db, &[held], at).await.unwrap();
    }
    assert_eq!(stored(&db).await.len(), 2);
    db.close().await.unwrap();
}

#[tokio::test]
async fn findings_that_open_are_told_by_day_and_those_that_go_on_are_not() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let today = now().date_naive();
    let yesterday = today.pred_opt().unwrap();
    let difference = |day, found: i64| Difference {
        day,
        expected: 45,
        found: found.into(),
        resend: None,
        resend_count: 0,
    };
    let record = async |differences: &[Difference], days: i64| {
        forget_all(&db).await;
        let at = now() + TimeDelta::days(days);
        findings::record_days(&db, id, differences, at)
            .await
            .unwrap();
        stored(&db).await
    };
    let both = [difference(today, 44), difference(yesterday, 43)];
    let told = record(&both, 0).await;
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    let open = findings::list(&db, None, false, 10).await.unwrap();
    assert_eq!(open[1].day, yesterday);
    assert_eq!(
        told.key,
        format!("finding.opened/{id}/meter_day/2026-03-31")
    );
    let kind = FindingKind::MeterDay.as_str();
    assert_eq!(
        told.data,
        json!({"finding_id": open[1].id, "finding": kind, "finding_count": 2, "day": "2026-03-30",
            "stripe_invoice_id": null, "expected": 45, "found": "43"})
    );
    // They go on, with other numbers too.
    assert!(record(&[difference(today, 40)], 1).await.is_empty());
    // A person has seen one.
    let reason = DismissReason::parse("seen").unwrap();
    let seen = findings::dismiss(&db, open[0].id, "a@example.com", &reason, now()).await;
    assert!(seen.unwrap());
    assert!(record(&[difference(today, 40)], 2).await.is_empty());
    let told = record(&[difference(today, 39)], 3).await;
    assert_eq!(told[0].data["found"], "39");
    // And one agreed in between.
    let at = now() + TimeDelta::days(4);
    findings::resolve_days(&db, id, yesterday, vec![today], at)
        .await
        .unwrap();
    let told = record(&[difference(yesterday, 43)], 5).await;
    assert_eq!(told[0].data["day"], "2026-03-30");
    db.close().await.unwrap();
}

#[tokio::test]
async fn what_missed_its_invoice_is_told_of_each_organization() {
    let (database, db) = database().await;
    let both = [1, 2].map(Uuid::from_u128);
    for id in both {
        make_organization(&database, id).await;
        reported(&db, linked(id, 100), now()).await;
        let missed = [30, 6].map(|hours| {
            let report = report(id, now() - TimeDelta::hours(hours));
            new_report(Ids::random().next(), report, DeliveryState::MissedInvoice)
        });
        reports::insert_new(&db, &missed).await.unwrap();
    }
    for _ in 0..2 {
        missed_invoices::settle(&db, both.to_vec(), now())
            .await
            .unwrap();
        let told = stored(&db).await;
        let keys = both.map(|id| format!("finding.opened/{id}/missed_invoice/2026-03-31"));
        assert_eq!(
            told.iter().map(|it| &it.key).collect::<Vec<_>>(),
            keys.each_ref()
        );
        for it in &told {
            assert_eq!(it.data["finding_count"], 2);
            assert_eq!(it.data["day"], "2026-03-30");
            assert_eq!(
                (&it.data["expected"], &it.data["found"]),
                (&json!(5), &json!("0"))
            );
        }
    }
    // What goes on as it was is told no more.
    forget_all(&db).await;
    let tomorrow = now() + TimeDelta::days(1);
    missed_invoices::settle(&db, both.to_vec(), tomorrow)
        .await
        .unwrap();
    assert!(stored(&db).await.is_empty());
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_notice_is_handed_over_by_one_and_again_until_it_is_settled() {
    let (_database, db) = database().await;
    let refused = |number| {
        let refused = Refused {
            report_id: Uuid::max(),
            reported_at: now(),
            user_count: 5,
            code: "customer_gone",
            message: "It is gone.",
        };
        NewNotice::refused(Uuid::from_u128(number), refused, now())
    };
    let all = [refused(1), refused(2)];
    notices::tell(&db, &all, now()).await.unwrap();
    let (one, other) = (Uuid::from_u128(11), Uuid::from_u128(12));
    let lease = async |token, at: DateTime<Utc>| {
        let until = at + TimeDelta::seconds(30);
        let leased: Vec<ToTell> = outbox::lease(&db, token, at, until, BATCH).await.unwrap();
        let mut keys: Vec<_> = leased
            .into_iter()
            .map(|it| (it.key, it.attempt_count))
            .collect();
        keys.sort();
        keys
    };
    let keys = [0, 1].map(|place| all[place].key());
    assert_eq!(lease(one, now()).await, keys.clone().map(|key| (key, 0)));
    assert!(lease(other, now()).await.is_empty());
    let [settled, open] = keys;
    outbox::forget::<ToTell>(&db, other, vec![settled.clone(), open.clone()])
        .await
        .unwrap();
    assert_eq!(stored(&db).await.len(), 2, "only its holder settles it");
    outbox::forget::<ToTell>(&db, one, vec![settled])
        .await
        .unwrap();
    let next = now() + TimeDelta::seconds(2);
    outbox::postpone::<ToTell>(&db, one, &[(open.clone(), next)])
        .await
        .unwrap();
    assert!(lease(other, now() + TimeDelta::seconds(1)).await.is_empty());
    assert_eq!(lease(other, next).await, [(open.clone(), 1)]);
    // Its holder was killed.
    let later = next + TimeDelta::seconds(31);
    assert_eq!(lease(one, later).await, [(open, 1)]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_deadline_of_held_reports_is_told_once() {
    let (database, db) = database().await;
    let id = Uuid::from_u128(1);
    make_organization(&database, id).await;
    let at = |hours| now() - TimeDelta::hours(hours);
    reported(&db, linked(id, 100), at(9)).await;
    let none = notices::holding_after(&db, Uuid::nil(), HOLDING_BATCH).await;
    assert!(none.unwrap().is_empty());
    let held = [8, 7].map(|hours| {
        let mut new = new_report(
            Ids::random().next(),
            report(id, at(hours)),
            DeliveryState::Held,
        );
        new.hold = Some(jump());
        new
    });
    reports::insert_new(&db, &held).await.unwrap();
    let holding = notices::holding_after(&db, Uuid::nil(), HOLDING_BATCH)
        .await
        .unwrap();
    let [it] = &holding[..] else {
        panic!("{holding:?}");
    };
    assert_eq!((it.organization_id, it.held_count), (id, 2));
    assert_eq!((it.span().first, it.span().last), (at(8), at(7)));
    let after = notices::holding_after(&db, id, HOLDING_BATCH).await;
    assert!(after.unwrap().is_empty());
    let deadline = now() + TimeDelta::hours(5);
    for (deadline, is_news) in [
        (deadline, true),
        (deadline, false),
        (deadline + TimeDelta::days(30), true),
    ] {
        let marked = notices::mark_deadline(&db, id, deadline).await;
        assert_eq!(marked.unwrap(), is_news);
    }
    db.close().await.unwrap();
}
