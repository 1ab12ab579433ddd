//! Goal: what is refused changes nothing and is shown; who reports from another network raises nothing;
//! and an admin can put a refused count in the place of the recorded one, which is billed once.
//! Method: a whole system, over its public doors, and Stripe's own books in the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::actors::{Admin, Answer, Instance, TOKEN, now, terms};
use billing_e2e::{Service, System};
use billing_harness::eventually;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

const HOME: &str = "203.0.113.7";
const HOME_TOO: &str = "203.0.113.200";
const ELSEWHERE: &str = "198.51.100.9";

/// The id of a report that was acknowledged.
fn taken(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.text("/report_id").to_owned()
}

async fn intake(admin: &Admin, organization: Uuid) -> Value {
    let path = format!("/api/admin/organizations/{organization}/intake");
    let answer = admin.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.json
}

async fn replace(admin: &Admin, conflict: &Value) -> Answer {
    let id = conflict["id"].as_str().unwrap();
    let path = format!("/api/admin/report-conflicts/{id}/replace");
    admin.post(&path, &json!({})).await
}

fn yesterday(hours: i64) -> DateTime<Utc> {
    let today = now().date_naive().and_time(NaiveTime::MIN).and_utc();
    today - TimeDelta::days(1) + TimeDelta::hours(hours)
}

/// An organization of 45 users whose subscription began three days ago, by Stripe's clock.
async fn linked(system: &System, admin: &Admin) -> Instance {
    let instance = Instance::of(system).at_address(HOME);
    let start = now() - TimeDelta::days(3);
    taken(&instance.report(45, start - TimeDelta::hours(1)).await);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

/// A report that was answered 409 renamed a pending organization, and the link made a customer of the
/// refused name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_renames_nobody_and_is_shown() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let one = Instance::named(&system, billing_e2e::actors::new_organization(), "One");
    let id = one.organization;
    let at = now() - TimeDelta::hours(1);
    let two = async |users: i64, at: DateTime<Utc>| {
        let mut body = one.report_body(users, at);
        body["organization_name"] = json!("Two");
        body["instance_url"] = json!("evil.example");
        one.clone()
            .at_address(ELSEWHERE)
            .post(Some(TOKEN), &body)
            .await
    };
    let first = taken(&one.report(45, at).await);
    assert_eq!(two(46, at).await.status, StatusCode::CONFLICT);
    // The same count is the same report, whose name stays.
    assert_eq!(taken(&two(45, at).await), first);
    let listed = admin.listed("pending", id).await.unwrap();
    assert_eq!(listed["name"], "One", "{listed}");
    assert_eq!(listed["instance_url"], "acme.vaultai.eu", "{listed}");
    assert_eq!(listed["user_count"], 45, "{listed}");

    let shown = intake(&admin, id).await;
    let conflicts = shown["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "{shown}");
    assert_eq!(conflicts[0]["user_count"], 46);
    assert_eq!(conflicts[0]["recorded_user_count"], 45);
    assert_eq!(conflicts[0]["source_address"], ELSEWHERE);
    assert_eq!(shown["last_refusal"]["reason"], "conflict", "{shown}");
    let networks = shown["networks"].as_array().unwrap();
    assert_eq!(
        networks.len(),
        1,
        "what is refused counts for no network: {shown}"
    );

    // The same while org-svc is away, and what is acknowledged then is told once it is back.
    system.kill_service(Service::Org);
    let spooled = at + TimeDelta::minutes(1);
    taken(&one.report(47, spooled).await);
    assert_eq!(two(48, spooled).await.status, StatusCode::CONFLICT);
    system.start_service(Service::Org);
    let admin = eventually("org-svc answers", async || {
        let answer = admin.get("/api/admin/organizations").await;
        (answer.status == StatusCode::OK).then_some(&admin)
    })
    .await;
    eventually("the spooled report is recorded", async || {
        (admin.reports(id).await.len() == 2).then_some(())
    })
    .await;
    let listed = admin.listed("pending", id).await.unwrap();
    assert_eq!(listed["name"], "One", "{listed}");
    // A report that is taken does rename it.
    taken(&two(49, at + TimeDelta::minutes(2)).await);
    let listed = admin.listed("pending", id).await.unwrap();
    assert_eq!(listed["name"], "Two", "{listed}");
}

/// PostHog/posthog PR#9368: one ill-formed character lost the whole report, and nobody saw it.
#[tokio::test(flavor = "multi_thread")]
async fn fm28_the_last_refusal_names_its_field_and_is_shown() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let known = Instance::of(&system);
    let ahead = Instance::of(&system);
    let broken = Instance::of(&system);
    for instance in [&known, &ahead, &broken] {
        taken(&instance.report(45, now()).await);
    }
    let body = known.report_body(46, now()).to_string();
    let answer = known
        .post_text(&body.replace("Acme Corp", "Acme \\ud83d"))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{:?}", answer.json);
    assert_eq!(answer.text("/error/fields/0/field"), "organization_name");
    let shown = intake(&admin, known.organization).await;
    let message = shown["last_refusal"]["message"].as_str().unwrap();
    assert!(
        message.contains("organization_name: It has an escape that is half"),
        "{shown}"
    );

    // A clock that is six minutes ahead.
    let late = ahead.report(46, now() + TimeDelta::minutes(6)).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
    let shown = intake(&admin, ahead.organization).await;
    let message = shown["last_refusal"]["message"].as_str().unwrap();
    assert!(
        message.contains("timestamp") && message.contains("ahead"),
        "{shown}"
    );

    let half = format!("{{\"organization_id\":\"{}\",", broken.organization);
    assert_eq!(
        broken.post_text(&half).await.status,
        StatusCode::BAD_REQUEST
    );
    let shown = intake(&admin, broken.organization).await;
    assert_eq!(shown["last_refusal"]["reason"], "unreadable", "{shown}");

    // Of an organization that nobody knows nothing is kept.
    let stranger = Instance::of(&system);
    assert_eq!(
        stranger.report(-1, now()).await.status,
        StatusCode::BAD_REQUEST
    );
    let shown = intake(&admin, stranger.organization).await;
    assert_eq!(shown["last_refusal"], Value::Null);
}

/// A stranger with the shared token raised the count of a day, as often as it liked.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_report_of_a_day_from_another_network_raises_nothing() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let home = linked(&system, &admin).await;
    let id = home.organization;
    let (home_too, elsewhere) = (home.at_address(HOME_TOO), home.at_address(ELSEWHERE));
    let report = async |from: &Instance, users, hours, state: &[&str]| {
        let report = taken(&from.report(users, yesterday(hours)).await);
        admin.delivered(id, &report, state).await
    };
    report(&home, 45, 1, &["sent"]).await;
    let row = report(&elsewhere, 50, 2, &["held"]).await;
    assert_eq!(row["error"]["code"], "new_network", "{row}");
    // Nor does a report of another time, which nobody would miss, make the network a known one.
    let long_ago = "2001-01-01T00:00:00Z".parse().unwrap();
    let ancient = taken(&elsewhere.report(45, long_ago).await);
    admin.delivered(id, &ancient, &["not_billed"]).await;
    report(&elsewhere, 50, 21, &["held"]).await;
    // To repeat the count first does not help.
    report(&elsewhere, 45, 3, &["sent"]).await;
    report(&elsewhere, 51, 4, &["held"]).await;
    // The same network, another address.
    report(&home_too, 52, 5, &["sent"]).await;

    let shown = intake(&admin, id).await;
    let networks: Vec<_> = shown["networks"].as_array().unwrap().iter().collect();
    let network = |name: &str| networks.iter().find(|it| it["network"] == name).unwrap();
    assert_eq!(network("203.0.113.0/24")["known"], true, "{shown}");
    assert_eq!(network("198.51.100.0/24")["known"], false, "{shown}");
    assert_eq!(network("198.51.100.0/24")["report_count"], 5, "{shown}");

    // Through the spool it is the same.
    system.kill_service(Service::Org);
    let spooled = taken(&elsewhere.report(60, yesterday(6)).await);
    system.start_service(Service::Org);
    eventually("org-svc answers", async || {
        let answer = admin.get("/api/admin/organizations").await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    admin.delivered(id, &spooled, &["held"]).await;

    // Once an admin releases one, its network is known.
    let path = format!("/api/admin/organizations/{id}/held-reports/release");
    let released = admin.post(&path, &json!({ "report_ids": [spooled] })).await;
    assert_eq!(released.status, StatusCode::OK, "{:?}", released.json);
    admin.delivered(id, &spooled, &["sent"]).await;
    report(&elsewhere, 61, 7, &["sent"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_count_takes_the_place_of_the_recorded_one_and_is_billed_once() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;

    // Not linked yet: it is written over.
    let pending = Instance::of(&system);
    let first = taken(&pending.report(45, yesterday(1)).await);
    assert_eq!(
        pending.report(46, yesterday(1)).await.status,
        StatusCode::CONFLICT
    );
    let conflict = intake(&admin, pending.organization).await["conflicts"][0].clone();
    for _ in 0..2 {
        let replaced = replace(&admin, &conflict).await;
        assert_eq!(replaced.status, StatusCode::OK, "{:?}", replaced.json);
        assert_eq!(replaced.text("/report/id"), first);
        assert_eq!(replaced.json["report"]["user_count"], 46);
    }
    let listed = admin.listed("pending", pending.organization).await.unwrap();
    assert_eq!(listed["user_count"], 46, "{listed}");
    assert_eq!(taken(&pending.report(46, yesterday(1)).await), first);

    // Sent: it follows as a later report of the day, and the day counts it alone.
    let instance = linked(&system, &admin).await;
    let id = instance.organization;
    let sent = taken(&instance.report(45, yesterday(1)).await);
    admin.delivered(id, &sent, &["sent"]).await;
    assert_eq!(
        instance.report(47, yesterday(1)).await.status,
        StatusCode::CONFLICT
    );
    let conflict = intake(&admin, id).await["conflicts"][0].clone();
    let replaced = replace(&admin, &conflict).await;
    assert_eq!(replaced.status, StatusCode::OK, "{:?}", replaced.json);
    let later = replaced.text("/report/id").to_owned();
    assert_ne!(later, sent);
    admin.delivered(id, &later, &["sent"]).await;
    let again = replace(&admin, &conflict).await;
    assert_eq!(again.text("/report/id"), later);
    let events = system.stripe.ledger().meter_events.into_iter();
    let values: Vec<_> = events.map(|event| event.value).collect();
    assert_eq!(
        values,
        ["45", "47"],
        "Stripe counts the one that it received last"
    );
    let shown = intake(&admin, id).await;
    assert_eq!(shown["conflicts"][0]["replacement_id"], later, "{shown}");

    let trail = eventually("it is in the audit trail", async || {
        let answer = admin
            .get("/api/admin/audit-events?action=report.replaced")
            .await;
        let events = answer.json["events"].as_array()?.clone();
        (events.len() == 2).then_some(events)
    })
    .await;
    assert_eq!(trail[0]["after"]["user_count"], 47, "{trail:?}");
    let nobody = json!({ "id": Uuid::nil() });
    assert_eq!(replace(&admin, &nobody).await.status, StatusCode::NOT_FOUND);
}
