//! Goal: what fails while reports come and links are made loses nothing and doubles nothing.
//! Method: a whole system; services ended as by SIGKILL and started again, Stripe's faults from the
//! simulator, everything at once; then Stripe's own books.

use std::collections::BTreeSet;

use billing_e2e::actors::{Admin, Instance, linked_instance, now, terms};
use billing_e2e::{Service, System};
use billing_harness::{TestDatabase, eventually};
use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use stripe_sim::{Fault, FaultEffect, FaultResponse};

const CUSTOMERS: &str = "POST /v1/customers";
const SUBSCRIPTIONS: &str = "POST /v1/subscriptions";
const METER_EVENTS: &str = "POST /v1/billing/meter_events";

#[tokio::test(flavor = "multi_thread")]
async fn fm04_the_same_report_many_times_at_once_is_one_report() {
    let system = System::start().await;
    let instance = Instance::of(&system);
    let at = now();
    let answers = join_all((0..20).map(|_| instance.report(45, at))).await;
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.text("/report_id"))
        .collect();
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(ids.len(), 1, "{ids:?}");
    let admin = Admin::sign_in(&system).await;
    assert_eq!(admin.reports(instance.organization).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm11_two_links_at_once_make_one_customer_and_one_subscription() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;
    let terms = terms();
    let links = join_all((0..5).map(|_| admin.link(instance.organization, &terms))).await;
    for link in &links {
        assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
        assert_eq!(link.json["organization"], links[0].json["organization"]);
    }
    let ledger = system.stripe.ledger();
    assert_eq!((ledger.customers.len(), ledger.subscriptions.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_org_svc_reports_are_taken_and_billed_later() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (known, _) = linked_instance(&system, &admin).await;
    let stranger = Instance::of(&system);

    // ingest-svc has learned of the link, by this report if not by the feed.
    let learned = known.report(50, now()).await;
    assert_eq!(learned.text("/organization_status"), "trial");
    system.kill_service(Service::Org);
    let at = now() + TimeDelta::seconds(1);
    let from_known = known.report(52, at).await;
    assert_eq!(from_known.status, StatusCode::OK, "{:?}", from_known.json);
    assert_eq!(
        from_known.text("/organization_status"),
        "trial",
        "the last that was known"
    );
    let from_stranger = stranger.report(7, at).await;
    assert_eq!(
        from_stranger.text("/organization_status"),
        "pending",
        "{:?}",
        from_stranger.json
    );
    let again = stranger.report(7, at).await;
    assert_eq!(again.text("/report_id"), from_stranger.text("/report_id"));
    assert_eq!(stranger.report(8, at).await.status, StatusCode::CONFLICT);

    system.start_service(Service::Org);
    let (known_id, stranger_id) = (
        from_known.text("/report_id"),
        from_stranger.text("/report_id"),
    );
    // Before or after it left the spool, it is the same report.
    assert_eq!(stranger.report(7, at).await.text("/report_id"), stranger_id);
    admin
        .delivered(known.organization, known_id, &["sent"])
        .await;
    admin
        .delivered(stranger.organization, stranger_id, &["waiting"])
        .await;
    assert!(
        admin
            .listed("pending", stranger.organization)
            .await
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_stripe_svc_reports_are_taken_and_a_link_goes_on_by_itself() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (known, _) = linked_instance(&system, &admin).await;
    let waiting = Instance::of(&system);
    waiting.report(3, now()).await;

    system.kill_service(Service::Stripe);
    let report = known.report(52, now() + TimeDelta::seconds(1)).await;
    assert_eq!(report.status, StatusCode::OK, "{:?}", report.json);
    let link = admin.link(waiting.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::ACCEPTED, "{:?}", link.json);

    system.start_service(Service::Stripe);
    admin
        .delivered(known.organization, report.text("/report_id"), &["sent"])
        .await;
    eventually("the link is made", async || {
        admin.listed("linked", waiting.organization).await.map(drop)
    })
    .await;
    let ledger = system.stripe.ledger();
    assert_eq!((ledger.customers.len(), ledger.subscriptions.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_svc_killed_between_customer_and_subscription_goes_on_where_it_was() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;

    // The subscription's call hangs, so that the customer is there and nothing else.
    let hang = FaultEffect::TimeoutBefore { hang_ms: 60_000 };
    system
        .stripe
        .inject(Fault::once(SUBSCRIPTIONS, hang))
        .unwrap();
    let linking = tokio::spawn({
        let (admin, organization) = (admin.clone(), instance.organization);
        async move { admin.link(organization, &terms()).await }
    });
    eventually("the customer is made", async || {
        (system.stripe.ledger().customers.len() == 1).then_some(())
    })
    .await;
    system.kill_service(Service::Stripe);
    system.start_service(Service::Stripe);

    let link = linking.await.unwrap();
    assert!(
        matches!(link.status, StatusCode::OK | StatusCode::ACCEPTED),
        "{:?}",
        link.json
    );
    eventually("the link is made", async || {
        admin
            .listed("linked", instance.organization)
            .await
            .map(drop)
    })
    .await;
    let ledger = system.stripe.ledger();
    assert_eq!((ledger.customers.len(), ledger.subscriptions.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn org_svc_killed_in_the_middle_of_a_link_makes_no_second_one() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;

    let slow = FaultEffect::DelayMs(500);
    system
        .stripe
        .inject(Fault::once(CUSTOMERS, slow.clone()))
        .unwrap();
    system
        .stripe
        .inject(Fault::once(SUBSCRIPTIONS, slow))
        .unwrap();
    let linking = tokio::spawn({
        let (admin, organization) = (admin.clone(), instance.organization);
        async move { admin.link(organization, &terms()).await }
    });
    eventually("the customer is made", async || {
        (system.stripe.ledger().customers.len() == 1).then_some(())
    })
    .await;
    system.kill_service(Service::Org);
    let unknown = linking.await.unwrap();
    assert_eq!(
        unknown.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        unknown.json
    );
    assert!(unknown.headers.contains_key("retry-after"));

    system.start_service(Service::Org);
    let link = eventually("the same link again", async || {
        let link = admin.link(instance.organization, &terms()).await;
        (link.status == StatusCode::OK).then_some(link)
    })
    .await;
    assert_eq!(link.text("/organization/subscription_status"), "trial");
    let ledger = system.stripe.ledger();
    assert_eq!((ledger.customers.len(), ledger.subscriptions.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_stripes_that_is_lost_doubles_nothing() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let lost = || FaultEffect::TimeoutAfter { hang_ms: 10 };
    for route in [CUSTOMERS, SUBSCRIPTIONS] {
        system.stripe.inject(Fault::once(route, lost())).unwrap();
    }
    let (instance, _) = linked_instance(&system, &admin).await;
    system
        .stripe
        .inject(Fault::once(METER_EVENTS, lost()))
        .unwrap();
    let report = instance.report(52, now() + TimeDelta::seconds(1)).await;
    let report_id = report.text("/report_id");
    admin
        .delivered(instance.organization, report_id, &["sent"])
        .await;
    let ledger = system.stripe.ledger();
    assert_eq!((ledger.customers.len(), ledger.subscriptions.len()), (1, 1));
    assert_eq!(ledger.meter_events.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_stripe_is_told_and_the_organization_is_pending_again() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;
    let mut refusal = FaultResponse::status(400);
    refusal.error = Some(json!({
        "type": "invalid_request_error",
        "code": "customer_tax_location_invalid",
        "message": "The customer's location isn't recognized.",
    }));
    system
        .stripe
        .inject(Fault::once(SUBSCRIPTIONS, FaultEffect::Respond(refusal)))
        .unwrap();
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(
        link.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{:?}",
        link.json
    );
    assert_eq!(link.text("/error/code"), "stripe_refused");
    assert!(
        link.text("/error/message").contains("isn't recognized"),
        "{:?}",
        link.json
    );
    assert!(
        admin
            .listed("pending", instance.organization)
            .await
            .is_some()
    );

    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    let customers = system.stripe.ledger().customers.len();
    assert_eq!(customers, 1, "the customer of the first try is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_day_only_the_latest_report_counts_whatever_the_order_of_arrival() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, _) = linked_instance(&system, &admin).await;
    // Both within the tolerance ahead, and after the subscription's start; the later one first. A
    // midnight between them would make them two days' reports.
    let (earlier, later) = (now() + TimeDelta::seconds(2), now() + TimeDelta::seconds(3));
    let newest = instance.report(60, later).await;
    let older = instance.report(50, earlier).await;
    admin
        .delivered(instance.organization, newest.text("/report_id"), &["sent"])
        .await;
    let expected = if earlier.date_naive() == later.date_naive() {
        "superseded"
    } else {
        "sent"
    };
    admin
        .delivered(instance.organization, older.text("/report_id"), &[expected])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ingest_svc_nothing_is_acknowledged() {
    let mut system = System::start().await;
    let instance = Instance::of(&system);
    system.kill_service(Service::Ingest);
    let at = now();
    let refused = instance.report(45, at).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        refused.json
    );
    assert!(refused.headers.contains_key("retry-after"));
    let admin = Admin::sign_in(&system).await;
    let list = admin.get("/api/admin/organizations").await;
    assert_eq!(
        list.status,
        StatusCode::OK,
        "the admin still sees the organizations"
    );

    system.start_service(Service::Ingest);
    let taken = eventually("the same report again is taken", async || {
        let answer = instance.report(45, at).await;
        (answer.status == StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!(taken.text("/organization_status"), "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm18_without_the_database_nothing_is_acknowledged_and_nothing_needs_a_restart() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    let before = instance.report(45, now() - TimeDelta::hours(1)).await;
    assert_eq!(before.status, StatusCode::OK, "{:?}", before.json);

    system.database().close_to_all();
    let at = now();
    let refused = instance.report(46, at).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        refused.json
    );
    assert!(refused.headers.contains_key("retry-after"));
    let refused = admin.get("/api/admin/organizations").await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        refused.json
    );

    system.database().open_again();
    eventually("the same report again is taken", async || {
        let answer = instance.report(46, at).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    // A report that came before org-svc had its database again is listed once it left the spool.
    eventually("both reports are listed", async || {
        (admin.reports(instance.organization).await.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_start_in_any_order() {
    let mut system = System::without_services(TestDatabase::migrated().await).await;
    for service in Service::ALL.into_iter().rev() {
        system.start_service(service);
    }
    let instance = Instance::of(&system);
    let report = eventually("a report is taken", async || {
        let answer = instance.report(45, now()).await;
        (answer.status == StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!(report.text("/organization_status"), "pending");
    let admin = Admin::sign_in(&system).await;
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
}
