//! Goal: where reports come from is counted with them and forgotten in time, and what was refused is kept
//! within its bounds.
//! Method: a freshly migrated database, and the statements that the use cases run.

use std::net::IpAddr;

use billing_kit::Ids;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use uuid::Uuid;

use super::{
    conflicts, refusals, reporting, reports, sources,
    tests::{database, make_organization, new_report, now, report},
};
use crate::domain::{
    delivery::DeliveryState,
    hold::{Hold, HoldReason},
    refusal::{Refusal, RefusalReason},
    report::Report,
    source::{DayCount, network_of},
    standing::Standing,
};

fn from(address: &str, organization: Uuid, at: DateTime<Utc>, user_count: i32) -> Report {
    let mut report = report(organization, at);
    report.content.user_count = user_count;
    report.source = Some(address.parse().unwrap());
    report
}

/// Records a report, held or not, and says whether its network is a known one by it.
async fn record(db: &DatabaseConnection, report: Report, known: bool, held: bool) -> Uuid {
    let state = if held {
        DeliveryState::Held
    } else {
        DeliveryState::Waiting
    };
    let mut new = new_report(Ids::random().next(), report, state);
    new.makes_network_known = known;
    new.received_at = new.report.reported_at;
    new.hold = held.then(|| Hold {
        reason: HoldReason::NewNetwork,
        message: "It is held.".to_owned(),
        compared_with: serde_json::json!({"source_network": "203.0.113.0/24"}),
        cause: "203.0.113.0/24".to_owned(),
    });
    let id = new.id;
    assert_eq!(reports::insert_new(db, &[new]).await.unwrap(), [id]);
    id
}

#[tokio::test]
async fn networks_are_counted_by_day_and_known_once_one_counted() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let hours = |hours| now() + TimeDelta::hours(hours);
    record(&db, from("203.0.113.7", id, hours(-24), 45), true, false).await;
    record(&db, from("203.0.113.8", id, hours(-1), 45), false, false).await;
    let held = record(&db, from("198.51.100.1", id, hours(0), 90), false, true).await;
    // A report of before has no address.
    let mut unknown = report(id, hours(1));
    unknown.source = None;
    record(&db, unknown, true, false).await;

    let listed = sources::list(&db, id, 10).await.unwrap();
    let told: Vec<_> = listed
        .iter()
        .map(|it| (it.network.to_string(), it.report_count, it.has_counted))
        .collect();
    let expected = [("198.51.100.0/24", 1, false), ("203.0.113.0/24", 2, true)];
    assert_eq!(
        told,
        expected.map(|(net, n, known)| (net.to_owned(), n, known))
    );
    assert_eq!(listed[1].first_seen_at, hours(-24));
    assert_eq!(listed[1].last_seen_at, hours(-1));

    // What counts for the day is the last one that is not held.
    let next = from("198.51.100.1", id, hours(2), 91);
    let found = sources::find(&db, &[&next]).await.unwrap();
    let count = DayCount {
        user_count: 5,
        reported_at: hours(1),
    };
    assert_eq!(found[0].count, Some(count));
    assert!(!found[0].is_known && found[0].has_known);
    sources::make_known(&db, id, vec![held]).await.unwrap();
    let found = sources::find(&db, &[&next]).await.unwrap();
    assert!(found[0].is_known, "an admin released one from there");
    assert_eq!(found[0].network, next.source.map(network_of));
    db.close().await.unwrap();
}

#[tokio::test]
async fn addresses_are_forgotten_after_30_days_and_networks_after_400_in_bounded_steps() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    let days = |days| now() - TimeDelta::days(days);
    for ago in [1, 29, 31, 32, 33] {
        record(&db, from("203.0.113.7", id, days(ago), 45), true, false).await;
    }
    for ago in [399, 401, 402] {
        record(&db, from("192.0.2.7", id, days(ago), 45), true, false).await;
    }
    let mut steps = Vec::new();
    loop {
        let changed = sources::forget_addresses(&db, days(30), 4).await.unwrap();
        if changed == 0 {
            break;
        }
        steps.push(changed);
    }
    assert_eq!(steps, [4, 2]);
    let kept = "SELECT count(source_address) AS n FROM usage_reports";
    let row = db
        .query_one_raw(super::sql(kept, []))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.try_get::<i64>("", "n").unwrap(), 2);
    let oldest = days(400).date_naive();
    assert_eq!(sources::forget_networks(&db, oldest, 1).await.unwrap(), 1);
    assert_eq!(sources::forget_networks(&db, oldest, 9).await.unwrap(), 1);
    assert_eq!(sources::forget_networks(&db, oldest, 9).await.unwrap(), 0);
    let listed = sources::list(&db, id, 10).await.unwrap();
    let counts: Vec<_> = listed.iter().map(|it| it.report_count).collect();
    assert_eq!(counts, [5, 1]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn of_what_was_refused_the_last_twenty_are_kept_and_repetitions_are_counted() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let other = Ids::random().next();
    let keep = async |organization, count: i32, seconds| {
        let refused = from("203.0.113.7", organization, now(), count);
        let at = now() + TimeDelta::seconds(seconds);
        conflicts::keep(&db, &[(Ids::random().next(), &refused)], at)
            .await
            .unwrap()
    };
    assert_eq!(keep(other, 7, 0).await, [other]);
    for count in 0..30 {
        keep(id, count, count.into()).await;
    }
    keep(id, 15, 100).await;
    let kept = conflicts::list(&db, id).await.unwrap();
    let counts: Vec<_> = kept.iter().map(|it| it.user_count).collect();
    let expected: Vec<_> = [15]
        .into_iter()
        .chain((10..30).rev().filter(|n| *n != 15))
        .collect();
    assert_eq!(counts, expected);
    assert_eq!(kept[0].refused_count, 2);
    assert_eq!(kept[0].source(), Some("203.0.113.7".parse().unwrap()));
    assert_eq!(kept[0].recorded_user_count, None);
    assert_eq!(conflicts::list(&db, other).await.unwrap().len(), 1);
    // One that an admin put in place is not told of again.
    conflicts::mark_replaced(&db, kept[0].id, Ids::random().next(), now())
        .await
        .unwrap();
    assert!(keep(id, 15, 101).await.is_empty());
    db.close().await.unwrap();
}

#[tokio::test]
async fn the_last_refusal_is_one_row_of_a_known_organization_and_written_seldom() {
    let (_database, db) = database().await;
    let known = Ids::random().next();
    let stranger = Ids::random().next();
    let latest = reporting::Latest {
        standing: Standing::unknown(known),
        user_count: 5,
        reported_at: now(),
        instance_url: "acme.example".to_owned(),
        signing_key: None,
        has_several: false,
    };
    reporting::lock_with_reports(&db, &[latest]).await.unwrap();
    let source: IpAddr = "2001:db8::1".parse().unwrap();
    let refused = |organization_id, message: &str| Refusal {
        organization_id,
        refused_at: now(),
        reason: RefusalReason::Rejected,
        message: message.to_owned(),
        source: Some(source),
    };
    let note = async |refusals: &[Refusal], seconds| {
        let at = now() + TimeDelta::seconds(seconds);
        refusals::note(&db, refusals, at).await.unwrap();
    };
    note(
        &[
            refused(known, "a"),
            refused(stranger, "b"),
            refused(known, "c"),
        ],
        0,
    )
    .await;
    let last = async || refusals::last(&db, known).await.unwrap().unwrap();
    assert_eq!(
        (last().await.message, last().await.source),
        ("c".to_owned(), Some(source))
    );
    assert_eq!(refusals::last(&db, stranger).await.unwrap(), None);
    note(&[refused(known, "d")], 9).await;
    assert_eq!(last().await.message, "c");
    note(&[refused(known, "e")], 10).await;
    assert_eq!(last().await.message, "e");
    db.close().await.unwrap();
}
