//! Goal: an admin's script does over REST what its API key allows, for as long as the key lasts; the
//! audit trail tells its changes as the admin's own; what Stripe refused is found page by page.
//! Method: a whole system; keys made by an admin's session and shown as bearer tokens; the trail read as
//! JSON and as CSV.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use billing_e2e::System;
use billing_e2e::actors::{
    Admin, Answer, Instance, http, linked_instance, new_organization, now, terms,
};
use billing_harness::eventually;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect, FaultResponse};
use uuid::Uuid;

const KEYS: &str = "/api/admin/api-keys";
const TRAIL: &str = "/api/admin/audit-events";
/// What a spreadsheet would take for a formula, and mail servers for an address.
const FORMULA_EMAIL: &str = "+1+1@example.com";
const REFUSED: &str = "/api/admin/refused-reports";
const SUMMARIES: &str = "GET /v1/billing/meters/{id}/event_summaries";
const METER_EVENTS: &str = "POST /v1/billing/meter_events";
const PASSWORD: &str = "battery staple horse";

/// What a script knows: where to ask, and its key's secret.
struct Script {
    base_url: String,
    secret: String,
}

impl Script {
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Response {
        let request = http().request(method, format!("{}{path}", self.base_url));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.bearer_auth(&self.secret).send().await.unwrap()
    }

    /// The status, and the error's code where it is one.
    async fn outcome(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, String) {
        let response = self.ask(method, path, body).await;
        let status = response.status().as_u16();
        let json: Value = response.json().await.unwrap_or_default();
        let code = json.pointer("/error/code").and_then(Value::as_str);
        (status, code.unwrap_or_default().to_owned())
    }

    async fn reads(&self) -> (u16, String) {
        self.outcome(Method::GET, "/api/admin/organizations", None)
            .await
    }
}

/// A key of this admin, as its maker was told of it, and the script that holds it.
async fn make_key(admin: &Admin, body: &Value) -> (Answer, Script) {
    let made = admin.post(KEYS, body).await;
    assert_eq!(made.status, StatusCode::OK, "{:?}", made.json);
    let secret = made.text("/secret").to_owned();
    assert!(secret.starts_with("vbk_"), "{secret}");
    let base_url = admin.base_url.clone();
    (made, Script { base_url, secret })
}

/// The trail's events that this query picks.
async fn events(admin: &Admin, query: &str) -> Vec<Value> {
    let answer = admin.get(&format!("{TRAIL}?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {:?}", answer.json);
    let events = answer.json.pointer("/events").and_then(Value::as_array);
    events.unwrap().clone()
}

fn texts<'a>(events: &'a [Value], pointer: &str) -> Vec<&'a str> {
    let text = |event: &'a Value| event.pointer(pointer).and_then(Value::as_str);
    events.iter().filter_map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_key_reads_and_changes_nothing() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;
    let body = json!({ "name": "nightly export", "access": "read_only", "lifetime_days": 30 });
    let (made, script) = make_key(&admin, &body).await;
    let days = |pointer| {
        let time = DateTime::parse_from_rfc3339(made.text(pointer)).unwrap();
        time.to_utc().timestamp() / 86_400
    };
    assert_eq!(
        days("/api_key/expires_at") - days("/api_key/created_at"),
        30
    );

    let list = script.ask(Method::GET, "/api/admin/organizations", None);
    let list: Value = list.await.json().await.unwrap();
    let pending = list.pointer("/organizations/pending/0/id").unwrap();
    assert_eq!(*pending, json!(instance.organization));
    let one = format!("/api/admin/organizations/{}", instance.organization);
    let (preview, planned) = (format!("{one}/link/preview"), terms());
    let previewed = script.outcome(Method::POST, &preview, Some(&planned)).await;
    assert_eq!(previewed, (200, String::new()));

    let reason = json!({ "reason": "The contract ended." });
    let changes = [
        (Method::POST, format!("{one}/link"), terms()),
        (Method::POST, format!("{one}/unlink"), reason),
        (Method::PATCH, format!("{one}/subscription"), terms()),
        (
            Method::POST,
            format!("{one}/cancel"),
            json!({ "when": "now" }),
        ),
    ];
    for (method, path, body) in changes {
        let refused = script.outcome(method, &path, Some(&body)).await;
        assert_eq!(refused, (403, "api_key_read_only".to_owned()), "{path}");
    }
    let row = admin.listed("pending", instance.organization).await;
    assert!(row.is_some(), "it is pending as before");
    let changed = format!("organization_id={}", instance.organization);
    assert_eq!(
        texts(&events(&admin, &changed).await, "/api_key_id"),
        [""; 0]
    );

    // It is told once: the list has the key, and none of its secret but the beginning.
    let listed = admin.get(KEYS).await;
    assert_eq!(listed.text("/api_keys/0/name"), "nightly export");
    let prefix = listed.text("/api_keys/0/secret_prefix");
    assert!(
        script.secret.starts_with(prefix) && prefix.len() < 12,
        "{prefix}"
    );
    assert!(!listed.json.to_string().contains(&script.secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_key_links_and_the_trail_names_it() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;
    let (made, script) = make_key(&admin, &json!({ "name": "linker", "access": "full" })).await;
    let key = made.text("/api_key/id");

    let path = format!("/api/admin/organizations/{}/link", instance.organization);
    let linked = script.outcome(Method::POST, &path, Some(&terms())).await;
    assert_eq!(linked, (200, String::new()));
    assert_eq!(system.stripe.ledger().subscriptions.len(), 1);
    let of_it = format!(
        "organization_id={}&action=organization.linked",
        instance.organization
    );
    assert_eq!(texts(&events(&admin, &of_it).await, "/api_key_id"), [key]);

    // No key makes keys, so that one that leaked leaves nothing behind it.
    let another = json!({ "name": "another", "access": "full" });
    let refused = script.outcome(Method::POST, KEYS, Some(&another)).await;
    assert_eq!(refused, (403, "session_required".to_owned()));

    let revoke = format!("{KEYS}/{key}/revoke");
    for _ in 0..2 {
        let revoked = admin.post(&revoke, &json!({})).await;
        assert_eq!(revoked.status, StatusCode::OK, "{:?}", revoked.json);
        assert!(!revoked.text("/api_key/revoked_at").is_empty());
    }
    assert_eq!(script.reads().await.0, 401);
    let made_and_ended = events(&admin, &format!("actor={}", billing_e2e::ADMIN_EMAIL)).await;
    let actions = texts(&made_and_ended, "/action");
    for (action, times) in [("api_key.created", 1), ("api_key.revoked", 1)] {
        let found = actions.iter().filter(|found| **found == action).count();
        assert_eq!(found, times, "{action} in {actions:?}");
    }
    let nobodys = format!("{KEYS}/{}/revoke", Uuid::nil());
    let nobodys = admin.post(&nobodys, &json!({})).await;
    assert_eq!(nobodys.status, StatusCode::NOT_FOUND, "{:?}", nobodys.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_with_its_time() {
    let start = now();
    let system = System::start_at(start).await;
    let admin = Admin::sign_in(&system).await;
    let body = |days: u16| json!({ "name": "short", "access": "full", "lifetime_days": days });
    let (_, script) = make_key(&admin, &body(1)).await;
    for wrong in [0, 366] {
        let refused = admin.post(KEYS, &body(wrong)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    system
        .set_time(start + TimeDelta::days(1) - TimeDelta::seconds(1))
        .await;
    assert_eq!(script.reads().await.0, 200);
    system.set_time(start + TimeDelta::days(1)).await;
    assert_eq!(script.reads().await, (401, "unauthenticated".to_owned()));
}

/// Stripe's word that it knows nothing of the customer.
fn unknown_customer(status: u16) -> FaultEffect {
    let mut refusal = FaultResponse::status(status);
    refusal.error = Some(json!({
        "type": "invalid_request_error",
        "code": "resource_missing",
        "message": "No such customer",
    }));
    FaultEffect::Respond(refusal)
}

fn refuse_once(system: &System) {
    let refusal = Fault::once(METER_EVENTS, unknown_customer(400));
    system.stripe.inject(refusal).unwrap();
}

/// A report that Stripe refuses, by its id.
async fn refused_report(admin: &Admin, instance: &Instance, users: i64) -> String {
    let report = instance.report(users, now()).await;
    let id = report.text("/report_id").to_owned();
    admin
        .delivered(instance.organization, &id, &["refused"])
        .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_refused_is_sent_again_once_it_is_mended() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, _) = linked_instance(&system, &admin).await;
    let (_, reader) = make_key(&admin, &json!({ "name": "r", "access": "read_only" })).await;
    let (_, script) = make_key(&admin, &json!({ "name": "w", "access": "full" })).await;
    refuse_once(&system);
    let id = refused_report(&admin, &instance, 45).await;
    let path = format!("{REFUSED}/{id}/retry");
    let may_not = reader.outcome(Method::POST, &path, None).await;
    assert_eq!(may_not, (403, "api_key_read_only".to_owned()));

    // It is not mended yet: Stripe says the same of the event, and knows nothing of the customer's usage.
    for (route, status) in [(METER_EVENTS, 400), (SUMMARIES, 404)] {
        let refusal = Fault::always(route, unknown_customer(status));
        system.stripe.inject(refusal).unwrap();
    }
    let answer = admin.post(&path, &json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    assert_eq!(answer.text("/report/delivery_state"), "queued");
    let is_refused_again = async || {
        let answer = admin.get(REFUSED).await;
        (answer.json["reports"] != json!([])).then_some(())
    };
    eventually("it is refused again", is_refused_again).await;
    assert_eq!(system.stripe.ledger().meter_events.len(), 0);

    // Now it is. A second call finds it queued or sent.
    system.stripe.clear_faults();
    let both = tokio::join!(
        script.outcome(Method::POST, &path, None),
        script.outcome(Method::POST, &path, None),
    );
    let good = (200, String::new());
    assert_eq!(both, (good.clone(), good.clone()));
    let sent = admin.delivered(instance.organization, &id, &["sent"]).await;
    assert_eq!(sent["error"], Value::Null);
    assert_eq!(script.outcome(Method::POST, &path, None).await, good);
    let ledger = system.stripe.ledger();
    let counted: Vec<_> = ledger.meter_events.iter().map(|it| &it.value).collect();
    assert_eq!(counted, ["45"]);
    assert_eq!(admin.get(REFUSED).await.json["reports"], json!([]));

    let retried = "action=report.retried";
    let both = async || {
        let found = events(&admin, retried).await;
        (found.len() == 2).then_some(found)
    };
    let trail = eventually("the trail has both", both).await;
    for (event, key) in [(&trail[0], true), (&trail[1], false)] {
        assert_eq!(event["organization_id"], json!(instance.organization));
        assert_eq!(event["admin_email"], billing_e2e::ADMIN_EMAIL);
        assert_eq!(event["client_address"], "127.0.0.1");
        assert_eq!(event["api_key_id"].is_string(), key, "{event}");
        assert_eq!(event["before"]["error_code"], "resource_missing");
        assert_eq!(event["after"]["report_id"], id.as_str());
        assert_eq!(event["after"]["delivery_state"], "queued");
    }
    for (wrong, expected) in [
        (Uuid::nil().to_string(), (404, "report_not_found")),
        ("x".to_owned(), (400, "invalid_argument")),
    ] {
        let path = format!("{REFUSED}/{wrong}/retry");
        let (status, code) = script.outcome(Method::POST, &path, None).await;
        assert_eq!((status, code.as_str()), expected, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_refused_is_listed_page_by_page() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let path = REFUSED;
    let none = admin.get(path).await;
    assert_eq!(none.json, json!({ "reports": [], "next_cursor": null }));

    let mut refused = BTreeMap::new();
    for users in [45, 46, 47] {
        let (instance, _) = linked_instance(&system, &admin).await;
        refuse_once(&system);
        let id = refused_report(&admin, &instance, users).await;
        refused.insert(instance.organization.to_string(), (id, users));
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{path}?limit=1&cursor={cursor}")).await;
        assert_eq!(page.text("/reports/0/organization_name"), "Acme Corp");
        assert_eq!(page.text("/reports/0/report/delivery_state"), "refused");
        assert_eq!(
            page.text("/reports/0/report/error/code"),
            "resource_missing"
        );
        let users = page.json.pointer("/reports/0/report/user_count");
        listed.push((
            page.text("/reports/0/organization_id").to_owned(),
            (
                page.text("/reports/0/report/id").to_owned(),
                users.and_then(Value::as_i64).unwrap(),
            ),
        ));
        cursor = page.text("/next_cursor").to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(listed, refused.into_iter().collect::<Vec<_>>());
    for wrong in ["limit=0", "cursor=x"] {
        let wrong = admin.get(&format!("{path}?{wrong}")).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{:?}", wrong.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_filtered_and_paged() {
    let system = System::start().await;
    let before = now();
    let admin = Admin::sign_in(&system).await;
    let (first, _) = linked_instance(&system, &admin).await;
    linked_instance(&system, &admin).await;

    let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let of_first = format!("organization_id={}", first.organization);
    let linked = "action=organization.linked";
    let later = time(now() + TimeDelta::hours(1));
    for (query, expected) in [
        (linked.to_owned(), 2),
        (format!("{linked}&{of_first}"), 1),
        (format!("{linked}&since={}&until={later}", time(before)), 2),
        (format!("{linked}&since={later}"), 0),
        (format!("{linked}&until={}", time(before)), 0),
        (format!("{linked}&actor={}", billing_e2e::ADMIN_EMAIL), 2),
        (format!("{linked}&actor=nobody@example.com"), 0),
        (format!("organization_id={}", new_organization()), 0),
    ] {
        assert_eq!(events(&admin, &query).await.len(), expected, "{query}");
    }
    let change = events(&admin, &format!("{linked}&{of_first}")).await;
    for (pointer, expected) in [
        ("/0/admin_email", billing_e2e::ADMIN_EMAIL),
        ("/0/client_address", "127.0.0.1"),
    ] {
        let found = json!(change).pointer(pointer).cloned();
        assert_eq!(found, Some(json!(expected)), "{pointer}");
    }
    for wrong in [
        "since=today",
        "organization_id=acme",
        "format=xml",
        "cursor=x",
    ] {
        let refused = admin.get(&format!("{TRAIL}?{wrong}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }

    // Page by page it is the whole, once and in its order.
    let whole = events(&admin, "").await;
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{TRAIL}?limit=1&cursor={cursor}")).await;
        let rows = page.json.pointer("/events").and_then(Value::as_array);
        paged.extend(rows.unwrap().clone());
        cursor = page.text("/next_cursor").to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert!(whole.len() >= 4, "{whole:?}");
    assert_eq!(paged, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_opens_safely_in_a_spreadsheet() {
    let system = System::start().await;
    system.create_admin(FORMULA_EMAIL, PASSWORD).await;
    let admin = Admin::sign_in_as(&system, FORMULA_EMAIL, PASSWORD).await;
    let formula = "=HYPERLINK(\"http://x\")";
    let (_, script) = make_key(&admin, &json!({ "name": formula, "access": "read_only" })).await;
    let accept = http().get(format!("{}{TRAIL}", script.base_url));
    let accept = accept
        .bearer_auth(&script.secret)
        .header("accept", "text/csv");
    for response in [
        script
            .ask(Method::GET, &format!("{TRAIL}?format=csv"), None)
            .await,
        accept.send().await.unwrap(),
    ] {
        let headers = response.headers().clone();
        assert_eq!(
            headers.get("content-type").unwrap(),
            "text/csv; charset=utf-8"
        );
        assert!(headers.get("link").is_none(), "it is the whole");
        let text = response.text().await.unwrap();
        assert!(text.starts_with("\"occurred_at\",\"action\","), "{text}");
        assert!(text.contains(",\"'+1+1@example.com\","), "{text}");
        assert!(text.contains("=HYPERLINK(\\\"\"http://x"), "{text}");
        // Every cell is quoted, so that one that begins a formula would begin so.
        for begin in ["\"=", "\"+", "\"-", "\"@"] {
            let cell = format!(",{begin}");
            assert!(!text.contains(&cell), "{cell} in {text}");
        }
    }
}
