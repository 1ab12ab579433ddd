//! Goal: how much somebody who has the shared token can have billed of an organization whose key is not
//! pinned, if nobody looks for a month, is what docs/SECURITY.md says.
//! Method: the whole system on a clock that the test moves. A stranger reports from elsewhere, minutes
//! before the instance does and stamped ahead of it, the most that is not held; and on its first day raises
//! the day before. What Stripe was sent is
//! added up, and compared with the document's table.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use billing_e2e::System;
use billing_e2e::actors::{Admin, Instance, terms};
use billing_harness::eventually;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use reqwest::StatusCode;

const SECURITY: &str = include_str!("../../../docs/SECURITY.md");

const USERS: i64 = 45;
const HOME: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.9";
/// So many days one of the two organizations has reported before the stranger comes.
const PEACE: i64 = 7;
const MONTH: i64 = 30;
/// How far ahead the stranger stamps a report.
const AHEAD: TimeDelta = TimeDelta::minutes(2);

/// 03:00 of a day; the stranger's first is day 0.
fn three(day: i64) -> DateTime<Utc> {
    let first = NaiveDate::from_ymd_opt(2027, 3, 1).unwrap();
    first.and_hms_opt(3, 0, 0).unwrap().and_utc() + TimeDelta::days(day)
}

/// An organization, and what the stranger has had counted of it.
struct Victim {
    instance: Instance,
    customer: String,
    /// The count of each day, from its link on.
    counted: Vec<i64>,
}

impl Victim {
    /// Reports, and is linked an hour later, which is now.
    async fn link(system: &System, now: DateTime<Utc>) -> Self {
        system.set_time(now).await;
        let instance = Instance::of(system).at_address(HOME);
        let at = now - TimeDelta::hours(1);
        assert_eq!(instance.report(USERS, at).await.status, StatusCode::OK);
        let admin = Admin::sign_in(system).await;
        let mut terms = terms();
        terms["trial_days"] = 0.into();
        let link = admin.link(instance.organization, &terms).await;
        assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);
        Self {
            customer: link.text("/organization/stripe_customer_id").to_owned(),
            instance,
            counted: Vec::new(),
        }
    }

    /// The most that is not held, by the documented rule.
    fn most(&self) -> i64 {
        let baseline = if self.counted.len() < 3 {
            USERS
        } else {
            let first = self.counted.len().saturating_sub(7);
            let mut last = self.counted[first..].to_vec();
            last.sort_unstable();
            last[(last.len() - 1) / 2]
        };
        (2 * baseline).max(baseline + 20)
    }

    /// The day's last word at Stripe.
    fn billed(&self, system: &System) -> BTreeMap<NaiveDate, i64> {
        let events = system.stripe.ledger().meter_events.into_iter();
        let of_it = events.filter(|event| event.customer == self.customer);
        let by_day = of_it.map(|event| {
            let day = DateTime::from_timestamp(event.timestamp, 0).unwrap();
            (day.date_naive(), event.value.parse().unwrap())
        });
        by_day.collect()
    }

    async fn wait_for(&self, system: &System, day: i64, users: i64) {
        let date = three(day).date_naive();
        let what = format!("Stripe counts {users} users on {date}");
        eventually(&what, async || {
            (self.billed(system).get(&date) == Some(&users)).then_some(())
        })
        .await;
    }

    async fn is_billed_as_it_says(&mut self, system: &System, day: i64) {
        let own = self.instance.report(USERS, three(day)).await;
        assert_eq!(own.status, StatusCode::OK, "{:?}", own.json);
        self.wait_for(system, day, USERS).await;
        self.counted.push(USERS);
    }

    /// One above the limit first, which is held; then the limit. The instance comes last. What was
    /// counted of the day is answered.
    async fn is_robbed(&mut self, day: i64) -> i64 {
        let stranger = self.instance.at_address(ELSEWHERE);
        let most = self.most();
        let ahead = three(day) + AHEAD;
        let above = stranger
            .report(most + 1, ahead - TimeDelta::seconds(1))
            .await;
        let forged = stranger.report(most, ahead).await;
        let own = self.instance.report(USERS, three(day)).await;
        for answer in [above, forged, own] {
            assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
        }
        self.counted.push(most);
        most
    }

    /// Raises the day before the first, which is billed; and one more before, which is held.
    async fn is_robbed_of_yesterday(&mut self, system: &System) {
        let stranger = self.instance.at_address(ELSEWHERE);
        let most = 2 * USERS;
        for (day, state) in [(-1, "sent"), (-2, "held")] {
            let late = three(day) + TimeDelta::hours(20);
            let forged = stranger.report(most, late).await;
            assert_eq!(forged.status, StatusCode::OK, "{:?}", forged.json);
            let admin = Admin::sign_in(system).await;
            let (id, report) = (self.instance.organization, forged.text("/report_id"));
            let row = admin.delivered(id, report, &[state]).await;
            assert!(day == -1 || row["error"]["code"] == "count_jump", "{row}");
        }
        // The first day has counted already.
        let yesterday = self.counted.len() - 2;
        self.counted[yesterday] = most;
    }

    /// The seat-days that were added in so many days from the stranger's first, and on the day before.
    fn added(&self, system: &System, days: i64) -> i64 {
        let period = three(-1).date_naive()..three(days).date_naive();
        let billed = self.billed(system).into_iter();
        let within = billed.filter(|(day, _)| period.contains(day));
        within.map(|(_, users)| users - USERS).sum()
    }
}

/// The rows of the document's table: days, and the numbers for an organization that has reported for a
/// week and for one that was just linked.
fn table() -> Vec<[i64; 3]> {
    let number = |cell: &str| {
        let word = cell.trim().split(' ').next().unwrap_or_default();
        word.replace(',', "").parse::<i64>().ok()
    };
    let row = |line: &str| -> Option<[i64; 3]> {
        let cells: Vec<_> = line.strip_prefix('|')?.split('|').collect();
        Some([
            number(cells.first()?)?,
            number(cells.get(1)?)?,
            number(cells.get(2)?)?,
        ])
    };
    SECURITY.lines().filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_adds_in_a_month_that_nobody_looks_is_what_the_document_says() {
    let system = System::start_at(three(-PEACE) - TimeDelta::hours(11)).await;
    let mut old = Victim::link(&system, three(-PEACE) - TimeDelta::hours(11)).await;
    for day in -PEACE..0 {
        system.set_time(three(day)).await;
        old.is_billed_as_it_says(&system, day).await;
    }
    let mut new = Victim::link(&system, three(0) - TimeDelta::hours(3)).await;
    for day in 0..MONTH {
        system.set_time(three(day)).await;
        let (of_old, of_new) = tokio::join!(old.is_robbed(day), new.is_robbed(day));
        // A report is delivered when its own time has come.
        system.set_time(three(day) + AHEAD).await;
        old.wait_for(&system, day, of_old).await;
        new.wait_for(&system, day, of_new).await;
        if day == 0 {
            // Its network is known by now.
            old.is_robbed_of_yesterday(&system).await;
        }
    }

    let rows = table();
    assert!(rows.len() >= 4, "docs/SECURITY.md has its table: {rows:?}");
    for [days, of_old, of_new] in rows {
        assert_eq!(old.added(&system, days), of_old, "{days} days");
        assert_eq!(new.added(&system, days), of_new, "{days} days, just linked");
    }

    // Of the higher ones none was billed, and each waits for an admin.
    let admin = Admin::sign_in(&system).await;
    for victim in [&old, &new] {
        let reports = admin.reports(victim.instance.organization).await;
        let held = reports
            .values()
            .filter(|row| row["delivery_state"] == "held");
        assert!(held.count() > 0, "what is above the limit is held");
    }
}
