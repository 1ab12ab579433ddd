//! Goal: what went wrong in systems that do a similar job does not go wrong here. Each test carries
//! the number of its row in docs/TESTING.md, which names the others, at the doors of one service.
//! Method: a whole system, and Stripe's own books in the end.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use billing_e2e::actors::{Admin, Answer, Instance, http, now, terms};
use billing_e2e::{STRIPE_KEY, Service, System};
use billing_harness::eventually;
use chrono::{DateTime, Days, NaiveTime, SecondsFormat, TimeDelta, Utc};
use futures::future::join_all;
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

/// An organization whose subscription began so many days ago, by Stripe's clock.
async fn linked_days_ago(system: &System, admin: &Admin, days: i64) -> Instance {
    linked_days_ago_on(system, admin, days, &terms()).await
}

async fn linked_days_ago_on(system: &System, admin: &Admin, days: i64, terms: &Value) -> Instance {
    let instance = Instance::of(system);
    let start = now() - TimeDelta::days(days);
    let answer = instance.report(45, start - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, terms).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    system.stripe.set_clock(now().timestamp());
    instance
}

/// A report that Stripe accepted.
async fn sent(admin: &Admin, instance: &Instance, users: i64, at: DateTime<Utc>) -> String {
    let answer = instance.report(users, at).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let id = answer.text("/report_id").to_owned();
    admin.delivered(instance.organization, &id, &["sent"]).await;
    id
}

/// What somebody else does in Stripe.
async fn stripe_post(system: &System, path: &str, form: &[(&str, &str)]) -> Value {
    let url = format!("{}{path}", system.stripe.base_url());
    let request = http().post(url).basic_auth(STRIPE_KEY, None::<&str>);
    let answer = request.form(form).send().await.unwrap();
    let status = answer.status();
    let json: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{path}: {json}");
    json
}

/// What all invoices ask for, in cents.
fn invoiced_total(system: &System) -> i64 {
    let invoices = system.stripe.ledger().invoices;
    let totals = invoices.iter().map(|it| it["total"].as_i64().unwrap());
    totals.sum()
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
    // A trial, of which nothing is invoiced: only their age speaks against these.
    let mut terms = terms();
    terms["trial_days"] = json!(60);
    let instance = linked_days_ago_on(&system, &admin, 40, &terms).await;
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

/// Lets time pass between a delivery and the next pass of reconciliation, which begins at once.
async fn reconcile_after(system: &System, admin: &Admin, hours: u32) {
    eventually("no pass is under way", async || {
        let answer = admin.get("/api/admin/reconciliation").await;
        let is_quiet = answer.json["pass_started_at"].is_null();
        (is_quiet && answer.json["last_full_pass_at"].is_string()).then_some(())
    })
    .await;
    let db = system.database().connect().await;
    let pass = format!(
        "UPDATE usage_reports SET settled_at = settled_at - interval '{hours} hours';
         UPDATE reconciliation_pass SET next_step_at = NULL;"
    );
    db.execute_unprepared(&pass).await.unwrap();
    db.close().await.unwrap();
}

async fn findings(admin: &Admin) -> Vec<Value> {
    let answer = admin.get("/api/admin/reconciliation").await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.json["findings"].as_array().unwrap().clone()
}

/// Waits until the open findings have these numbers: expected, found and sent again.
async fn found(admin: &Admin, expected: &[(i64, &str, i64)]) {
    eventually(&format!("the findings are {expected:?}"), async || {
        let findings = findings(admin).await;
        let numbers = findings.iter().map(|it| {
            (
                it["expected"].as_i64().unwrap(),
                it["found"].as_str().unwrap(),
                it["resend_count"].as_i64().unwrap(),
            )
        });
        numbers.eq(expected.iter().copied()).then_some(())
    })
    .await;
}

/// lago#637, MAIF/daikoku#1222, superserve-ai/sandbox#376: accepted with 200, and never billed.
#[tokio::test(flavor = "multi_thread")]
async fn fm06_what_stripe_accepted_and_does_not_count_is_found_and_sent_again() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 4).await;
    let report_id = sent(&admin, &instance, 45, now() - Days::new(2)).await;
    let row = admin
        .reports(instance.organization)
        .await
        .remove(&report_id);
    let identifier = row.unwrap()["stripe_meter_event_id"].clone();
    let cancel = [
        ("event_name", "vaultai_seats"),
        ("type", "cancel"),
        ("cancel[identifier]", identifier.as_str().unwrap()),
    ];
    stripe_post(&system, "/v1/billing/meter_event_adjustments", &cancel).await;

    // Stripe still knows the identifier: it counts the resend as little as the first.
    reconcile_after(&system, &admin, 1).await;
    found(&admin, &[(45, "0", 1)]).await;
    admin
        .delivered(instance.organization, &report_id, &["sent"])
        .await;
    assert_eq!(system.stripe.ledger().meter_events.len(), 1);

    // A day later it does not.
    let a_day_later = now() + TimeDelta::hours(26);
    system.stripe.set_clock(a_day_later.timestamp());
    reconcile_after(&system, &admin, 26).await;
    found(&admin, &[(45, "0", 2)]).await;
    eventually("it is sent again", async || {
        (system.stripe.ledger().meter_events.len() == 2).then_some(())
    })
    .await;
    admin
        .delivered(instance.organization, &report_id, &["sent"])
        .await;
    reconcile_after(&system, &admin, 1).await;
    found(&admin, &[]).await;
}

/// What Stripe has too much of is shown with both numbers, and never silently changed.
#[tokio::test(flavor = "multi_thread")]
async fn fm06_what_stripe_counts_too_much_of_is_shown_and_left_alone() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 4).await;
    let at = now() - Days::new(2);
    sent(&admin, &instance, 45, at).await;
    let customer = system.stripe.ledger().meter_events[0].customer.clone();
    let timestamp = at.timestamp().to_string();
    let count = async |value| {
        let form = [
            ("event_name", "vaultai_seats"),
            ("timestamp", timestamp.as_str()),
            ("payload[stripe_customer_id]", customer.as_str()),
            ("payload[value]", value),
        ];
        stripe_post(&system, "/v1/billing/meter_events", &form).await;
    };
    count("90").await;
    reconcile_after(&system, &admin, 1).await;
    found(&admin, &[(45, "90", 0)]).await;
    // Less than reported, and nothing that we ever sent: a person's correction stays as well.
    count("44").await;
    reconcile_after(&system, &admin, 1).await;
    found(&admin, &[(45, "44", 0)]).await;
    assert_eq!(system.stripe.ledger().meter_events.len(), 3);

    count("45").await;
    reconcile_after(&system, &admin, 1).await;
    found(&admin, &[]).await;
}

/// Asks the simulator's control plane.
async fn control(system: &System, path: &str, body: &Value) {
    let url = format!("{}{path}", system.stripe.base_url());
    let answer = http().post(url).json(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
}

/// Waits until ingest-svc knows how far the one subscription is invoiced.
async fn invoiced(system: &System) {
    let db = system.database().connect().await;
    eventually("the final invoice is known", async || {
        let known =
            "SELECT organization_id FROM organization_reporting WHERE invoiced_until IS NOT NULL";
        let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, known));
        row.await.unwrap().map(drop)
    })
    .await;
    db.close().await.unwrap();
}

/// superserve-ai/sandbox#376: what came after the invoice was final was accepted, and billed by none.
#[tokio::test(flavor = "multi_thread")]
async fn fm06_a_report_that_comes_after_its_invoice_is_shown_and_not_sent() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let mut terms = terms();
    terms["trial_days"] = json!(0);
    // A month of it was invoiced by the time that the clock is of now.
    let instance = linked_days_ago_on(&system, &admin, 40, &terms).await;
    invoiced(&system).await;
    let late = instance.report(45, now() - Days::new(20)).await;
    assert_eq!(late.status, StatusCode::OK, "{:?}", late.json);
    let id = late.text("/report_id");
    let missed = ["missed_invoice"];
    admin.delivered(instance.organization, id, &missed).await;
    sent(&admin, &instance, 7, now() - TimeDelta::hours(1)).await;
    assert_eq!(
        counted(&system).len(),
        1,
        "nothing that no invoice would have"
    );

    let shown = findings(&admin).await;
    let [finding] = shown.as_slice() else {
        panic!("{shown:?}");
    };
    assert_eq!(finding["kind"], "missed_invoice");
    assert_eq!(
        (&finding["expected"], &finding["found"]),
        (&json!(45), &json!("0"))
    );
    let path = format!(
        "/api/admin/reconciliation/findings/{}/dismiss",
        finding["id"].as_str().unwrap()
    );
    let seen = admin
        .post(&path, &json!({"reason": "invoiced by hand"}))
        .await;
    assert_eq!(seen.status, StatusCode::OK, "{:?}", seen.json);
    assert_eq!(findings(&admin).await, Vec::<Value>::new());
    let all = admin.get("/api/admin/reconciliation?resolved=true").await;
    assert_eq!(all.text("/findings/0/dismissal/reason"), "invoiced by hand");
    assert_eq!(
        all.text("/findings/0/dismissal/by"),
        billing_e2e::ADMIN_EMAIL
    );
}

/// The same seen from the other side: what Stripe took and counted, and its invoice lacks.
#[tokio::test(flavor = "multi_thread")]
async fn fm06_an_invoice_that_lacks_a_day_that_was_sent_is_a_finding() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let mut terms = terms();
    terms["trial_days"] = json!(0);
    // Nobody tells us of the invoice.
    control(&system, "/_sim/webhooks", &json!({"drop": 1.0})).await;
    let instance = Instance::of(&system);
    let start = now() - TimeDelta::days(40);
    let answer = instance.report(45, start - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    system.stripe.set_clock(start.timestamp());
    let link = admin.link(instance.organization, &terms).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    // One day is on the invoice, and one comes to Stripe after it is final.
    system
        .stripe
        .set_clock((start + TimeDelta::days(11)).timestamp());
    sent(&admin, &instance, 40, start + TimeDelta::days(10)).await;
    system.stripe.set_clock(now().timestamp());
    sent(&admin, &instance, 45, start + TimeDelta::days(20)).await;
    assert_eq!(counted(&system).len(), 2);

    control(&system, "/_sim/webhooks", &json!({"drop": 0.0})).await;
    let invoice = system.stripe.ledger().invoices[0]["id"].clone();
    let invoice = invoice.as_str().unwrap();
    let paid = format!("/v1/invoices/{invoice}/pay");
    stripe_post(&system, &paid, &[("paid_out_of_band", "true")]).await;
    invoiced(&system).await;
    reconcile_after(&system, &admin, 1).await;
    found(&admin, &[(85, "40", 0)]).await;
    let finding = findings(&admin).await.remove(0);
    assert_eq!(finding["kind"], "invoice");
    assert_eq!(finding["stripe_invoice_id"], invoice);
    // It is shown and left alone.
    assert_eq!(counted(&system).len(), 2);
}

/// polar#11046, tuist#12613: usage of the trial was billed at conversion.
#[tokio::test(flavor = "multi_thread")]
async fn fm10_usage_of_the_trial_is_never_billed_and_the_first_paid_day_is() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let mut terms = terms();
    terms["trial_days"] = json!(20);
    let instance = linked_days_ago_on(&system, &admin, 40, &terms).await;
    let trial_end = now() - Days::new(20);
    for (users, at) in [
        (80, trial_end - TimeDelta::days(10)),
        (70, trial_end - TimeDelta::minutes(1)),
        (40, trial_end + TimeDelta::days(1)),
        (10, trial_end + TimeDelta::days(2)),
    ] {
        sent(&admin, &instance, users, at).await;
    }
    // The first paid period ends 28 to 31 days after the trial.
    let after = now() + Days::new(13);
    system.stripe.set_clock(after.timestamp());
    // 50 seat-days at 26.5 cents.
    assert_eq!(invoiced_total(&system), 1_325);
}

/// Classic billing mode: a price switched in mid-period dropped the usage before it.
#[tokio::test(flavor = "multi_thread")]
async fn fm20_after_a_switch_of_prices_each_day_is_billed_at_the_price_it_had() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let mut terms = terms();
    terms["trial_days"] = json!(0);
    let instance = linked_days_ago_on(&system, &admin, 25, &terms).await;
    sent(&admin, &instance, 40, now() - Days::new(10)).await;

    let ledger = system.stripe.ledger();
    let subscription = &ledger.subscriptions[0];
    let price = ledger
        .prices
        .iter()
        .find(|it| it["lookup_key"] == "vaultai_managed_cloud_on_managed_cloud");
    let form = [
        (
            "items[0][id]",
            subscription["items"]["data"][0]["id"].as_str().unwrap(),
        ),
        ("items[0][price]", price.unwrap()["id"].as_str().unwrap()),
    ];
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());
    stripe_post(&system, &path, &form).await;
    sent(&admin, &instance, 20, now() + TimeDelta::seconds(1)).await;

    let after = now() + Days::new(8);
    system.stripe.set_clock(after.timestamp());
    // 40 seat-days at 26.5 cents, and 20 at 33.
    assert_eq!(invoiced_total(&system), 1_720);
}

/// keycloak#24493, influxdb_iox#5570: after a failover the database was read-only; every write failed until
/// the service was restarted, and health stayed green.
#[tokio::test(flavor = "multi_thread")]
async fn fm22_while_the_database_is_read_only_reports_come_again_later_and_nothing_is_restarted() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = Instance::of(&system);
    let before = instance.report(45, now() - TimeDelta::hours(1)).await;
    assert_eq!(before.status, StatusCode::OK, "{:?}", before.json);

    system.database().make_read_only();
    let at = now();
    let refused = instance.report(46, at).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key("retry-after"));
    let link = admin.link(instance.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::SERVICE_UNAVAILABLE);

    system.database().make_writable();
    eventually("the same report again is taken", async || {
        let answer = instance.report(46, at).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    eventually("both reports are listed", async || {
        (admin.reports(instance.organization).await.len() == 2).then_some(())
    })
    .await;
}

/// sqlx#1250, sea-orm#1162: a migration added columns to tables under running services; lists answered 500
/// and reports stayed queued until every service was restarted.
#[tokio::test(flavor = "multi_thread")]
async fn fm21_columns_are_added_to_every_table_under_running_services() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let instance = linked_days_ago(&system, &admin, 2).await;
    let pending = Instance::of(&system);
    // Twice, so that every statement has been prepared.
    let mut before = Vec::new();
    for day in [1, 0] {
        let at = now() - TimeDelta::days(day) - TimeDelta::minutes(1);
        sent(&admin, &instance, 45, at).await;
        let answer = pending.report(3, at).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        before = walk(&admin, &instance).await;
    }

    let owner = system.database().connect().await;
    let add = "DO $$ DECLARE tab regclass; BEGIN
        FOR tab IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p')
            AND relnamespace = 'public'::regnamespace LOOP
            EXECUTE format('ALTER TABLE %s ADD COLUMN added_later text', tab);
        END LOOP; END $$";
    owner.execute_unprepared(add).await.unwrap();
    owner.close().await.unwrap();

    for _ in 0..2 {
        assert_eq!(walk(&admin, &instance).await, before);
    }
    sent(&admin, &instance, 46, now()).await;
    let answer = pending.report(4, now()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let link = admin.link(pending.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
    // By a webhook: Stripe ends the trial, and the list shows it.
    let listed = admin.listed("linked", pending.organization).await.unwrap();
    let subscription = listed["stripe_subscription_id"].as_str().unwrap();
    let path = format!("/v1/subscriptions/{subscription}");
    stripe_post(&system, &path, &[("trial_end", "now")]).await;
    eventually("the webhook arrives", async || {
        let row = admin.listed("linked", pending.organization).await?;
        (row["subscription_status"] == "active").then_some(())
    })
    .await;
}

/// The status of every list and page that an admin can read.
async fn walk(admin: &Admin, instance: &Instance) -> Vec<(String, StatusCode)> {
    let document = admin.get("/api/openapi.json").await.json;
    let paths = document["paths"].as_object().unwrap();
    let read = paths
        .iter()
        .filter(|(path, verbs)| path.starts_with("/api/admin/") && verbs.get("get").is_some());
    let id = instance.organization.to_string();
    let mut paths: Vec<String> = read.map(|(path, _)| path.replace("{id}", &id)).collect();
    let lists = ["/pending", "/billed"].map(str::to_owned);
    let orders = [
        "",
        "?sort=name",
        "?sort=status",
        "?q=Acme",
        "?q=Acme&sort=name",
    ];
    let ordered = |list: &String| orders.map(|order| format!("{list}{order}"));
    paths.extend(lists.iter().flat_map(ordered));
    paths.extend(["/".to_owned(), format!("/organizations/{id}")]);
    let mut statuses = Vec::new();
    for path in paths {
        let answer = admin.get(&path).await;
        assert!(
            !answer.status.is_server_error(),
            "{path}: {:?}",
            answer.json
        );
        statuses.push((path, answer.status));
    }
    statuses
}
