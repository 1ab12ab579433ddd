//! Goal: what went wrong in systems that do a similar job does not go wrong here. Each test carries
//! the number of its row in docs/TESTING.md, which names the others, at the doors of one service.
//! Method: a whole system, and Stripe's own books in the end.

use std::collections::BTreeMap;

use billing_e2e::actors::{Admin, Answer, Instance, now, terms};
use billing_e2e::{Service, System};
use billing_harness::eventually;
use chrono::{DateTime, Days, NaiveTime, SecondsFormat, TimeDelta, Utc};
use futures::future::join_all;
use reqwest::StatusCode;

/// An organization whose subscription began so many days ago, by Stripe's clock.
async fn linked_days_ago(system: &System, admin: &Admin, days: i64) -> Instance {
    let instance = Instance::of(system);
    let start = now() - TimeDelta::days(days);
    let answer = instance.report(1, start - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

fn midnight(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// What Stripe's ledger holds: when and how many.
fn counted(system: &System) -> BTreeMap<i64, String> {
    let events = system.stripe.ledger().meter_events.into_iter();
    events.map(|event| (event.timestamp, event.value)).collect()
}

/// openmeter#5118: an event was marked as seen before it was durably written; the retry was answered
/// with OK, and the event was gone.
#[tokio::test(flavor = "multi_thread")]
async fn fm03_what_was_acknowledged_is_there_after_a_kill_and_a_retry_is_taken_once() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instances: Vec<_> = (0..20).map(|_| Instance::of(&system)).collect();
    let at = now();
    let reports = instances
        .iter()
        .cloned()
        .map(|instance| tokio::spawn(async move { instance.report(45, at).await }));
    let reports: Vec<_> = reports.collect();
    system.kill_service(Service::Ingest);
    let told = join_all(reports).await;
    system.start_service(Service::Ingest);

    for (instance, told) in instances.iter().zip(told) {
        let told = told.unwrap();
        let again = eventually("the same report again is taken", async || {
            let again = instance.report(45, at).await;
            (again.status == StatusCode::OK).then_some(again)
        })
        .await;
        if told.status == StatusCode::OK {
            assert_eq!(told.text("/report_id"), again.text("/report_id"));
        } else {
            assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        let rows = admin.reports(instance.organization).await;
        assert_eq!(rows.keys().collect::<Vec<_>>(), [again.text("/report_id")]);
    }
}

/// killbill#1856, lago-api#879, lago-api#2244: time zones and period ends billed twice, or lost the
/// last day.
#[tokio::test(flavor = "multi_thread")]
async fn fm07_a_report_belongs_to_its_utc_day_whatever_zone_it_was_written_in() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 3).await;
    let today = midnight(now());
    let last_second = today - TimeDelta::seconds(1);
    for (users, at, offset_hours) in [(7, last_second, 14), (9, today, -12)] {
        let zone = chrono::FixedOffset::east_opt(offset_hours * 3_600).unwrap();
        let text = at
            .with_timezone(&zone)
            .to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut body = instance.report_body(users, at);
        body["timestamp"] = text.into();
        let answer = instance.post(Some(billing_e2e::actors::TOKEN), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        admin
            .delivered(instance.organization, answer.text("/report_id"), &["sent"])
            .await;
    }
    let expected = [(last_second.timestamp(), "7"), (today.timestamp(), "9")];
    assert_eq!(
        counted(&system),
        expected.map(|(at, users)| (at, users.to_owned())).into()
    );
}

/// theanswer#624: a backlog with days of more than 35 days ago was refused as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn fm09_of_a_backlog_only_what_is_too_old_is_left_out_and_shown() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 40).await;
    let days_ago = |days| now() - Days::new(days);
    let mut answers: Vec<(Answer, &str)> = Vec::new();
    for (days, state) in [
        (39, "too_late"),
        (36, "too_late"),
        (34, "sent"),
        (1, "sent"),
    ] {
        answers.push((instance.report(45, days_ago(days)).await, state));
    }
    for (answer, state) in answers {
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        admin
            .delivered(instance.organization, answer.text("/report_id"), &[state])
            .await;
    }
    assert_eq!(counted(&system).len(), 2);
}
