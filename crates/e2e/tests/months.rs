//! Goal: three billing months of two customers are right to the cent, from the reports of their
//! instances to Stripe's invoices.
//! Method: the whole system on one clock that the test moves, a report a day at 03:00 and every change over
//! the public doors, and invoices that are worked out by hand.
//!
//! Both organizations are linked on January 1 at 09:00 with a trial of 14 days, so a billing month
//! goes from the 15th at 09:00 to the 15th at 09:00, and holds the reports of 03:00 from the 16th to
//! the 15th. A price is for a seat and a day, in cents.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use billing_e2e::actors::{Admin, Answer, Instance, http};
use billing_e2e::{STRIPE_KEY, System};
use billing_harness::eventually;
use chrono::{DateTime, DurationRound, NaiveDate, TimeDelta, Utc};
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};

/// A time in 2027, which is no leap year.
fn at(month: u32, day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
    let date = NaiveDate::from_ymd_opt(2027, month, day).unwrap();
    date.and_hms_opt(hour, minute, 0).unwrap().and_utc()
}

/// A customer: its instance, and what Stripe has of it.
struct Customer {
    instance: Instance,
    customer: String,
    subscription: String,
}

/// When an invoice was drawn up, and of each of its lines the seat-days and the cents.
type Drawn = (DateTime<Utc>, Vec<(String, i64)>);

struct Months {
    system: System,
    db: DatabaseConnection,
}

impl Months {
    async fn begin() -> Self {
        let system = System::start_at(at(1, 1, 8, 0)).await;
        let db = system.database().connect().await;
        Self { system, db }
    }

    /// Reports once, and is linked by an admin an hour later.
    async fn link(&self, name: &str, deployment_type: &str, plan_type: &str) -> Customer {
        let mut instance = Instance::of(&self.system);
        instance.name = name.to_owned();
        let first = instance.report(1, at(1, 1, 8, 0)).await;
        assert_eq!(first.status, StatusCode::OK, "{:?}", first.json);
        let admin = Admin::sign_in(&self.system).await;
        let terms = json!({
            "admin_email": "billing@acme.example",
            "deployment_type": deployment_type,
            "plan_type": plan_type,
            "trial_days": 14,
        });
        let link = admin.link(instance.organization, &terms).await;
        assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
        Customer {
            customer: link.text("/organization/stripe_customer_id").to_owned(),
            subscription: link.text("/organization/stripe_subscription_id").to_owned(),
            instance,
        }
    }

    /// Reports of a moment, and waits until the report is in this delivery state.
    async fn report(&self, customer: &Customer, users: i64, of: DateTime<Utc>, state: &str) {
        let answer = customer.instance.report(users, of).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        let id = answer.text("/report_id");
        let sql = "SELECT delivery_state AS word FROM usage_reports WHERE id = $1::uuid";
        eventually(&format!("the report of {of} is {state}"), async || {
            (self.word(sql, id).await? == state).then_some(())
        })
        .await;
    }

    async fn word(&self, sql: &str, id: &str) -> Option<String> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [id.into()]);
        let row = self.db.query_one_raw(statement).await.unwrap()?;
        row.try_get("", "word").unwrap()
    }

    /// At 03:00 of each day of a month each customer reports so many users.
    async fn report_days(
        &self,
        month: u32,
        days: std::ops::RangeInclusive<u32>,
        customers: &[(&Customer, i64)],
    ) {
        for day in days {
            let three = at(month, day, 3, 0);
            self.system.set_time(three).await;
            let reports = customers
                .iter()
                .map(|(customer, users)| self.report(customer, *users, three, "sent"));
            futures::future::join_all(reports).await;
        }
    }

    /// An admin changes the plan.
    async fn change_plan(&self, customer: &Customer, plan_type: &str) {
        let terms = json!({ "plan_type": plan_type });
        let path = path_of(customer, "subscription");
        let admin = Admin::sign_in(&self.system).await;
        eventually("the plan is changed", async || {
            let answer = admin.patch(&path, &terms).await;
            is_done(&answer, customer).then_some(())
        })
        .await;
    }

    /// An admin ends the subscription.
    async fn cancel(&self, customer: &Customer, mode: &str) {
        let mode = json!({ "mode": mode });
        let path = path_of(customer, "cancel");
        let admin = Admin::sign_in(&self.system).await;
        eventually("the subscription has its end", async || {
            let answer = admin.post(&path, &mode).await;
            is_done(&answer, customer).then_some(())
        })
        .await;
    }

    /// Waits until ingest-svc, which is told last, knows a status; an admin sees it too.
    async fn stands(&self, customer: &Customer, status: &str) {
        let id = customer.instance.organization;
        let sql = "SELECT subscription_status AS word FROM organization_reporting
                    WHERE organization_id = $1::uuid";
        eventually(&format!("the organization is {status}"), async || {
            (self.word(sql, &id.to_string()).await? == status).then_some(())
        })
        .await;
        let admin = Admin::sign_in(&self.system).await;
        let listed = admin.listed("linked", id).await.unwrap();
        assert_eq!(listed["subscription_status"], status);
    }

    /// A customer's bank transfer for all that is open, noted down in Stripe by a person.
    async fn pay(&self, customer: &Customer) {
        let invoices = self.system.stripe.ledger().invoices.into_iter();
        let own = invoices.filter(|it| it["customer"] == customer.customer.as_str());
        for invoice in own.filter(|it| it["status"] == "open") {
            let base = self.system.stripe.base_url();
            let url = format!("{base}/v1/invoices/{}/pay", invoice["id"].as_str().unwrap());
            let request = http().post(url).basic_auth(STRIPE_KEY, None::<&str>);
            let paid = request.form(&[("paid_out_of_band", "true")]).send().await;
            assert_eq!(paid.unwrap().status(), StatusCode::OK);
        }
    }

    /// Of each invoice the minute in which it was drawn up, and of each of its lines the seat-days and
    /// the cents; those that ask for nothing left out.
    fn invoices(&self, customer: &Customer) -> Vec<Drawn> {
        let invoices = self.system.stripe.ledger().invoices.into_iter();
        let invoices = invoices.filter(|it| it["customer"] == customer.customer.as_str());
        let drawn_up = |invoice: &Value| {
            let lines = invoice["lines"]["data"].as_array().unwrap().iter();
            let lines: Vec<_> = lines
                .map(|line| {
                    let seat_days = line["quantity_decimal"].as_str().unwrap().to_owned();
                    (seat_days, line["amount"].as_i64().unwrap())
                })
                .collect();
            let total: i64 = lines.iter().map(|(_, cents)| cents).sum();
            assert_eq!(invoice["total"], total);
            assert_ne!(invoice["status"], "draft", "{invoice}");
            let created = invoice["created"].as_i64().unwrap();
            let created = DateTime::from_timestamp(created, 0).unwrap();
            (
                created.duration_trunc(TimeDelta::minutes(1)).unwrap(),
                lines,
            )
        };
        let mut found: Vec<_> = invoices
            .filter(|invoice| invoice["total"] != 0)
            .map(|invoice| drawn_up(&invoice))
            .collect();
        found.sort_by_key(|(at, _)| *at);
        found
    }
}

fn path_of(customer: &Customer, door: &str) -> String {
    let id = customer.instance.organization;
    format!("/api/admin/organizations/{id}/{door}")
}

/// Whether a change is made; while it is under way the same again waits for it.
fn is_done(answer: &Answer, customer: &Customer) -> bool {
    if answer.status == StatusCode::ACCEPTED {
        return false;
    }
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    let subscription = answer.text("/organization/stripe_subscription_id");
    assert_eq!(subscription, customer.subscription);
    true
}

fn line(seat_days: i64, cents: i64) -> (String, i64) {
    (seat_days.to_string(), cents)
}

async fn until_beta_ends(months: &Months, acme: &Customer, beta: &Customer) {
    months
        .report_days(1, 2..=15, &[(acme, 10), (beta, 7)])
        .await;
    months.stands(acme, "trial").await;
    months
        .report_days(1, 16..=19, &[(acme, 20), (beta, 7)])
        .await;
    months.stands(acme, "active").await;
    months.report_days(1, 20..=20, &[(acme, 20)]).await;
    months
        .report_days(1, 21..=31, &[(acme, 20), (beta, 7)])
        .await;
    months
        .report_days(2, 1..=14, &[(acme, 35), (beta, 7)])
        .await;
    months.report_days(2, 15..=15, &[(acme, 35)]).await;
    // Half an hour after the period's end: the invoice is still a draft.
    months.system.set_time(at(2, 15, 9, 30)).await;
    months.report(beta, 7, at(2, 15, 3, 0), "sent").await;

    months
        .report_days(2, 16..=20, &[(acme, 35), (beta, 7)])
        .await;
    months.system.set_time(at(2, 20, 12, 0)).await;
    months.change_plan(acme, "self-hosted").await;
    months.pay(acme).await;
    months
        .report_days(2, 21..=28, &[(acme, 35), (beta, 7)])
        .await;
    months.report_days(3, 1..=3, &[(acme, 40), (beta, 8)]).await;
    months.system.set_time(at(3, 3, 11, 0)).await;
    months.report(beta, 10, at(3, 3, 11, 0), "sent").await;
    months.system.set_time(at(3, 3, 12, 0)).await;
    months.cancel(beta, "now").await;
    months.stands(beta, "canceled").await;
    months.system.set_time(at(3, 4, 3, 0)).await;
    months.report(beta, 8, at(3, 4, 3, 0), "not_billed").await;
}

async fn until_acme_ends(months: &Months, acme: &Customer) {
    months.report_days(3, 4..=19, &[(acme, 40)]).await;
    months.system.set_time(at(3, 19, 12, 0)).await;
    months.cancel(acme, "at_period_end").await;
    months.report_days(3, 20..=31, &[(acme, 40)]).await;
    months.stands(acme, "active").await;
    months.report_days(4, 1..=15, &[(acme, 12)]).await;
    // The invoice of March was due on April 14 and is not paid; usage is billed all the same.
    months.stands(acme, "past_due").await;
    months.system.set_time(at(4, 15, 12, 0)).await;
    months.stands(acme, "canceled").await;
    months.system.set_time(at(4, 16, 3, 0)).await;
    months.report(acme, 12, at(4, 16, 3, 0), "not_billed").await;
    // Nothing comes after the end.
    months
        .system
        .set_time(at(4, 16, 3, 0) + TimeDelta::days(60))
        .await;
}

/// Acme: `managed-cloud` on premise at 26.5 cents, from February 20 at noon `self-hosted` at 16.5;
/// canceled in March, for the end of its period.
///
/// | reports | users | seat-days | cents |
/// |---|---|---|---|
/// | January 2 to 15 | 10 | 14 × 10 = 140 | trial: free |
/// | January 16 to 31 | 20 | 16 × 20 = 320 | |
/// | February 1 to 15 | 35 | 15 × 35 = 525 | 320 + 525 = 845; 845 × 26.5 = 22392.5, so 22393 |
/// | February 16 to 20 | 35 | 5 × 35 = 175 | 175 × 26.5 = 4637.5, so 4638 |
/// | February 21 to 28 | 35 | 8 × 35 = 280 | |
/// | March 1 to 15 | 40 | 15 × 40 = 600 | 280 + 600 = 880; 880 × 16.5 = 14520 |
/// | March 16 to 31 | 40 | 16 × 40 = 640 | |
/// | April 1 to 15, the last one past due | 12 | 15 × 12 = 180 | 640 + 180 = 820; 820 × 16.5 = 13530 |
/// | April 16 | 12 | | it is over: not billed |
///
/// Beta: `managed-cloud` on managed cloud at 33 cents; it misses a day, sends one late, corrects one,
/// and is canceled now on March 3 at noon.
///
/// | reports | users | seat-days | cents |
/// |---|---|---|---|
/// | January 2 to 15 | 7 | 14 × 7 = 98 | trial: free |
/// | January 16 to 31, but the 20th | 7 | 15 × 7 = 105 | |
/// | February 1 to 14 | 7 | 14 × 7 = 98 | |
/// | February 15, sent at 09:30 | 7 | 7 | 105 + 98 + 7 = 210; 210 × 33 = 6930 |
/// | February 16 to 28 | 7 | 13 × 7 = 91 | |
/// | March 1 to 3 | 8 | 3 × 8 = 24 | |
/// | March 3, 11:00, instead of 03:00 | 10 | 10 - 8 = 2 | 91 + 24 + 2 = 117; 117 × 33 = 3861 |
/// | March 4 | 8 | | it is over: not billed |
#[tokio::test(flavor = "multi_thread")]
async fn three_months_of_two_customers_are_right_to_the_cent() {
    let months = Months::begin().await;
    months.system.set_time(at(1, 1, 9, 0)).await;
    let acme = months.link("Acme", "on-premise", "managed-cloud").await;
    let beta = months.link("Beta", "managed-cloud", "managed-cloud").await;

    until_beta_ends(&months, &acme, &beta).await;
    until_acme_ends(&months, &acme).await;

    assert_eq!(
        months.invoices(&acme),
        [
            (at(2, 15, 9, 0), vec![line(845, 22_393)]),
            (at(3, 15, 9, 0), vec![line(175, 4_638), line(880, 14_520)]),
            (at(4, 15, 9, 0), vec![line(820, 13_530)]),
        ]
    );
    assert_eq!(
        months.invoices(&beta),
        [
            (at(2, 15, 9, 0), vec![line(210, 6_930)]),
            (at(3, 3, 12, 0), vec![line(117, 3_861)]),
        ]
    );
}
