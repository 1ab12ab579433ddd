//! Goal: the pass is one replica's at a time and loses no organization; findings say what is so now.
//! Method: a freshly migrated database.

use std::collections::BTreeSet;

use billing_kit::Ids;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use super::{
    delivery, findings, reconciliation, reporting, reports,
    tests::{database, make_organization, new_report, now, report, states},
};
use crate::domain::{
    delivery::{DeliveryState, meter_event_identifier},
    finding::{DismissReason, FindingKind},
    invoiced::{InvoiceDifference, InvoicedPeriod},
    reconciliation::Difference,
    standing::{Standing, SubscriptionStatus},
};

fn later(seconds: i64) -> DateTime<Utc> {
    now() + TimeDelta::seconds(seconds)
}

async fn link(db: &DatabaseConnection, id: Uuid) {
    let standing = Standing {
        status: SubscriptionStatus::Active,
        stripe_customer_id: Some(format!("cus_{id}")),
        billing_start_at: Some(now() - TimeDelta::days(30)),
        billable: true,
        version: 1,
        ..Standing::unknown(id)
    };
    reporting::lock_with_standings(db, &[standing])
        .await
        .unwrap();
}

/// A report that Stripe accepted at [`now`].
async fn sent(db: &DatabaseConnection, id: Uuid, at: DateTime<Utc>) -> Uuid {
    let report_id = Ids::random().next();
    let queued = new_report(report_id, report(id, at), DeliveryState::Queued);
    reports::insert_new(db, &[queued]).await.unwrap();
    let settlement = delivery::Settlement {
        report_id,
        state: DeliveryState::Sent,
        is_attempt: true,
        stripe_meter_event_id: Some(meter_event_identifier(report_id)),
        error: None,
        next_attempt_at: None,
    };
    delivery::settle(db, &[settlement], now()).await.unwrap();
    report_id
}

#[tokio::test]
async fn a_pass_is_one_replicas_goes_on_where_it_was_and_ends() {
    let (_database, db) = database().await;
    let ids: BTreeSet<_> = (0..3).map(|_| Ids::random().next()).collect();
    for id in &ids {
        link(&db, *id).await;
    }
    let unlinked = Standing::unknown(Ids::random().next());
    reporting::lock_with_standings(&db, &[unlinked])
        .await
        .unwrap();
    let (one, two) = (Ids::random().next(), Ids::random().next());
    let lease = async |token, at| {
        reconciliation::lease(&db, token, at, at + TimeDelta::seconds(60))
            .await
            .unwrap()
    };
    let after = async |place| {
        let page = reconciliation::linked_after(&db, place, 10).await.unwrap();
        page.into_iter()
            .map(|it| it.organization_id)
            .collect::<Vec<_>>()
    };

    assert_eq!(lease(one, now()).await.unwrap().after_id, None);
    assert!(
        lease(two, later(30)).await.is_none(),
        "one replica at a time"
    );
    let all: Vec<_> = ids.iter().copied().collect();
    assert_eq!(after(None).await, all);
    assert!(
        reconciliation::move_past(&db, one, all[0], false, later(60))
            .await
            .unwrap()
    );
    // The first replica is gone: the other goes on, and what the first still does counts no more.
    assert_eq!(lease(two, later(61)).await.unwrap().after_id, Some(all[0]));
    assert!(
        !reconciliation::move_past(&db, one, all[1], false, later(90))
            .await
            .unwrap()
    );
    assert_eq!(after(Some(all[0])).await, all[1..]);
    assert!(
        reconciliation::move_past(&db, two, all[1], true, later(120))
            .await
            .unwrap()
    );
    reconciliation::pause(&db, two, 3, later(100))
        .await
        .unwrap();
    assert!(
        lease(one, later(99)).await.is_none(),
        "not before it is due"
    );
    assert_eq!(lease(one, later(100)).await.unwrap().attempt_count, 3);
    assert!(
        reconciliation::move_past(&db, one, all[2], false, later(160))
            .await
            .unwrap()
    );
    reconciliation::end_pass(&db, one, later(110), later(3_710))
        .await
        .unwrap();

    let standing = reconciliation::standing(&db).await.unwrap().unwrap();
    assert_eq!(standing.last_full_pass_at, Some(later(110)));
    assert_eq!(
        (standing.last_skipped_count, standing.started_at),
        (1, None)
    );
    assert!(lease(two, later(3_709)).await.is_none());
    assert_eq!(lease(two, later(3_710)).await.unwrap().after_id, None);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_finding_is_updated_resolved_and_found_anew() {
    let (_database, db) = database().await;
    let id = Ids::random().next();
    let (day, other) = (now().date_naive(), now().date_naive().pred_opt().unwrap());
    let difference = |day, found: i64, resend| Difference {
        day,
        expected: 45,
        found: found.into(),
        resend,
        resend_count: 0,
    };
    let open = async || {
        let page = findings::list(&db, None, false, 10).await.unwrap();
        page.into_iter()
            .map(|it| {
                (
                    it.day,
                    it.found,
                    it.resend_count,
                    it.first_seen_at,
                    it.last_seen_at,
                )
            })
            .collect::<Vec<_>>()
    };
    let resent = difference(other, 0, Some(Uuid::nil()));
    findings::record_days(&db, id, &[difference(day, 46, None), resent], now())
        .await
        .unwrap();
    findings::record_days(&db, id, &[difference(day, 47, None)], later(60))
        .await
        .unwrap();
    assert_eq!(
        open().await,
        [
            (day, "47".to_owned(), 0, now(), later(60)),
            (other, "0".to_owned(), 1, now(), now()),
        ]
    );
    // A page ends and the next begins between two findings.
    let first = findings::list(&db, None, false, 1).await.unwrap().remove(0);
    let after = Some((first.day, first.id));
    let rest = findings::list(&db, after, false, 10).await.unwrap();
    assert_eq!(rest.len(), 1);

    findings::resolve_days(&db, id, other, vec![other], later(120))
        .await
        .unwrap();
    assert_eq!(open().await.len(), 1, "the other is not judged yet");
    let all = findings::list(&db, None, true, 10).await.unwrap();
    assert_eq!(all[0].resolved_at, Some(later(120)));
    findings::record_days(&db, id, &[difference(day, 46, None)], later(180))
        .await
        .unwrap();
    assert_eq!(
        open().await[0],
        (day, "46".to_owned(), 0, later(180), later(180))
    );
    let standing = reconciliation::standing(&db).await.unwrap().unwrap();
    assert_eq!(standing.open_count, 2);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_dismissed_finding_opens_again_when_its_numbers_change() {
    let (_database, db) = database().await;
    let organization_id = Ids::random().next();
    let start = now() - TimeDelta::days(31);
    let invoice = |quantity: i64| InvoiceDifference {
        period: InvoicedPeriod {
            stripe_invoice_id: "in_1".to_owned(),
            start,
            end: now(),
            quantity: quantity.into(),
            is_final: true,
        },
        expected: 45,
    };
    let record = async |quantity, at| {
        findings::record_invoices(&db, organization_id, &[invoice(quantity)], at)
            .await
            .unwrap();
    };
    let open = async || findings::list(&db, None, false, 10).await.unwrap();
    record(40, now()).await;
    let finding = open().await.remove(0);
    assert_eq!(
        (finding.kind, finding.day),
        (FindingKind::Invoice, start.date_naive())
    );
    assert_eq!(finding.stripe_invoice_id.as_deref(), Some("in_1"));
    assert_eq!((finding.expected, finding.found.as_str()), (45, "40"));

    let reason = DismissReason::parse("credited by hand").unwrap();
    let dismiss = async |by: &str, at| {
        let is_new = findings::dismiss(&db, finding.id, by, &reason, at).await;
        let found = findings::get(&db, finding.id).await.unwrap().unwrap();
        (is_new.unwrap(), found.dismissal)
    };
    let (is_new, first) = dismiss("one@example.com", later(10)).await;
    assert!(is_new);
    assert_eq!(first.as_ref().unwrap().reason, "credited by hand");
    let again = dismiss("two@example.com", later(20)).await;
    assert_eq!(again, (false, first.clone()));
    // Seen again with the same numbers it stays dismissed, and listed.
    record(40, later(60)).await;
    assert_eq!(open().await, []);
    let all = findings::list(&db, None, true, 10).await.unwrap();
    assert_eq!(
        (all[0].dismissal.clone(), all[0].last_seen_at),
        (first, later(60))
    );
    assert_eq!(
        reconciliation::standing(&db)
            .await
            .unwrap()
            .unwrap()
            .open_count,
        0
    );

    record(41, later(120)).await;
    let again = open().await.remove(0);
    assert_eq!((again.id, again.dismissal), (finding.id, None));
    // What agrees is resolved, and there is nothing left to dismiss.
    findings::resolve_invoices(&db, organization_id, vec!["in_1".to_owned()], later(180))
        .await
        .unwrap();
    let nothing = dismiss("one@example.com", later(190)).await;
    assert_eq!(nothing, (false, None));
    let none = findings::dismiss(&db, Uuid::nil(), "one@example.com", &reason, now()).await;
    assert!(!none.unwrap());
    assert_eq!(findings::get(&db, Uuid::nil()).await.unwrap(), None);
    db.close().await.unwrap();
}

#[tokio::test]
async fn the_ledger_has_a_line_a_day_and_a_resend_is_the_same_report() {
    let (database, db) = database().await;
    let id = Ids::random().next();
    make_organization(&database, id).await;
    link(&db, id).await;
    let today = now().date_naive().and_time(NaiveTime::MIN).and_utc();
    let yesterday_last = sent(&db, id, today - TimeDelta::microseconds(1)).await;
    sent(&db, id, today).await;
    let newest = sent(&db, id, today + TimeDelta::hours(3)).await;
    let ledger = reconciliation::ledger(&db, id, today - TimeDelta::days(1))
        .await
        .unwrap();
    let lines: Vec<_> = ledger
        .iter()
        .map(|it| {
            (
                it.day,
                it.report_id,
                it.earlier_counts.clone(),
                it.settled_at,
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (
                today.date_naive().pred_opt().unwrap(),
                yesterday_last,
                vec![],
                Some(now())
            ),
            (today.date_naive(), newest, vec![5], Some(now())),
        ]
    );

    reconciliation::queue_again(&db, vec![newest], now())
        .await
        .unwrap();
    reconciliation::queue_again(&db, vec![newest], now())
        .await
        .unwrap();
    reporting::schedule(&db, &[(id, now())]).await.unwrap();
    let token = Ids::random().next();
    let leased = delivery::lease(&db, token, now(), later(60), 10)
        .await
        .unwrap();
    assert_eq!(leased, [id]);
    delivery::drop_outdated(&db, vec![id], now()).await.unwrap();
    let in_flight = delivery::first_queued(&db, vec![id], now()).await.unwrap();
    assert_eq!((in_flight[0].id, in_flight[0].resend_count), (newest, 1));
    assert_eq!(states(&db, id).await[2].1, DeliveryState::Queued);
    db.close().await.unwrap();
}
