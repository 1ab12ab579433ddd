//! Goal: a refused report that is sent again keeps the day rule, its customer and reconciliation's own
//! count; what admins decide is handed over until it is settled.
//! Method: a freshly migrated database, and the statements that the use cases run.

use billing_kit::assertion::Admin;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, FromQueryResult};
use uuid::Uuid;

use super::{
    audit_events::{self, ToRecord},
    delivery::{self, Settlement},
    outbox, reconciliation, reporting, reports, retries, sql,
    tests::{database, make_organization, new_report, now, report, states},
};
use crate::domain::{
    audit::Change,
    delivery::DeliveryState,
    hold::Decision,
    standing::{Standing, SubscriptionStatus},
};

const ID: Uuid = Uuid::from_u128(7);
const EARLIER: Uuid = Uuid::from_u128(1);
const LATER: Uuid = Uuid::from_u128(2);

fn at(hours: i64) -> DateTime<Utc> {
    "2026-03-29T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hours)
}

/// Delivers what is due, with this outcome; answers whom it went to, and how often it was sent again.
async fn deliver(db: &DatabaseConnection, state: DeliveryState) -> Option<(Uuid, String, i32)> {
    let in_flight = delivery::first_queued(db, vec![ID], now()).await.unwrap();
    let sent = in_flight.first()?;
    delivery::mark_sent(db, &in_flight, now()).await.unwrap();
    let error = (state == DeliveryState::Refused)
        .then(|| ("resource_missing".to_owned(), "No such customer".to_owned()));
    let settlement = Settlement {
        report_id: sent.id,
        state,
        is_attempt: true,
        stripe_meter_event_id: (state == DeliveryState::Sent).then(|| "ur_1".to_owned()),
        error,
        next_attempt_at: None,
    };
    delivery::settle(db, &[settlement], now()).await.unwrap();
    Some((sent.id, sent.stripe_customer_id.clone(), sent.resend_count))
}

async fn link(db: &DatabaseConnection, customer: &str, version: i64) {
    let standing = Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some(customer.to_owned()),
        billing_start_at: Some(now() - TimeDelta::days(20)),
        billable: true,
        version,
        ..Standing::unknown(ID)
    };
    reporting::lock_with_standings(db, &[standing])
        .await
        .unwrap();
}

async fn queued(db: &DatabaseConnection, id: Uuid, reported_at: DateTime<Utc>) {
    let new = new_report(id, report(ID, reported_at), DeliveryState::Queued);
    reports::insert_new(db, &[new]).await.unwrap();
}

async fn is_replaced(db: &DatabaseConnection, id: Uuid) -> bool {
    let found = retries::find(db, id).await.unwrap().unwrap();
    found.report.is_replaced
}

#[tokio::test]
async fn it_goes_to_its_customer_again_and_is_counted_apart() {
    let (database, db) = database().await;
    make_organization(&database, ID).await;
    link(&db, "cus_1", 1).await;
    queued(&db, EARLIER, at(1)).await;
    let first = deliver(&db, DeliveryState::Refused).await;
    assert_eq!(first, Some((EARLIER, "cus_1".to_owned(), 0)));
    assert_eq!(deliver(&db, DeliveryState::Sent).await, None);

    assert_eq!(
        retries::organization_of(&db, EARLIER).await.unwrap(),
        Some(ID)
    );
    let found = retries::find(&db, EARLIER).await.unwrap().unwrap();
    assert_eq!(found.report.sent_customer_id.as_deref(), Some("cus_1"));
    let error = ("resource_missing".to_owned(), "No such customer".to_owned());
    assert_eq!(found.error, Some(error));
    assert!(retries::queue(&db, EARLIER, now()).await.unwrap());
    let again = retries::queue(&db, EARLIER, now()).await.unwrap();
    assert!(!again, "it is queued");

    // Whoever it is linked to meanwhile: its identifier stands for the first.
    link(&db, "cus_2", 2).await;
    let again = deliver(&db, DeliveryState::Sent).await;
    assert_eq!(again, Some((EARLIER, "cus_1".to_owned(), 1)));
    assert_eq!(states(&db, ID).await, [(at(1), DeliveryState::Sent)]);
    let ledger = reconciliation::ledger(&db, ID, at(-24)).await.unwrap();
    assert_eq!(ledger.first().map(|day| day.resend_count), Some(0));
    assert_eq!(
        retries::organization_of(&db, Uuid::max()).await.unwrap(),
        None
    );
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_later_report_of_its_day_stands_in_its_way_unless_it_was_refused_too() {
    let (database, db) = database().await;
    make_organization(&database, ID).await;
    link(&db, "cus_1", 1).await;
    queued(&db, EARLIER, at(1)).await;
    deliver(&db, DeliveryState::Refused).await;
    assert!(!is_replaced(&db, EARLIER).await);
    queued(&db, LATER, at(2)).await;
    assert!(is_replaced(&db, EARLIER).await, "the later is to be sent");
    deliver(&db, DeliveryState::Refused).await;
    assert!(!is_replaced(&db, EARLIER).await, "both were refused");

    // Both are sent again: the later alone goes.
    retries::queue(&db, EARLIER, now()).await.unwrap();
    retries::queue(&db, LATER, now()).await.unwrap();
    delivery::drop_outdated(&db, vec![ID], now()).await.unwrap();
    let expected = [
        (at(1), DeliveryState::Superseded),
        (at(2), DeliveryState::Queued),
    ];
    assert_eq!(states(&db, ID).await, expected);
    let sent = deliver(&db, DeliveryState::Sent).await;
    assert_eq!(sent.map(|(id, ..)| id), Some(LATER));
    let next_day = Uuid::from_u128(3);
    queued(&db, next_day, at(25)).await;
    deliver(&db, DeliveryState::Refused).await;
    assert!(!is_replaced(&db, next_day).await, "every day for itself");
    for expected in [true, false] {
        let settled = retries::settle(&db, next_day, DeliveryState::TooLate, now()).await;
        assert_eq!(settled.unwrap(), expected);
    }
    let last = states(&db, ID).await.pop();
    assert_eq!(last, Some((at(25), DeliveryState::TooLate)));
    db.close().await.unwrap();
}

#[tokio::test]
async fn what_was_decided_is_handed_over_until_it_is_settled() {
    let (_database, db) = database().await;
    let admin = Admin {
        user_id: "user_1".to_owned(),
        email: "a@example.com".to_owned(),
    };
    for number in 1..=2 {
        let change = Change::decided(ID, Decision::Released, &[EARLIER], 0);
        audit_events::record(&db, Uuid::from_u128(number), change, &admin, now())
            .await
            .unwrap();
    }
    let [token, other] = [Uuid::from_u128(11), Uuid::from_u128(12)];
    let until = now() + TimeDelta::seconds(30);
    let leased: Vec<ToRecord> = outbox::lease(&db, token, now(), until, 1).await.unwrap();
    let [first] = leased.as_slice() else {
        panic!("one is asked for");
    };
    assert_eq!(
        (first.action.as_str(), first.admin_user_id.as_deref()),
        ("held_reports.released", Some("user_1"))
    );
    let rest: Vec<ToRecord> = outbox::lease(&db, other, now(), until, 9).await.unwrap();
    assert_eq!(rest.len(), 1, "the other is leased");

    // One is put off, the other settled; who lost the lease settles nothing.
    let key = first.id.to_string();
    let next = now() + TimeDelta::seconds(5);
    outbox::postpone::<ToRecord>(&db, token, &[(key.clone(), next)])
        .await
        .unwrap();
    outbox::forget::<ToRecord>(&db, token, vec![key])
        .await
        .unwrap();
    let settled = rest.iter().map(|it| it.id.to_string()).collect();
    outbox::forget::<ToRecord>(&db, other, settled)
        .await
        .unwrap();
    #[derive(FromQueryResult)]
    struct Row {
        id: Uuid,
        attempt_count: i32,
        next_attempt_at: DateTime<Utc>,
    }
    let all = "SELECT id, attempt_count, next_attempt_at FROM audit_events_to_tell";
    let left = Row::find_by_statement(sql(all, [])).all(&db).await.unwrap();
    let left: Vec<_> = left
        .into_iter()
        .map(|row| (row.id, row.attempt_count, row.next_attempt_at))
        .collect();
    assert_eq!(left, [(first.id, 1, next)]);
    let unknown = "UPDATE audit_events_to_tell SET action = 'no action'";
    assert!(db.execute_raw(sql(unknown, [])).await.is_err());
    db.close().await.unwrap();
}
