//! Goal: an instance that says nothing is seen, and so is one that says what nobody would have
//! expected, before that is billed. Each test carries the number of its row in docs/TESTING.md.
//! Method: a whole system, over its public doors, and Stripe's own books in the end.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use billing_e2e::actors::{Admin, Answer, Instance, TOKEN, now, terms};
use billing_e2e::{Service, System};
use billing_harness::eventually;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};

const FORGED_URL: &str = "elsewhere.example";

/// An organization of 45 users whose subscription began so many days ago, by Stripe's clock.
async fn linked_days_ago(system: &System, admin: &Admin, days: i64) -> Instance {
    let instance = Instance::of(system);
    let start = now() - TimeDelta::days(days);
    taken(&instance.report(45, start - TimeDelta::hours(1)).await);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

/// The id of a report that was acknowledged.
fn taken(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.text("/report_id").to_owned()
}

fn ids(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The organizations that are silent, page by page.
async fn silent(admin: &Admin, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path =
            format!("/api/admin/organizations?silent=true&limit={limit}&linked_cursor={cursor}");
        let answer = admin.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        assert_eq!(answer.json["organizations"]["pending"], json!([]));
        let linked = &answer.json["organizations"]["linked"];
        assert!(linked.as_array().unwrap().len() <= limit);
        found.extend(ids(linked));
        match answer.json["next_linked_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return found,
        }
    }
}

async fn state_of(admin: &Admin, kind: &str, instance: &Instance) -> Value {
    let row = admin.listed(kind, instance.organization).await.unwrap();
    row.get("reporting_state").cloned().unwrap_or_default()
}

/// PostHog#14440, zulip#28959, zulip#34717: an instance that said nothing looked like one without users.
#[tokio::test(flavor = "multi_thread")]
async fn fm14_an_instance_that_stops_reporting_is_shown_and_counted() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let hours_ago = |hours| now() - TimeDelta::hours(hours);
    let on_time = linked_days_ago(&system, &admin, 5).await;
    taken(&on_time.report(46, hours_ago(1)).await);
    let late = linked_days_ago(&system, &admin, 5).await;
    taken(&late.report(47, hours_ago(30)).await);
    let gone = linked_days_ago(&system, &admin, 5).await;
    taken(&gone.report(48, hours_ago(60)).await);
    let never = linked_days_ago(&system, &admin, 4).await;
    let pending = Instance::of(&system);
    taken(&pending.report(7, hours_ago(300)).await);

    let both = [&never, &gone].map(|it| it.organization.to_string());
    eventually("those who are silent are known to be billed", async || {
        (silent(&admin, 50).await == both).then_some(())
    })
    .await;
    assert_eq!(silent(&admin, 1).await, both, "the longest first");
    for (instance, state) in [(&on_time, "on_time"), (&late, "late"), (&gone, "silent")] {
        assert_eq!(state_of(&admin, "linked", instance).await, state);
    }
    assert_eq!(state_of(&admin, "pending", &pending).await, Value::Null);
    let searched = format!("/api/admin/organizations?silent=true&q={}", both[1]);
    let searched = admin.get(&searched).await;
    let linked = &searched.json["organizations"]["linked"];
    assert_eq!(ids(linked), both[1..]);

    let day = hours_ago(60).date_naive().to_string();
    let (summary, counted) = eventually("users are counted, day by day", async || {
        let answer = admin.get("/api/admin/reporting").await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        // 45 are of the instance that said nothing since its link.
        if answer.json["user_count"] != 46 + 47 + 48 + 45 + 7 {
            return None;
        }
        // Each day is counted for itself, the latest first.
        let mut days = answer.json["days"].as_array().unwrap().iter();
        let counted = days.find(|it| it["day"] == day)?.clone();
        Some((answer.json, counted))
    })
    .await;
    assert_eq!(summary["late_count"], 1, "{summary}");
    assert_eq!(summary["silent_count"], 2, "{summary}");
    assert_eq!(counted["user_count"], 48, "{summary}");

    taken(&gone.report(50, now()).await);
    assert_eq!(silent(&admin, 50).await, both[..1]);
    let nonsense = admin.get("/api/admin/organizations?silent=maybe").await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);
}

async fn decide(admin: &Admin, instance: &Instance, decision: &str, body: &Value) -> Answer {
    let id = instance.organization;
    let path = format!("/api/admin/organizations/{id}/held-reports/{decision}");
    admin.post(&path, body).await
}

async fn held(admin: &Admin, instance: &Instance) -> Vec<Value> {
    let path = format!(
        "/api/admin/held-reports?organization_id={}",
        instance.organization
    );
    let answer = admin.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.json["reports"].as_array().unwrap().clone()
}

/// What Stripe's meter holds, in the order in which it came.
fn counted(system: &System) -> Vec<String> {
    let events = system.stripe.ledger().meter_events.into_iter();
    events.map(|event| event.value).collect()
}

/// So many hours into yesterday, which the subscription saw as a whole.
fn yesterday(hours: i64) -> DateTime<Utc> {
    let today = now().date_naive().and_time(NaiveTime::MIN).and_utc();
    today - TimeDelta::days(1) + TimeDelta::hours(hours)
}

/// kots#5933, twenty#22464: a restored backup put many installations under one id, and each counted for
/// the other.
#[tokio::test(flavor = "multi_thread")]
async fn fm16_a_linked_organization_that_reports_from_another_url_is_held_and_shown() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 3).await;
    let id = instance.organization;
    let from_elsewhere = async |users, at| {
        let mut body = instance.report_body(users, at);
        body["instance_url"] = json!(FORGED_URL);
        taken(&instance.post(Some(TOKEN), &body).await)
    };
    let first = taken(&instance.report(46, yesterday(3)).await);
    admin.delivered(id, &first, &["sent"]).await;
    let other = from_elsewhere(46, yesterday(4)).await;
    let row = admin.delivered(id, &other, &["held"]).await;
    assert_eq!(row["error"]["code"], "other_url", "{row}");
    // What is as expected does not wait for it.
    let second = taken(&instance.report(47, yesterday(5)).await);
    admin.delivered(id, &second, &["sent"]).await;
    assert_eq!(counted(&system), ["46", "47"]);

    let report = eventually("the deadline is known", async || {
        let report = held(&admin, &instance).await.remove(0);
        report["hold_deadline"].is_string().then_some(report)
    })
    .await;
    assert_eq!(report["id"], other);
    assert_eq!(report["reason"], "other_url");
    assert_eq!(report["instance_url"], FORGED_URL);
    assert_eq!(report["baseline_instance_url"], "acme.vaultai.eu");
    assert_eq!(report["organization_name"], "Acme Corp");
    let organization = admin.listed("linked", id).await.unwrap();
    assert_eq!(organization["held_report_count"], 1);

    let these = json!({ "report_ids": [other] });
    for _ in 0..2 {
        let discarded = decide(&admin, &instance, "discard", &these).await;
        assert_eq!(discarded.status, StatusCode::OK, "{:?}", discarded.json);
        let report = &discarded.json["reports"][0];
        assert_eq!(report["delivery_state"], "not_billed");
        assert_eq!(report["error"]["code"], "discarded");
        assert_eq!(discarded.json["held_report_count"], 0);
    }
    let released = decide(&admin, &instance, "release", &these).await;
    assert_eq!(released.status, StatusCode::BAD_REQUEST);
    assert_eq!(released.text("/error/fields/0/field"), "report_ids");
    let again = from_elsewhere(46, yesterday(6)).await;
    admin.delivered(id, &again, &["held"]).await;
    assert_eq!(counted(&system), ["46", "47"]);
}

/// What hides behind the reason of a group stays held when the group is released.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_releases_only_what_its_own_reason_held() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 3).await;
    let id = instance.organization;
    let from_elsewhere = async |users, at| {
        let mut body = instance.report_body(users, at);
        body["instance_url"] = json!(FORGED_URL);
        taken(&instance.post(Some(TOKEN), &body).await)
    };
    let moved = from_elsewhere(46, yesterday(3)).await;
    let forged = from_elsewhere(450_000, yesterday(4)).await;
    for report in [&moved, &forged] {
        let row = admin.delivered(id, report, &["held"]).await;
        assert_eq!(row["error"]["code"], "other_url", "{row}");
    }
    let groups = admin.get("/api/admin/held-groups").await;
    let group = &groups.json["groups"][0];
    let decided = admin
        .post(
            "/api/admin/held-groups/decide",
            &json!({
                "reason": group["reason"],
                "cause": group["cause"],
                "decision": "release",
                "received_until": group["last_received_at"],
            }),
        )
        .await;
    assert_eq!(decided.status, StatusCode::OK, "{:?}", decided.json);
    admin.delivered(id, &moved, &["sent"]).await;
    let row = admin.delivered(id, &forged, &["held"]).await;
    assert_eq!(row["error"]["code"], "count_jump", "{row}");
    assert_eq!(counted(&system), ["46"]);
}

/// Another rule's reports stay held.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_switched_off_releases_what_it_alone_held() {
    let mut system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 3).await;
    let id = instance.organization;
    let first = taken(&instance.report(46, yesterday(3)).await);
    admin.delivered(id, &first, &["sent"]).await;
    let from_elsewhere = async |users, at| {
        let mut body = instance.report_body(users, at);
        body["instance_url"] = json!(FORGED_URL);
        taken(&instance.post(Some(TOKEN), &body).await)
    };
    let moved = from_elsewhere(47, yesterday(4)).await;
    admin.delivered(id, &moved, &["held"]).await;
    let grown = taken(&instance.report(9_000, yesterday(5)).await);
    admin.delivered(id, &grown, &["held"]).await;

    system.restart_with(Service::Ingest, "HOLD_OTHER_URL", "false");
    admin.delivered(id, &moved, &["sent"]).await;
    let row = admin.delivered(id, &grown, &["held"]).await;
    assert_eq!(row["error"]["code"], "count_jump", "{row}");
    assert_eq!(counted(&system), ["46", "47"]);
    let next = from_elsewhere(48, yesterday(6)).await;
    admin.delivered(id, &next, &["sent"]).await;
}

/// react-doctor#1677, frappe/atlas#142: a shared token, read out of the package, forged another tenant's
/// usage.
#[tokio::test(flavor = "multi_thread")]
async fn fm17_a_forged_report_is_not_billed_until_an_admin_releases_it() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 3).await;
    let id = instance.organization;
    let report = async |users, hours, state| {
        let report = taken(&instance.report(users, yesterday(hours)).await);
        admin.delivered(id, &report, &[state]).await;
        report
    };
    report(46, 1, "sent").await;
    let forged = [
        report(40_000, 2, "held").await,
        report(41_000, 3, "held").await,
    ];
    report(47, 4, "sent").await;
    let none_left = report(0, 5, "sent").await;
    // 47 seats are too few to tell.
    assert_eq!(counted(&system), ["46", "47", "0"]);
    assert!(!none_left.is_empty());
    let summary = admin.get("/api/admin/reporting").await.json;
    assert_eq!(summary["held_report_count"], 2, "{summary}");
    assert_eq!(summary["held_organization_count"], 1, "{summary}");

    // They were no forgery. A later report of the day counts all the same.
    let released = decide(&admin, &instance, "release", &json!({"all": true})).await;
    assert_eq!(released.status, StatusCode::OK, "{:?}", released.json);
    assert_eq!(ids(&released.json["reports"]), forged);
    for report in &forged {
        admin.delivered(id, report, &["superseded"]).await;
    }
    let these = json!({ "report_ids": forged });
    for _ in 0..2 {
        let released = decide(&admin, &instance, "release", &these).await;
        assert_eq!(released.status, StatusCode::OK, "{:?}", released.json);
    }
    // What is like it is expected from now on, and that there is nobody left is not.
    report(42_000, 6, "sent").await;
    report(41_500, 7, "sent").await;
    report(0, 8, "held").await;
    assert_eq!(counted(&system), ["46", "47", "0", "42000", "41500"]);
    let both = json!({ "report_ids": forged, "all": true });
    let unclear = decide(&admin, &instance, "release", &both).await;
    assert_eq!(unclear.status, StatusCode::BAD_REQUEST);
    let stranger = Instance::of(&system);
    let nobody = decide(&admin, &stranger, "discard", &json!({"all": true})).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

/// A linked organization had 45 users. From another address 450, 4,500, 45,000 and 450,000 were sent within
/// ten seconds: each was compared with the one before, and all were billed.
#[tokio::test(flavor = "multi_thread")]
async fn fm17_a_count_that_grows_report_by_report_is_held_and_shown_nowhere_as_users() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 3).await;
    let id = instance.organization;
    let at = |seconds| yesterday(4) + TimeDelta::seconds(seconds);
    let usual = taken(&instance.report(46, at(0)).await);
    admin.delivered(id, &usual, &["sent"]).await;
    for (users, seconds) in [(450, 2), (4_500, 4), (45_000, 6), (450_000, 8)] {
        let forged = taken(&instance.report(users, at(seconds)).await);
        let row = admin.delivered(id, &forged, &["held"]).await;
        assert_eq!(row["counts"], false, "{row}");
    }
    assert_eq!(counted(&system), ["46"]);
    let first = held(&admin, &instance).await.remove(0);
    assert_eq!(first["reason"], "count_jump", "{first}");
    assert_eq!(first["baseline_user_count"], 45, "{first}");
    assert_eq!(first["limit_user_count"], 90, "{first}");
    // Everywhere the last report that counts is what is shown.
    let row = admin.listed("linked", id).await.unwrap();
    assert_eq!(
        (&row["user_count"], &row["held_report_count"]),
        (&json!(46), &json!(4))
    );
    let discarded = decide(&admin, &instance, "discard", &json!({"all": true})).await;
    assert_eq!(discarded.status, StatusCode::OK, "{:?}", discarded.json);
    let row = admin.listed("linked", id).await.unwrap();
    assert_eq!(row["user_count"], 46, "{row}");

    // Below half it counts, and is marked.
    let low = taken(&instance.report(20, at(20)).await);
    let row = admin.delivered(id, &low, &["sent"]).await;
    assert_eq!(
        (&row["count_low"], &row["counts"]),
        (&json!(true), &json!(true)),
        "{row}"
    );
    assert_eq!(row["baseline_user_count"], 45, "{row}");
    assert_eq!(counted(&system), ["46", "20"]);
}

/// backstage#3783: the same address with `:443`, a final dot or in punycode was another host. And a new
/// release that writes its URL differently was as many decisions as there are organizations.
#[tokio::test(flavor = "multi_thread")]
async fn fm31_a_place_is_one_place_and_a_new_release_is_one_decision() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let mut fleet = Vec::new();
    for _ in 0..3 {
        fleet.push(linked_days_ago(&system, &admin, 3).await);
    }
    let from = async |instance: &Instance, url: &str, hours| {
        let mut body = instance.report_body(46, yesterday(hours));
        body["instance_url"] = json!(url);
        taken(&instance.post(Some(TOKEN), &body).await)
    };
    for (url, hours) in [
        ("https://ACME.vaultai.eu:443/login", 1),
        ("acme.vaultai.eu.", 2),
        ("http://acme.vaultai.eu:80/", 3),
    ] {
        let same = from(&fleet[0], url, hours).await;
        admin
            .delivered(fleet[0].organization, &same, &["sent", "superseded"])
            .await;
    }
    let mut changed = Vec::new();
    for instance in &fleet {
        let report = from(instance, "app.acme.vaultai.eu", 5).await;
        admin
            .delivered(instance.organization, &report, &["held"])
            .await;
        changed.push(report);
    }
    let groups = admin.get("/api/admin/held-groups").await;
    assert_eq!(groups.status, StatusCode::OK, "{:?}", groups.json);
    let group = &groups.json["groups"][0];
    assert_eq!(group["cause"], "* to app.*", "{group}");
    assert_eq!(
        (&group["organization_count"], &group["report_count"]),
        (&json!(3), &json!(3))
    );
    let decision = json!({"reason": group["reason"], "cause": group["cause"], "decision": "release",
        "received_until": group["last_received_at"]});
    let decided = admin.post("/api/admin/held-groups/decide", &decision).await;
    assert_eq!(decided.status, StatusCode::OK, "{:?}", decided.json);
    assert_eq!(decided.json["report_count"], 3, "{:?}", decided.json);
    assert_eq!(decided.json["finished"], true, "{:?}", decided.json);
    for (instance, report) in fleet.iter().zip(&changed) {
        let id = instance.organization;
        admin.delivered(id, report, &["sent"]).await;
        // From now on that is where it is.
        let next = from(instance, "https://app.acme.vaultai.eu/", 6).await;
        admin.delivered(id, &next, &["sent"]).await;
    }
    let audited = admin
        .get("/api/admin/audit-events?action=held_reports.released")
        .await;
    let events = audited.json["events"].as_array().map(Vec::len);
    assert_eq!(events, Some(3), "{:?}", audited.json);
}
