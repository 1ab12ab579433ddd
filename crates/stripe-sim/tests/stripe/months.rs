//! Three months of one customer, day by day, and the invoices worked out by hand.
//!
//! The meter sums one event a UTC day, the prices are per seat and day.

use serde_json::Value;

use crate::support::{Account, DAY, id};

/// 2028-01-01 00:00:00 UTC, of a leap year.
const NEW_YEAR: i64 = 1_830_297_600;
const HOUR: i64 = 3_600;

/// The start of a day of 2028; January 32 is the first of February, day 60 is February 29.
const fn day(of_year: i64) -> i64 {
    NEW_YEAR + (of_year - 1) * DAY
}

struct Months {
    account: Account,
    clock: String,
    customer: String,
    meter: String,
    product: String,
}

impl Months {
    async fn begin(formula: &str, window: &[(&str, &str)], at: i64) -> Self {
        let account = Account::open().await;
        let meter = account.meter(formula, window).await;
        let product = id(&account
            .post("/v1/products", &[("name", "Seats")])
            .await
            .ok());
        let (clock, customer) = account.clock(at).await;
        Self {
            account,
            clock,
            customer,
            meter,
            product,
        }
    }

    /// A monthly price of so many cents for each unit of the meter.
    async fn price(&self, cents: &str) -> String {
        let form = [
            ("product", self.product.as_str()),
            ("currency", "eur"),
            ("unit_amount_decimal", cents),
            ("recurring[interval]", "month"),
            ("recurring[usage_type]", "metered"),
            ("recurring[meter]", &self.meter),
        ];
        id(&self.account.post("/v1/prices", &form).await.ok())
    }

    async fn subscribe(&self, price: &str, more: &[(&str, &str)]) -> String {
        let mut form = vec![
            ("customer", self.customer.as_str()),
            ("items[0][price]", price),
            ("collection_method", "send_invoice"),
            ("days_until_due", "30"),
        ];
        form.extend(more);
        id(&self.account.post("/v1/subscriptions", &form).await.ok())
    }

    async fn advance(&self, to: i64) {
        self.account.advance(&self.clock, to).await;
    }

    /// Reports so many seats for a time, at the customer's own present.
    async fn report(&self, at: i64, seats: &str) {
        let count = self.account.sim.ledger().meter_event_count;
        let identifier = format!("r-{count}");
        self.account
            .event(&self.customer, &identifier, seats, at)
            .await
            .ok();
    }

    /// One report at three in the morning of each of these days.
    async fn report_days(&self, days: std::ops::RangeInclusive<i64>, seats: &str) {
        for of_year in days {
            self.report(day(of_year) + 3 * HOUR, seats).await;
        }
    }

    /// The invoices, oldest first.
    async fn invoices(&self, subscription: &str) -> Vec<Value> {
        let query = [("subscription", subscription), ("limit", "100")];
        let list = self.account.get("/v1/invoices", &query).await.ok();
        let mut invoices = list["data"].as_array().unwrap().clone();
        invoices.reverse();
        invoices
    }

    async fn subscription(&self, subscription: &str) -> Value {
        let path = format!("/v1/subscriptions/{subscription}");
        self.account.get(&path, &[]).await.ok()
    }
}

const DAILY: [(&str, &str); 1] = [("event_time_window", "day")];

/// Of each line the period, the quantity and the amount.
fn lines(invoice: &Value) -> Vec<(i64, i64, &str, i64)> {
    let lines = invoice["lines"]["data"].as_array().unwrap().iter();
    lines
        .map(|line| {
            (
                line["period"]["start"].as_i64().unwrap(),
                line["period"]["end"].as_i64().unwrap(),
                line["quantity_decimal"].as_str().unwrap(),
                line["amount"].as_i64().unwrap(),
            )
        })
        .collect()
}

/// Trial until January 15, then months from the 15th. 10 seats in the trial, 20 to the end of
/// January, 35 from February on; on February 25 at noon the price rises from 12.5 to 20.0333 cents;
/// in March the subscription is cancelled to the end of its period.
///
/// | period | seat-days | amount |
/// | --- | --- | --- |
/// | trial, 1 to 15 January | 14 × 10 = 140 | free |
/// | 15 January to 15 February | 17 × 20 + 14 × 35 = 830 | 830 × 12.5 = 10375 |
/// | 15 February to the 25th, noon | 11 × 35 = 385 | 385 × 12.5 = 4812.5, so 4813 |
/// | from there to 15 March | (4 + 14) × 35 = 630 | 630 × 20.0333 = 12620.979, so 12621 |
/// | 15 March to 15 April | (17 + 14) × 35 = 1085 | 1085 × 20.0333 = 21736.1305, so 21736 |
#[tokio::test]
async fn three_months_are_right_to_the_cent() {
    let months = Months::begin("sum", &DAILY, NEW_YEAR).await;
    let basic = months.price("12.5").await;
    let better = months.price("20.0333").await;
    let trial = [("trial_period_days", "14")];
    let subscription = months.subscribe(&basic, &trial).await;
    let path = format!("/v1/subscriptions/{subscription}");

    months.advance(day(14) + 23 * HOUR).await;
    months.report_days(1..=14, "10").await;
    assert!(months.invoices(&subscription).await.is_empty());
    months.advance(day(46) - HOUR).await;
    months.report_days(15..=31, "20").await;
    months.report_days(32..=45, "34").await;
    // A later report of the same day replaces the earlier one, it is not added to it.
    months.report_days(32..=45, "35").await;

    let changed_at = day(56) + 12 * HOUR;
    months.advance(changed_at).await;
    months.report_days(46..=56, "35").await;
    let item = months.subscription(&subscription).await["items"]["data"][0].clone();
    let form = [
        ("items[0][id]", item["id"].as_str().unwrap()),
        ("items[0][price]", better.as_str()),
    ];
    let changed = months.account.post(&path, &form).await.ok();
    let changed = &changed["items"]["data"][0];
    assert_eq!(changed["price"]["id"], better.as_str());
    assert_eq!(changed["current_period_end"], item["current_period_end"]);

    months.advance(day(75) - HOUR).await;
    months.report_days(57..=74, "35").await;
    months.advance(day(80)).await;
    let at_end = [("cancel_at_period_end", "true")];
    months.account.post(&path, &at_end).await.ok();
    months.advance(day(106) - HOUR).await;
    months.report_days(75..=105, "35").await;
    months.advance(day(200)).await;

    let invoices = months.invoices(&subscription).await;
    let billed: Vec<_> = invoices.iter().map(lines).collect();
    assert_eq!(
        billed,
        [
            vec![(day(15), day(46), "830", 10_375)],
            vec![
                (day(46), changed_at, "385", 4_813),
                (changed_at, day(75), "630", 12_621)
            ],
            vec![(day(75), day(106), "1085", 21_736)],
        ]
    );
    let totals: Vec<_> = invoices
        .iter()
        .map(|it| it["amount_due"].as_i64().unwrap())
        .collect();
    assert_eq!(totals, [10_375, 17_434, 21_736]);
    for (invoice, end) in invoices.iter().zip([day(46), day(75), day(106)]) {
        assert_eq!(invoice["created"], end);
        assert_eq!(invoice["status_transitions"]["finalized_at"], end + HOUR);
        assert_eq!(invoice["billing_reason"], "subscription_cycle");
        assert_eq!(invoice["due_date"], end + HOUR + 30 * DAY);
    }
    let ended = months.subscription(&subscription).await;
    assert_eq!(
        (&ended["status"], &ended["ended_at"]),
        (&"canceled".into(), &day(106).into())
    );
    assert_eq!(ended["latest_invoice"], invoices[2]["id"]);
}

#[tokio::test]
async fn one_advance_over_three_months_gives_three_invoices() {
    let months = Months::begin("sum", &DAILY, day(31)).await;
    let price = months.price("100").await;
    let subscription = months.subscribe(&price, &[]).await;
    months.report(day(31) + 60, "7").await;
    months.advance(day(122)).await;
    let invoices = months.invoices(&subscription).await;
    let billed: Vec<_> = invoices.iter().map(lines).collect();
    // January 31, February 29, March 31, April 30: the month's last day where it has no 31st.
    assert_eq!(
        billed,
        [
            vec![(day(31), day(60), "7", 700)],
            vec![(day(60), day(91), "0", 0)],
            vec![(day(91), day(121), "0", 0)],
        ]
    );
    let statuses: Vec<_> = invoices.iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, ["open", "paid", "paid"], "nothing is due of 0");
    let numbers: Vec<_> = invoices
        .iter()
        .map(|it| it["number"].as_str().unwrap().split_once('-').unwrap().1)
        .collect();
    assert_eq!(numbers, ["0001", "0002", "0003"]);
}

#[tokio::test]
async fn late_usage_counts_until_the_invoice_is_final_and_never_after() {
    let months = Months::begin("sum", &DAILY, day(1)).await;
    let price = months.price("100").await;
    let subscription = months.subscribe(&price, &[]).await;
    months.advance(day(32) + HOUR / 2).await;
    let draft = &months.invoices(&subscription).await[0];
    assert_eq!(
        (&draft["status"], &draft["automatically_finalizes_at"]),
        (&"draft".into(), &(day(32) + HOUR).into())
    );
    months.report(day(31) + HOUR, "4").await;
    assert_eq!(
        months.invoices(&subscription).await[0]["total"],
        400,
        "a draft follows the meter"
    );
    months.advance(day(32) + HOUR).await;
    months.report(day(30) + HOUR, "9").await;
    months.advance(day(61) + 2 * HOUR).await;
    let invoices = months.invoices(&subscription).await;
    let totals: Vec<_> = invoices.iter().map(|it| &it["total"]).collect();
    assert_eq!(totals, [400, 0]);
}

#[tokio::test]
async fn cancelling_now_bills_the_open_period_only_when_asked_to() {
    for (invoice_now, billed) in [("true", vec![1_000]), ("false", vec![])] {
        let months = Months::begin("sum", &DAILY, day(1)).await;
        let price = months.price("100").await;
        let subscription = months.subscribe(&price, &[]).await;
        months.advance(day(10)).await;
        months.report_days(1..=2, "5").await;
        let path = format!("/v1/subscriptions/{subscription}");
        let form = [("invoice_now", invoice_now)];
        let ended = months.account.delete(&path, &form).await.ok();
        assert_eq!(ended["status"], "canceled");
        months.advance(day(100)).await;
        let invoices = months.invoices(&subscription).await;
        let totals: Vec<_> = invoices
            .iter()
            .map(|it| it["total"].as_i64().unwrap())
            .collect();
        assert_eq!(totals, billed, "invoice_now={invoice_now}");
        if let Some(invoice) = invoices.first() {
            assert_eq!(lines(invoice), [(day(1), day(10), "10", 1_000)]);
            assert_eq!(ended["latest_invoice"], invoice["id"]);
        }
    }
}

#[tokio::test]
async fn each_formula_bills_what_its_meter_shows() {
    for (formula, window, quantity, amount) in [
        ("sum", &[][..], "60.5", 151),
        ("count", &[][..], "3", 8),
        ("last", &[][..], "5", 13),
        ("sum", &DAILY[..], "55.5", 139),
        ("count", &DAILY[..], "2", 5),
    ] {
        let months = Months::begin(formula, window, day(1)).await;
        let price = months.price("2.5").await;
        let subscription = months.subscribe(&price, &[]).await;
        months.advance(day(30)).await;
        months.report(day(2), "5").await;
        months.report(day(2) + HOUR, "50.5").await;
        months.report(day(29), "5").await;
        months.advance(day(32) + HOUR).await;
        let invoices = months.invoices(&subscription).await;
        let expected = [(day(1), day(32), quantity, amount)];
        assert_eq!(lines(&invoices[0]), expected, "{formula} {window:?}");
    }
}

#[tokio::test]
async fn a_negative_total_bills_nothing() {
    let months = Months::begin("sum", &[], day(1)).await;
    let price = months.price("100").await;
    let subscription = months.subscribe(&price, &[]).await;
    months.advance(day(5)).await;
    months.report(day(2), "3").await;
    months.report(day(3), "-8").await;
    months.advance(day(33)).await;
    let invoices = months.invoices(&subscription).await;
    assert_eq!(lines(&invoices[0]), [(day(1), day(32), "0", 0)]);
}

#[tokio::test]
async fn items_come_and_go_and_what_they_used_is_billed() {
    for (more, removed) in [
        (&[][..], Some(("10", 1_000))),
        (&[("proration_behavior", "none")][..], None),
        (&[("items[0][clear_usage]", "true")][..], None),
    ] {
        let months = Months::begin("sum", &DAILY, day(1)).await;
        let (one, two) = (months.price("100").await, months.price("200").await);
        let subscription = months.subscribe(&one, &[]).await;
        let path = format!("/v1/subscriptions/{subscription}");
        let item = months.subscription(&subscription).await["items"]["data"][0]["id"].clone();
        months.advance(day(11)).await;
        months.report_days(1..=2, "5").await;
        let mut form = vec![
            ("items[0][id]", item.as_str().unwrap()),
            ("items[0][deleted]", "true"),
            ("items[1][price]", two.as_str()),
        ];
        form.extend(more);
        let changed = months.account.post(&path, &form).await.ok();
        assert_eq!(changed["items"]["total_count"], 1);
        months.report(day(11) + 60, "6").await;
        months.advance(day(33)).await;
        let invoices = months.invoices(&subscription).await;
        let mut expected = vec![(day(11), day(32), "6", 1_200)];
        if let Some((quantity, amount)) = removed {
            expected.insert(0, (day(1), day(11), quantity, amount));
        }
        assert_eq!(lines(&invoices[0]), expected, "{more:?}");
    }
}

#[tokio::test]
async fn a_price_change_may_bill_at_once_and_classic_mode_bills_it_all_at_the_new_price() {
    let months = Months::begin("sum", &DAILY, day(1)).await;
    let (one, two) = (months.price("100").await, months.price("200").await);
    let classic = [("billing_mode[type]", "classic")];
    let at_once = [("proration_behavior", "always_invoice")];
    for (mode, more, expected) in [
        (
            &[][..],
            &at_once[..],
            vec![
                vec![(day(1), day(11), "5", 500)],
                vec![(day(11), day(32), "0", 0)],
            ],
        ),
        (
            &classic[..],
            &[][..],
            vec![vec![(day(1), day(32), "5", 1_000)]],
        ),
    ] {
        let months = Months::begin("sum", &DAILY, day(1)).await;
        let (one, two) = (months.price("100").await, months.price("200").await);
        let subscription = months.subscribe(&one, mode).await;
        let path = format!("/v1/subscriptions/{subscription}");
        let item = months.subscription(&subscription).await["items"]["data"][0]["id"].clone();
        months.advance(day(11)).await;
        months.report(day(2), "5").await;
        let mut form = vec![
            ("items[0][id]", item.as_str().unwrap()),
            ("items[0][price]", two.as_str()),
        ];
        form.extend(more);
        let changed = months.account.post(&path, &form).await.ok();
        assert_eq!(changed["latest_invoice"].is_string(), !more.is_empty());
        months.advance(day(33)).await;
        let invoices = months.invoices(&subscription).await;
        let billed: Vec<_> = invoices.iter().map(lines).collect();
        assert_eq!(billed, expected);
    }
    let subscription = months.subscribe(&one, &[]).await;
    let path = format!("/v1/subscriptions/{subscription}");
    for (form, param) in [
        (&[("items[0][id]", "si_none")][..], "items[0][id]"),
        (&[("items[0][price]", one.as_str())][..], "items[0][price]"),
        (
            &[
                ("items[0][price]", two.as_str()),
                ("items[0][quantity]", "2"),
            ][..],
            "items[0][quantity]",
        ),
    ] {
        let refused = months.account.post(&path, form).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.body["error"]["param"], param, "{form:?}");
    }
}
