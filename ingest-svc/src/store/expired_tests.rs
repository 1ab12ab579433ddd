//! Goal: what is deleted was never billed, and its organization is silent.

use billing_kit::Ids;
use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

use super::{
    expired, ignored_organizations, reporting, reports, sql, summary,
    tests::{database, make_organization, new_report, now, report},
};
use crate::domain::{delivery::DeliveryState, standing::Standing};

/// A row of each table that is kept by organization.
const WHAT_IS_KEPT: [&str; 4] = [
    "INSERT INTO signing_keys (organization_id, public_key, first_seen_at, last_seen_at, day_count)
        VALUES ($1, decode(repeat('07', 32), 'hex'), now(), now(), 1)",
    "INSERT INTO report_conflicts (id, organization_id, reported_at, user_count, organization_name,
            instance_url, first_refused_at, last_refused_at, refused_count)
        VALUES ($1, $1, now(), 5, 'Acme', 'acme.example', now(), now(), 1)",
    "INSERT INTO last_refusals (organization_id, refused_at, reason, message)
        VALUES ($1, now(), 'conflict', 'It is refused.')",
    "INSERT INTO organization_source_networks (organization_id, network, day, first_seen_at,
            last_seen_at, report_count, counted)
        VALUES ($1, '192.0.2.0/24', '2026-01-01', now(), now(), 1, true)",
];
const KEPT: &str = "
    SELECT (SELECT count(*) FROM signing_keys WHERE organization_id = $1)
        + (SELECT count(*) FROM report_conflicts WHERE organization_id = $1)
        + (SELECT count(*) FROM last_refusals WHERE organization_id = $1)
        + (SELECT count(*) FROM organization_source_networks WHERE organization_id = $1) AS count";

#[tokio::test]
async fn only_the_reports_of_silent_organizations_that_were_never_billed_are_deleted() {
    let (database, db) = database().await;
    let since = now() - TimeDelta::days(395);
    let [silent, awake, sent] = [1, 2, 3].map(Uuid::from_u128);
    for id in [silent, awake, sent] {
        make_organization(&database, id).await;
    }
    for (id, days_ago, state) in [
        (silent, 400, DeliveryState::Waiting),
        (awake, 400, DeliveryState::Waiting),
        (awake, 1, DeliveryState::Waiting),
        (sent, 400, DeliveryState::Queued),
    ] {
        let txn = db.begin().await.unwrap();
        let reported = report(id, now() - TimeDelta::days(days_ago));
        let latest = reporting::Latest {
            standing: Standing::unknown(id),
            user_count: 5,
            reported_at: reported.reported_at,
            instance_url: "acme.example".to_owned(),
            signing_key: None,
            has_several: false,
        };
        reporting::lock_with_reports(&txn, &[latest]).await.unwrap();
        let new = new_report(Ids::random().next(), reported, state);
        reports::insert_new(&txn, &[new]).await.unwrap();
        txn.commit().await.unwrap();
    }

    for id in [silent, awake] {
        for keep in WHAT_IS_KEPT {
            db.execute_raw(sql(keep, [id.into()])).await.unwrap();
        }
    }

    let unknown = Uuid::from_u128(9);
    let txn = db.begin().await.unwrap();
    let found = expired::lock_silent(&txn, &[silent, awake, sent, unknown], since).await;
    let found = found.unwrap();
    assert_eq!(found, [silent, sent, unknown]);
    let deleted = expired::delete_reports(&txn, &found).await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(deleted, 1, "the one that is queued stays");
    expired::forget(&db, &[silent, awake], since).await.unwrap();
    let known = reporting::get_many(&db, vec![silent, awake]).await.unwrap();
    let known: Vec<_> = known.into_iter().map(|it| it.organization_id).collect();
    assert_eq!(known, [awake]);
    for (id, rows) in [(silent, 0), (awake, 4)] {
        let kept = db.query_one_raw(sql(KEPT, [id.into()])).await.unwrap();
        let kept: i64 = kept.unwrap().try_get("", "count").unwrap();
        assert_eq!(kept, rows);
    }
}

#[tokio::test]
async fn ignored_organizations_are_in_no_total() {
    let (database, db) = database().await;
    let [kept, ignored] = [1, 2].map(Uuid::from_u128);
    for id in [kept, ignored] {
        make_organization(&database, id).await;
        let txn = db.begin().await.unwrap();
        let reported = report(id, now());
        let latest = reporting::Latest {
            standing: Standing::unknown(id),
            user_count: 5,
            reported_at: reported.reported_at,
            instance_url: "acme.example".to_owned(),
            signing_key: None,
            has_several: false,
        };
        reporting::lock_with_reports(&txn, &[latest]).await.unwrap();
        let new = new_report(Ids::random().next(), reported, DeliveryState::Waiting);
        reports::insert_new(&txn, &[new]).await.unwrap();
        txn.commit().await.unwrap();
    }
    let mut totals = Vec::new();
    for is_ignored in [false, true, true, false] {
        let told = [(kept, false), (ignored, is_ignored)];
        let changed = ignored_organizations::set(&db, &told).await.unwrap();
        let txn = db.begin().await.unwrap();
        let since = now() - TimeDelta::days(35);
        let today = now().date_naive();
        let counted = summary::count_day(&txn, today, since, now()).await;
        counted.unwrap();
        txn.commit().await.unwrap();
        let total = summary::total(&db).await.unwrap().unwrap().user_count;
        let days = summary::days(&db, today).await.unwrap();
        totals.push((
            changed,
            total,
            days[0].user_count,
            days[0].organization_count,
        ));
    }
    assert_eq!(
        totals,
        [
            (false, 10, 10, 2),
            (true, 5, 5, 1),
            (false, 5, 5, 1),
            (true, 10, 10, 2)
        ]
    );
}
