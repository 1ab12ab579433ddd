//! Goal: what an admin decides on the dashboard's pages is done, once, and stays to be seen.
//! Method: a whole system, and a browser without JavaScript: it keeps cookies, and sends the forms
//! that the pages have.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use billing_e2e::actors::{Admin, Instance, http, linked_instance, now, terms};
use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD, STRIPE_KEY, System};
use billing_harness::eventually;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use reqwest::{Method, StatusCode, header};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use stripe_sim::{Fault, FaultEffect, FaultResponse};
use uuid::Uuid;

/// A page, or where another one is.
#[derive(Debug)]
struct Page {
    status: StatusCode,
    location: String,
    text: String,
}

impl Page {
    fn shows(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.text.contains(part), "{part}: {}", self.text);
        }
    }

    fn lacks(&self, part: &str) {
        assert!(!self.text.contains(part), "{part}: {}", self.text);
    }

    /// What stands between two texts.
    fn between(&self, before: &str, after: &str) -> String {
        let (_, rest) = self.text.split_once(before).unwrap();
        let found = rest.split(after).next().unwrap_or_default();
        found.replace("&#38;", "&")
    }
}

struct Browser {
    base_url: String,
    cookies: BTreeMap<String, String>,
    http: reqwest::Client,
}

impl Browser {
    /// One that is signed in.
    async fn of(system: &System) -> Self {
        let (base_url, cookies) = (system.base_url(), BTreeMap::new());
        let mut browser = Self {
            base_url,
            cookies,
            http: http(),
        };
        let form = [("email", ADMIN_EMAIL), ("password", ADMIN_PASSWORD)];
        let signed_in = browser.submit("/sign-in", "/sign-in", &form).await;
        assert_eq!(signed_in.location, "/", "{}", signed_in.text);
        browser
    }

    async fn send(&mut self, method: Method, path: &str, form: &[(&str, &str)]) -> Page {
        let cookies = self.cookies.iter();
        let cookies = cookies.map(|(name, value)| format!("{name}={value}"));
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base_url))
            .header(header::COOKIE, cookies.collect::<Vec<_>>().join("; "))
            .header(header::ORIGIN, &self.base_url);
        if method == Method::POST {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = answer.headers().get(header::LOCATION);
        let location = location.map_or("", |it| it.to_str().unwrap()).to_owned();
        Page {
            status: answer.status(),
            location,
            text: answer.text().await.unwrap(),
        }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, &[]).await
    }

    /// A page that is there.
    async fn open(&mut self, path: &str) -> Page {
        let page = self.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        page
    }

    /// Sends a form of a page, with the page's token.
    async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.open(page).await;
        let token = token.between("name=\"form_token\" value=\"", "\"");
        let mut fields = fields.to_vec();
        fields.push(("form_token", &token));
        self.send(Method::POST, action, &fields).await
    }

    /// Sends a form, and opens where that leads.
    async fn done(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Page {
        let sent = self.submit(page, action, fields).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
        self.open(&sent.location).await
    }
}

/// So many hours into yesterday.
fn yesterday(hours: i64) -> DateTime<Utc> {
    let today = now().date_naive().and_time(NaiveTime::MIN).and_utc();
    today - TimeDelta::days(1) + TimeDelta::hours(hours)
}

/// An organization whose subscription saw yesterday as a whole.
async fn linked_before_yesterday(system: &System, admin: &Admin) -> Instance {
    let instance = Instance::of(system);
    let start = now() - TimeDelta::days(3);
    let first = instance.report(45, start - TimeDelta::hours(1)).await;
    assert_eq!(first.status, StatusCode::OK, "{:?}", first.json);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

async fn execute(system: &System, sql: &str) {
    let db = system.database().connect().await;
    db.execute_unprepared(sql).await.unwrap();
    db.close().await.unwrap();
}

async fn reported(
    admin: &Admin,
    instance: &Instance,
    users: i64,
    hours: i64,
    state: &str,
) -> String {
    let answer = instance.report(users, yesterday(hours)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let id = answer.text("/report_id").to_owned();
    admin.delivered(instance.organization, &id, &[state]).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn held_reports_are_released_and_discarded_by_their_forms() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_before_yesterday(&system, &admin).await;
    let id = instance.organization;
    reported(&admin, &instance, 46, 1, "sent").await;
    let kept = reported(&admin, &instance, 40_000, 2, "held").await;
    let dropped = reported(&admin, &instance, 41_000, 3, "held").await;

    let mut browser = Browser::of(&system).await;
    browser.open("/").await.shows(&["href=\"/held\""]);
    let one = browser.open(&format!("/organizations/{id}")).await;
    one.shows(&[&format!("/held?organization={id}")]);
    let held = browser.open("/held").await;
    held.shows(&["Acme Corp", "40,000", "41,000"]);

    let discard = format!("/organizations/{id}/held/discard");
    let question = format!("{discard}?reports={dropped}");
    let asked = browser.open(&question).await;
    asked.shows(&["41,000", "This cannot be undone."]);
    asked.lacks("40,000");
    let these = [("reports", dropped.as_str())];
    // The second of a double click finds what the first has done.
    for _ in 0..2 {
        let page = browser.done("/held", &discard, &these).await;
        page.shows(&["The held reports are discarded"]);
    }
    admin.delivered(id, &dropped, &["not_billed"]).await;

    let release = format!("/organizations/{id}/held/release");
    browser.open(&release).await.shows(&["40,000"]);
    let these = [("reports", kept.as_str())];
    let page = browser.done(&release, &release, &these).await;
    page.shows(&["The held reports are released"]);
    admin.delivered(id, &kept, &["sent"]).await;
    browser.open("/held").await.shows(&["No report is held."]);
    // There is nothing to ask any more.
    let asked = browser.get(&question).await;
    assert_eq!(asked.location, format!("/organizations/{id}"));
    let again = browser
        .submit("/", &release, &[("reports", &dropped)])
        .await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "{}", again.text);
    assert_eq!(system.stripe.ledger().meter_events.len(), 2);
    // The trail has each decision once, however often its form was sent.
    let trail = format!("/api/admin/audit-events?organization_id={id}");
    let decisions = async || {
        let listed = admin.get(&trail).await;
        let events = listed.json["events"].as_array().unwrap().clone();
        let is_decision = |it: &&Value| it["action"].as_str().unwrap().starts_with("held_");
        let decisions: Vec<_> = events.iter().filter(is_decision).cloned().collect();
        (decisions.len() > 1).then_some(decisions)
    };
    let decisions = eventually("the trail has both decisions", decisions).await;
    let [released, discarded] = decisions.as_slice() else {
        panic!("each once: {decisions:?}");
    };
    for (event, action, report, held) in [
        (released, "held_reports.released", &kept, (1, 0)),
        (discarded, "held_reports.discarded", &dropped, (2, 1)),
    ] {
        assert_eq!(event["action"], action);
        assert_eq!(event["admin_email"], ADMIN_EMAIL);
        assert_eq!(event["after"]["report_ids"], json!([report]));
        assert_eq!(event["before"]["held_report_count"], held.0);
        assert_eq!(event["after"]["held_report_count"], held.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_dismissed_by_its_form_and_kept_with_its_reason() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, _) = linked_instance(&system, &admin).await;
    let organization = instance.organization;
    let finding = Uuid::from_u128(0xf1);
    // As a pass of reconciliation stores it.
    let sql = format!(
        "INSERT INTO billing_findings (id, organization_id, kind, day, period_start_at, period_end_at, expected, found, resend_count, first_seen_at, last_seen_at)
         SELECT '{finding}', '{organization}', 'meter_day', day, day, day + interval '1 day', 45, 46, 1, now(), now()
         FROM (SELECT (current_date - 40)::timestamptz AS day) AS past"
    );
    execute(&system, &sql).await;

    let mut browser = Browser::of(&system).await;
    browser.open("/").await.shows(&["href=\"/reconciliation\""]);
    let dismiss = format!("/reconciliation/{finding}/dismiss");
    let page = browser.open("/reconciliation").await;
    page.shows(&["Acme Corp", ">45<", ">46<", &dismiss]);
    let empty = browser
        .submit("/reconciliation", &dismiss, &[("reason", " ")])
        .await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    empty.shows(&[
        "It must be 1 to 500 characters.",
        "<details class=\"ask\" open>",
    ]);
    let reason = [("reason", "<b>Credited</b> by hand.")];
    for _ in 0..2 {
        let page = browser.done("/", &dismiss, &reason).await;
        page.shows(&["The finding is dismissed."]);
        page.lacks(&dismiss);
    }
    let all = browser.open("/reconciliation?closed=yes").await;
    all.shows(&["&#60;b&#62;Credited&#60;/b&#62; by hand.", ADMIN_EMAIL]);
    all.lacks(&dismiss);
    let none = browser
        .submit("/", "/reconciliation/x/dismiss", &reason)
        .await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST, "{}", none.text);
    let told = async || {
        let trail = admin
            .get("/api/admin/audit-events?action=finding.dismissed")
            .await;
        (trail.json["events"] != json!([])).then_some(trail)
    };
    let trail = eventually("the trail has it", told).await;
    assert_eq!(trail.json["events"].as_array().unwrap().len(), 1);
    assert_eq!(trail.text("/events/0/after/reason"), reason[0].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_on_the_audit_page_with_what_was_and_what_is() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, link) = linked_instance(&system, &admin).await;
    let id = instance.organization;
    let customer = link.text("/organization/stripe_customer_id");
    let mut browser = Browser::of(&system).await;
    let of_one = format!("/audit?organization={id}");
    let page = browser.open(&of_one).await;
    page.shows(&[
        "Link asked for",
        ">Linked<",
        "Acme Corp",
        ADMIN_EMAIL,
        "127.0.0.1",
        "<del>pending</del>",
        customer,
    ]);
    let own = browser.open(&format!("/organizations/{id}")).await;
    own.shows(&["Latest changes", "Link asked for", &of_one]);

    let day = now().format("%Y-%m-%d").to_string();
    let linked = "action=organization.linked";
    for (query, is_there) in [
        (linked.to_owned(), true),
        (format!("{linked}&actor={ADMIN_EMAIL}"), true),
        (format!("{linked}&actor=nobody@example.com"), false),
        (format!("{linked}&since={day}"), true),
        (format!("{linked}&until={day}"), true),
        (format!("{linked}&until=2024-01-01"), false),
    ] {
        let page = browser.open(&format!("/audit?{query}")).await;
        assert_eq!(page.text.contains("127.0.0.1"), is_there, "{query}");
        page.lacks("<td>Link asked for");
    }
    for wrong in ["since=today", "organization=acme", "action=A+b"] {
        let page = browser.get(&format!("/audit?{wrong}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let file = browser.open(&format!("/audit.csv?{linked}")).await;
    let head = "\u{feff}\"When\",\"What\",\"Organization\"";
    assert!(file.text.starts_with(head), "{}", file.text);
    assert_eq!(file.text.lines().count(), 2, "{}", file.text);
    file.shows(&[&format!(",\"organization.linked\",\"{id}\",")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_made_used_and_revoked_on_its_page() {
    let system = System::start().await;
    let mut browser = Browser::of(&system).await;
    browser.open("/keys").await.shows(&["There is no key yet."]);
    let form = |name, access, days| [("name", name), ("access", access), ("lifetime_days", days)];
    let wrong = form("", "all", "0");
    let page = browser.submit("/keys", "/keys", &wrong).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows(&["Choose one.", "from 1 to 365"]);
    let long = form("nightly", "read_only", "400");
    let page = browser.submit("/keys", "/keys", &long).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows(&["from 1 to 365", "value=\"nightly\""]);

    let good = form("<i>nightly</i>", "read_only", "30");
    let made = browser.submit("/keys", "/keys", &good).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let secret = made.between("readonly spellcheck=\"false\">", "<");
    let list = format!("{}/api/admin/organizations", system.base_url());
    let with_key = async || http().get(&list).bearer_auth(&secret).send().await.unwrap();
    assert_eq!(with_key().await.status(), StatusCode::OK);
    let keys = browser.open("/keys").await;
    keys.shows(&["&#60;i&#62;nightly&#60;/i&#62;", "Read only", ">Valid<"]);
    keys.lacks(&secret);

    let revoke = keys.between("class=\"button quiet\" href=\"", "\"");
    browser
        .open(&revoke)
        .await
        .shows(&["This cannot be undone."]);
    for _ in 0..2 {
        let page = browser.done("/keys", &revoke, &[]).await;
        page.shows(&["The key is revoked.", ">Revoked<"]);
        page.lacks(&revoke);
    }
    assert_eq!(with_key().await.status(), StatusCode::UNAUTHORIZED);
    // Of a key that has ended nothing is asked; of one that is none it is said.
    assert_eq!(browser.get(&revoke).await.location, "/keys");
    let none = format!("/keys/{}/revoke", Uuid::nil());
    assert_eq!(browser.get(&none).await.status, StatusCode::NOT_FOUND);
    let audit = browser.open("/audit?action=api_key.created").await;
    audit.shows(&["API key created", "<ins>read_only</ins>"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_sent_is_listed_and_what_was_given_up_is_tried_again() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    linked_instance(&system, &admin).await;
    let processed = async || {
        let events = admin.get("/api/admin/webhook-events?state=processed").await;
        let id = events.json.pointer("/events/0/event_id").cloned();
        id.as_ref().and_then(Value::as_str).map(str::to_owned)
    };
    let event = eventually("an event is processed", processed).await;
    let mut browser = Browser::of(&system).await;
    browser
        .open("/webhooks")
        .await
        .shows(&[&event, "Processed"]);
    // As after the last of its attempts.
    let sql = format!(
        "UPDATE stripe_events SET state = 'dead', error_code = 'unavailable', error_message = 'Stripe was away.' WHERE event_id = '{event}'"
    );
    execute(&system, &sql).await;

    let index = browser.open("/").await;
    index.shows(&["href=\"/webhooks?state=dead\""]);
    let dead = browser.open("/webhooks?state=dead").await;
    dead.shows(&[&event, "Given up", "Stripe was away."]);
    let form = [("event_id", event.as_str()), ("state", "dead")];
    let page = browser.done("/webhooks", "/webhooks/retry", &form).await;
    page.shows(&["The event is processed again"]);
    eventually("it is processed again", async || {
        let dead = admin.get("/api/admin/webhook-events?state=dead").await;
        (dead.json["events"] == json!([])).then_some(())
    })
    .await;
    let notices = browser.open("/webhooks/notices").await;
    notices.shows(&["Your channel was told everything."]);
    let errors = browser.open("/webhooks/meter-errors").await;
    errors.shows(&["Stripe counted all usage that it took."]);
    let wrong = browser.get("/webhooks?state=gone").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_refused_is_counted_and_listed_with_its_reason() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, _) = linked_instance(&system, &admin).await;
    let mut browser = Browser::of(&system).await;
    let none = browser.open("/refused").await;
    none.shows(&["Stripe refused no report.", "href=\"/held\""]);
    // As the relay settles what Stripe refuses.
    let sql = format!(
        "UPDATE usage_reports SET delivery_state = 'refused', error_code = 'no_meter', error_message = 'There is <b>no</b> meter.' WHERE organization_id = '{}'",
        instance.organization
    );
    execute(&system, &sql).await;
    browser.open("/").await.shows(&["href=\"/refused\""]);
    let refused = browser.open("/refused").await;
    refused.shows(&[
        "Acme Corp",
        ">45<",
        "There is &#60;b&#62;no&#60;/b&#62; meter. (no_meter)",
    ]);
    let wrong = browser.get("/refused?cursor=x").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_refused_is_sent_again_by_its_form_or_gives_way_to_a_later_report() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_before_yesterday(&system, &admin).await;
    let id = instance.organization;
    let mut refusals = Vec::new();
    for hour in [1, 2] {
        let mut refusal = FaultResponse::status(400);
        refusal.error = Some(json!({
            "type": "invalid_request_error",
            "code": "resource_missing",
            "message": "No such customer",
        }));
        let refusal = Fault::once(
            "POST /v1/billing/meter_events",
            FaultEffect::Respond(refusal),
        );
        system.stripe.inject(refusal).unwrap();
        refusals.push(reported(&admin, &instance, 45 + hour, hour, "refused").await);
    }
    let [earlier, later] = refusals.as_slice() else {
        panic!("two were reported");
    };
    let one = format!("/organizations/{id}");
    let retry = |report: &str| format!("/refused/{report}/retry");
    let mut browser = Browser::of(&system).await;
    for page in ["/refused", &one] {
        let page = browser.open(page).await;
        page.shows(&[&retry(earlier), &retry(later), "Send again"]);
    }
    // The second of a double click finds what the first has done.
    let back = [("back", one.as_str())];
    for _ in 0..2 {
        let page = browser.done(&one, &retry(later), &back).await;
        page.shows(&["The report is sent again"]);
    }
    admin.delivered(id, later, &["sent"]).await;
    let page = browser.done("/refused", &retry(earlier), &[]).await;
    page.shows(&[
        "The report is not to be sent any more",
        "Stripe refused no report.",
    ]);
    admin.delivered(id, earlier, &["superseded"]).await;
    let elsewhere = [("back", "//evil.example/")];
    let sent = browser.submit("/", &retry(later), &elsewhere).await;
    assert_eq!(sent.location, "/refused?notice=retried");

    let ledger = system.stripe.ledger();
    let counted: Vec<_> = ledger.meter_events.iter().map(|it| &it.value).collect();
    assert_eq!(counted, ["47"]);
    let told = async || {
        let trail = admin
            .get("/api/admin/audit-events?action=report.retried")
            .await;
        (trail.json["events"] != json!([])).then_some(())
    };
    eventually("the trail has it", told).await;
    let page = browser.open(&one).await;
    page.shows(&["Refused report sent again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_is_in_stripe_already_is_chosen_in_the_preview() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    let answer = instance.report(45, now() - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let made = http()
        .post(format!("{}/v1/customers", system.stripe.base_url()))
        .basic_auth(STRIPE_KEY, None::<&str>)
        .form(&[
            ("name", "Acme <b>SARL</b>"),
            ("email", "billing@acme.example"),
        ]);
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let customer = made["id"].as_str().unwrap();

    let mut browser = Browser::of(&system).await;
    let link = format!("/organizations/{}/link", instance.organization);
    let mut form = vec![
        ("admin_email", "billing@acme.example"),
        ("deployment_type", "on-premise"),
        ("plan_type", "managed-cloud"),
        ("trial_days", "4"),
    ];
    let preview = browser.submit(&link, &link, &form).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    let choice = format!("name=\"adopt_customer_id\" value=\"{customer}\">");
    preview.shows(&[
        &choice,
        "Acme &#60;b&#62;SARL&#60;/b&#62;",
        "value=\"\" checked",
    ]);
    form.push(("confirm", "yes"));
    let mut unknown = form.clone();
    unknown.push(("adopt_customer_id", "cus_none"));
    let refused = browser.submit(&link, &link, &unknown).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused.shows(&["role=\"alert\"", "cus_none"]);
    form.push(("adopt_customer_id", customer));
    let linked = browser.done(&link, &link, &form).await;
    linked.shows(&["The organization is linked to Stripe."]);
    let row = admin.listed("linked", instance.organization).await.unwrap();
    assert_eq!(row["stripe_customer_id"], made["id"]);
}
