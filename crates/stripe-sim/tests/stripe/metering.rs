//! Meter events, what is refused of them, and what the meter makes of the rest.

use std::time::Duration;

use serde_json::Value;
use stripe_sim::{Config, Fault, FaultEffect, RateLimits};

use crate::support::{Account, DAY, NOON, Pairs};

const MIDNIGHT: i64 = NOON - 12 * 3_600;

async fn summaries(account: &Account, meter: &str, query: Pairs<'_>) -> Vec<(i64, f64)> {
    let path = format!("/v1/billing/meters/{meter}/event_summaries");
    let list = account.get(&path, query).await.ok();
    let pair = |it: &Value| {
        (
            it["start_time"].as_i64().unwrap(),
            it["aggregated_value"].as_f64().unwrap(),
        )
    };
    list["data"].as_array().unwrap().iter().map(pair).collect()
}

#[tokio::test]
async fn an_identifier_is_taken_for_a_day() {
    let account = Account::open().await;
    let meter = account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let event = account.event(&customer, "r-1", "5", NOON).await.ok();
    assert_eq!(event["identifier"], "r-1");
    let again = account.event(&customer, "r-1", "5", NOON).await;
    let message = again.refused(400, None, Some("identifier"));
    assert_eq!(message, "An event already exists with identifier r-1.");
    account
        .sim
        .advance_clock(Duration::from_secs(24 * 3_600 + 1));
    account.event(&customer, "r-1", "5", NOON).await.ok();
    // Past 24 hours a resend counts twice.
    let (start, end) = (MIDNIGHT.to_string(), (MIDNIGHT + 2 * DAY).to_string());
    let query = [
        ("customer", customer.as_str()),
        ("start_time", &start),
        ("end_time", &end),
    ];
    assert_eq!(
        summaries(&account, &meter, &query).await,
        [(MIDNIGHT, 10.0)]
    );
    let events = account.sim.ledger().meter_events;
    assert_eq!(
        events
            .iter()
            .map(|it| it.received_order)
            .collect::<Vec<_>>(),
        [0, 1]
    );
}

const CUSTOMER_KEY: Option<&str> = Some("payload[stripe_customer_id]");
const VALUE_KEY: Option<&str> = Some("payload[value]");
const TIME: Option<&str> = Some("timestamp");

#[tokio::test]
async fn what_cannot_be_billed_is_refused() {
    let account = Account::open().await;
    account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let now = account.sim.now();
    for (who, value, at, code, param) in [
        ("cus_nobody", "1", now, "resource_missing", CUSTOMER_KEY),
        (
            "",
            "1",
            now,
            "meter_event_no_customer_defined",
            CUSTOMER_KEY,
        ),
        (
            &customer,
            "many",
            now,
            "meter_event_invalid_value",
            VALUE_KEY,
        ),
        (
            &customer,
            "1e5",
            now,
            "meter_event_invalid_value",
            VALUE_KEY,
        ),
        (
            &customer,
            "1234567890123456",
            now,
            "meter_event_value_too_many_digits",
            VALUE_KEY,
        ),
        (
            &customer,
            "1",
            now - 36 * DAY,
            "timestamp_too_far_in_past",
            TIME,
        ),
        (&customer, "1", now + 400, "timestamp_in_future", TIME),
    ] {
        account
            .event(who, "r", value, at)
            .await
            .refused(400, Some(code), param);
    }
    let form = [
        ("event_name", "seats"),
        ("payload[stripe_customer_id]", customer.as_str()),
    ];
    let answer = account.post("/v1/billing/meter_events", &form).await;
    answer.refused(400, Some("meter_event_value_not_found"), VALUE_KEY);
    assert_eq!(account.sim.ledger().meter_event_count, 0);
    for (at, value) in [
        (now - 34 * DAY, "-1.5"),
        (now + 200, "123456789012345"),
        (now, "0.5"),
    ] {
        account
            .event(&customer, &at.to_string(), value, at)
            .await
            .ok();
    }
}

#[tokio::test]
async fn only_an_active_meter_takes_events() {
    let account = Account::open().await;
    let customer = account.customer().await;
    let name = Some("event_name");
    account
        .event(&customer, "r", "1", NOON)
        .await
        .refused(400, Some("no_meter"), name);
    let meter = account.meter("sum", &[]).await;
    account
        .post(&format!("/v1/billing/meters/{meter}/deactivate"), &[])
        .await
        .ok();
    account
        .event(&customer, "r", "1", NOON)
        .await
        .refused(400, Some("archived_meter"), name);
    account
        .post(&format!("/v1/billing/meters/{meter}/reactivate"), &[])
        .await
        .ok();
    account.event(&customer, "r", "1", NOON).await.ok();
}

#[tokio::test]
async fn formulas_differ() {
    for (formula, value) in [("sum", 12.5), ("count", 3.0), ("last", 7.5)] {
        let account = Account::open().await;
        let meter = account.meter(formula, &[]).await;
        let customer = account.customer().await;
        // Received out of order: `last` is the last in time.
        for (identifier, value, at) in [
            ("a", "2", NOON - 60),
            ("b", "7.5", NOON),
            ("c", "3", NOON - 30),
        ] {
            account.event(&customer, identifier, value, at).await.ok();
        }
        let (start, end) = (MIDNIGHT.to_string(), (MIDNIGHT + DAY).to_string());
        let query = [
            ("customer", customer.as_str()),
            ("start_time", &start),
            ("end_time", &end),
        ];
        assert_eq!(
            summaries(&account, &meter, &query).await,
            [(MIDNIGHT, value)],
            "{formula}"
        );
        let other = account.customer().await;
        let query = [
            ("customer", other.as_str()),
            ("start_time", &start),
            ("end_time", &end),
        ];
        assert_eq!(
            summaries(&account, &meter, &query).await,
            [(MIDNIGHT, 0.0)],
            "{formula}"
        );
    }
}

#[tokio::test]
async fn in_a_window_only_the_event_received_last_counts() {
    let account = Account::open().await;
    let meter = account.meter("sum", &[("event_time_window", "day")]).await;
    let customer = account.customer().await;
    let yesterday = NOON - DAY;
    for (identifier, value, at) in [
        ("y-1", "10", yesterday),
        ("t-1", "20", NOON),
        ("t-2", "21", NOON - 3_600),
        ("y-2", "11", yesterday + 60),
    ] {
        account.event(&customer, identifier, value, at).await.ok();
    }
    let (start, end) = (
        (MIDNIGHT - 5 * DAY).to_string(),
        (MIDNIGHT + DAY).to_string(),
    );
    let mut query = vec![
        ("customer", customer.as_str()),
        ("start_time", &start),
        ("end_time", &end),
    ];
    assert_eq!(
        summaries(&account, &meter, &query).await,
        [(MIDNIGHT - 5 * DAY, 32.0)]
    );
    // Only days with usage, newest first.
    query.push(("value_grouping_window", "day"));
    let days = [(MIDNIGHT, 21.0), (MIDNIGHT - DAY, 11.0)];
    assert_eq!(summaries(&account, &meter, &query).await, days);
    query.push(("limit", "1"));
    assert_eq!(summaries(&account, &meter, &query).await, days[..1]);

    // Cancelled, the later one gives way to the earlier.
    let form = [
        ("event_name", "seats"),
        ("type", "cancel"),
        ("cancel[identifier]", "t-2"),
    ];
    account
        .post("/v1/billing/meter_event_adjustments", &form)
        .await
        .ok();
    assert_eq!(
        summaries(&account, &meter, &query).await,
        [(MIDNIGHT, 20.0)]
    );
    account.sim.advance_clock(Duration::from_secs(25 * 3_600));
    let form = [
        ("event_name", "seats"),
        ("type", "cancel"),
        ("cancel[identifier]", "t-1"),
    ];
    let late = account
        .post("/v1/billing/meter_event_adjustments", &form)
        .await;
    late.refused(400, None, Some("cancel[identifier]"));
}

#[tokio::test]
async fn summaries_are_aligned() {
    let account = Account::open().await;
    let meter = account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let path = format!("/v1/billing/meters/{meter}/event_summaries");
    for (start, end, grouping, param) in [
        (MIDNIGHT + 1, NOON, None, "start_time"),
        (MIDNIGHT, NOON + 59, None, "end_time"),
        (MIDNIGHT, NOON, Some("day"), "end_time"),
        (MIDNIGHT + 60, NOON, Some("hour"), "start_time"),
        (NOON, MIDNIGHT, None, "end_time"),
    ] {
        let (start, end) = (start.to_string(), end.to_string());
        let mut query = vec![
            ("customer", customer.as_str()),
            ("start_time", &start),
            ("end_time", &end),
        ];
        query.extend(grouping.map(|grouping| ("value_grouping_window", grouping)));
        account
            .get(&path, &query)
            .await
            .refused(400, None, Some(param));
    }
}

#[tokio::test]
async fn a_customer_and_meter_take_one_call_at_a_time() {
    let account = Account::open().await;
    account.meter("sum", &[]).await;
    let (one, two) = (account.customer().await, account.customer().await);
    let slow = Fault::once("POST /v1/billing/meter_events", FaultEffect::DelayMs(400));
    account.sim.inject(slow).unwrap();
    let second = async {
        account.until_struck().await;
        let same = account.event(&one, "b", "1", NOON).await;
        let other = account.event(&two, "c", "1", NOON).await;
        (same, other)
    };
    let (first, (same, other)) = tokio::join!(account.event(&one, "a", "1", NOON), second);
    first.ok();
    same.refused(429, Some("lock_timeout"), None);
    other.ok();
    account.event(&one, "b", "1", NOON).await.ok();
}

#[tokio::test]
async fn rate_limits_hold_where_they_are_set() {
    let rate_limits = RateLimits {
        calls_per_second: None,
        meter_events_per_second: Some(2),
    };
    let account = Account::open_with(Config {
        rate_limits,
        ..Config::default()
    })
    .await;
    account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let now = account.sim.now();
    let mut admitted = 0;
    for number in 0..20 {
        let answer = account
            .event(&customer, &number.to_string(), "1", now)
            .await;
        if answer.status == 429 {
            assert_eq!(
                answer.header("stripe-rate-limited-reason"),
                Some("global-rate")
            );
            answer.refused(429, Some("rate_limit"), None);
        } else {
            answer.ok();
            admitted += 1;
        }
    }
    assert!((2..20).contains(&admitted), "{admitted}");
}
