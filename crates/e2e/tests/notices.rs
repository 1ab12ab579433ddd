//! Goal: what somebody should know of reaches the operator's own channel, once, whichever service knows of
//! it; and what does not reach it is shown.
//! Method: a whole system, and a receiver over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use billing_e2e::actors::{Admin, Answer, Instance, TOKEN, now, terms};
use billing_e2e::{Service, System};
use billing_harness::eventually;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect, FaultResponse};
use tokio::net::TcpListener;

const METER_EVENTS: &str = "POST /v1/billing/meter_events";

#[derive(Debug)]
struct Book {
    notices: Vec<Value>,
    answer: StatusCode,
}

/// The operator's own channel.
#[derive(Debug, Clone)]
struct Receiver {
    url: String,
    book: Arc<Mutex<Book>>,
}

impl Receiver {
    async fn start() -> Self {
        let book = Arc::new(Mutex::new(Book {
            notices: Vec::new(),
            answer: StatusCode::NO_CONTENT,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/hook", post(take))
            .with_state(Arc::clone(&book));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, book }
    }

    fn answer(&self, answer: StatusCode) {
        self.book.lock().unwrap().answer = answer;
    }

    /// What was told of an organization.
    fn told(&self, kind: &str, instance: &Instance) -> Vec<Value> {
        let notices = self.book.lock().unwrap().notices.clone();
        let id = instance.organization.to_string();
        notices
            .into_iter()
            .filter(|it| it["type"] == kind && it["data"]["organization_id"] == id)
            .collect()
    }

    /// What was told of an organization's silence.
    fn told_silent(&self, instance: &Instance) -> Vec<Value> {
        let notices = self.book.lock().unwrap().notices.clone();
        let id = instance.organization.to_string();
        notices
            .iter()
            .filter(|it| it["type"] == "instances.silent")
            .flat_map(|it| it["data"]["instances"].as_array().unwrap().clone())
            .filter(|it| it["organization_id"] == id)
            .collect()
    }

    async fn eventually(&self, kind: &str, instance: &Instance) -> Value {
        let what = format!("{kind} is told");
        let notice = eventually(&what, async || self.told(kind, instance).pop()).await;
        let data = notice["data"].clone();
        assert_eq!(data["organization_name"], "Acme Corp", "{data}");
        data
    }
}

async fn take(State(book): State<Arc<Mutex<Book>>>, Json(notice): Json<Value>) -> StatusCode {
    let mut book = book.lock().unwrap();
    if book.answer.is_success() {
        book.notices.push(notice);
    }
    book.answer
}

/// The id of a report that was acknowledged.
fn taken(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.text("/report_id").to_owned()
}

/// An organization of 45 users whose trial of four days began then, by Stripe's clock.
async fn linked_at(system: &System, admin: &Admin, start: DateTime<Utc>) -> Instance {
    let instance = Instance::of(system);
    taken(&instance.report(45, start - TimeDelta::hours(1)).await);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

async fn assert_told_of_silence(receiver: &Receiver, instance: &Instance, since: DateTime<Utc>) {
    let told = eventually("silence is told", async || {
        receiver.told_silent(instance).pop()
    })
    .await;
    assert_eq!(told["organization_name"], "Acme Corp", "{told}");
    assert_eq!(told["user_count"], 45, "{told}");
    let silent_since: DateTime<Utc> = told["silent_since"].as_str().unwrap().parse().unwrap();
    assert_eq!(silent_since.timestamp(), since.timestamp());
}

/// One report is counted and listed as urgent.
async fn assert_urgent(admin: &Admin, instance: &Instance, report: &str) {
    let listed = admin.get("/api/admin/held-reports?urgent=true").await;
    let reports = listed.json["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["id"], report);
    assert_eq!(reports[0]["organization_id"], json!(instance.organization));
    let summary = admin.get("/api/admin/reporting").await;
    assert_eq!(
        summary.json["urgent_held_report_count"], 1,
        "{:?}",
        summary.json
    );
    let wrong = admin.get("/api/admin/held-reports?urgent=maybe").await;
    assert_eq!(wrong.status, 400, "{:?}", wrong.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_holds_and_refusals_reach_the_operators_channel_once() {
    let receiver = Receiver::start().await;
    let system = System::start_telling(&receiver.url).await;
    let admin = Admin::sign_in(&system).await;
    // Its trial ends in twelve hours, and an hour later its invoice is final.
    let start = now() - TimeDelta::hours(84);
    let at = |minutes| now() - TimeDelta::minutes(minutes);

    let silent = linked_at(&system, &admin, start).await;
    assert_told_of_silence(&receiver, &silent, start).await;

    let jumping = linked_at(&system, &admin, start).await;
    taken(&jumping.report(46, at(60)).await);
    let held = taken(&jumping.report(40_000, at(50)).await);
    let told = receiver.eventually("report.held", &jumping).await;
    assert_eq!(told["report_id"], held, "{told}");
    let facts = (&told["reason"], &told["user_count"], &told["instance_url"]);
    let expected = (
        &json!("count_jump"),
        &json!(40_000),
        &json!("acme.vaultai.eu"),
    );
    assert_eq!(facts, expected, "{told}");
    let told = receiver.eventually("hold.ending", &jumping).await;
    let deadline: DateTime<Utc> = told["hold_deadline"].as_str().unwrap().parse().unwrap();
    let left = deadline - now();
    assert!(
        left > TimeDelta::hours(12) && left < TimeDelta::hours(14),
        "{told}"
    );
    assert_urgent(&admin, &jumping, &held).await;

    let elsewhere = linked_at(&system, &admin, start).await;
    let again = taken(&jumping.report(41_000, at(40)).await);
    admin
        .delivered(jumping.organization, &again, &["held"])
        .await;
    let mut body = elsewhere.report_body(45, at(30));
    body["instance_url"] = json!("elsewhere.example");
    taken(&elsewhere.post(Some(TOKEN), &body).await);
    let told = receiver.eventually("report.held", &elsewhere).await;
    assert_eq!(told["reason"], "other_url", "{told}");

    let mut refusal = FaultResponse::status(400);
    refusal.error = Some(json!({
        "type": "invalid_request_error",
        "code": "resource_missing",
        "message": "There is no such customer.",
    }));
    let refusal = FaultEffect::Respond(refusal);
    system
        .stripe
        .inject(Fault::once(METER_EVENTS, refusal))
        .unwrap();
    let report = taken(&elsewhere.report(46, at(20)).await);
    let told = receiver.eventually("delivery.refused", &elsewhere).await;
    assert_eq!(told["report_id"], report, "{told}");
    assert_eq!(told["code"], "resource_missing", "{told}");

    // All that came meanwhile was the same to whoever is told.
    assert_eq!(receiver.told_silent(&silent).len(), 1);
    assert_eq!(receiver.told("hold.ending", &jumping).len(), 1);
    let held = receiver.told("report.held", &jumping);
    let days: BTreeSet<_> = held
        .iter()
        .map(|it| {
            it["occurred_at"]
                .as_str()
                .unwrap()
                .split_once('T')
                .unwrap()
                .0
        })
        .collect();
    assert_eq!(days.len(), held.len(), "one a UTC day: {held:?}");
}

/// The report itself waits in the spool meanwhile, and is held once it is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_org_svc_was_away_is_told_once_it_is_back() {
    let receiver = Receiver::start().await;
    let mut system = System::start_telling(&receiver.url).await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_at(&system, &admin, now() - TimeDelta::hours(20)).await;
    let usual = taken(&instance.report(46, now() - TimeDelta::hours(3)).await);
    admin
        .delivered(instance.organization, &usual, &["sent"])
        .await;
    system.kill_service(Service::Org);
    let held = taken(&instance.report(40_000, now() - TimeDelta::hours(2)).await);
    system.start_service(Service::Org);
    let told = receiver.eventually("report.held", &instance).await;
    assert_eq!(told["report_id"], held, "{told}");
    let db = system.database().connect().await;
    let left = sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT 1 FROM notices_to_tell LIMIT 1",
    );
    eventually("nothing is left to be told", async || {
        let left = db.query_one_raw(left.clone()).await.unwrap();
        left.is_none().then_some(())
    })
    .await;
    assert_eq!(receiver.told("report.held", &instance).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_channel_does_not_take_is_shown() {
    let receiver = Receiver::start().await;
    receiver.answer(StatusCode::SERVICE_UNAVAILABLE);
    let system = System::start_telling(&receiver.url).await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    taken(&instance.report(7, now() - TimeDelta::hours(1)).await);
    let notice = eventually("the notice failed once", async || {
        let answer = admin.get("/api/admin/notices?state=queued&limit=5").await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        let notice = answer.json["notices"][0].clone();
        notice["error_message"].is_string().then_some(notice)
    })
    .await;
    assert_eq!(notice["type"], "organizations.pending", "{notice}");
    assert_eq!(notice["state"], "queued");
    assert_eq!(notice["error_message"], "It answered with status 503.");
    let organization = &notice["data"]["organizations"][0];
    assert_eq!(organization["id"], instance.organization.to_string());
    let given_up = admin.get("/api/admin/notices?state=given_up").await;
    assert_eq!(given_up.json, json!({"notices": [], "next_cursor": null}));
    let nonsense = admin.get("/api/admin/notices?state=sent").await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);
    assert_eq!(nonsense.text("/error/fields/0/field"), "state");
    let cursor = admin.get("/api/admin/notices?cursor=x").await;
    assert_eq!(cursor.status, StatusCode::BAD_REQUEST);
    assert_eq!(cursor.text("/error/fields/0/field"), "cursor");
}
