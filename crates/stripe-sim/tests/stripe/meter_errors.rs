//! Bad meter events that are accepted and reported later, by thin events with samples.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Account, NOON, id};

const THIN: &str = "/v2/core/events";

async fn reports(account: &Account) -> Vec<Value> {
    account.get(THIN, &[]).await.ok()["data"]
        .as_array()
        .unwrap()
        .clone()
}

/// An account that reports bad events later, with two samples each, its meter and a customer.
async fn lenient() -> (Account, String, String) {
    let account = Account::open().await;
    let meter = account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let settings = json!({ "meter_errors": "reported", "meter_error_samples": 2 });
    account
        .control(Method::POST, "/_sim/settings", &settings)
        .await
        .ok();
    (account, meter, customer)
}

#[tokio::test]
async fn bad_events_are_accepted_and_reported_with_samples() {
    let (account, meter, customer) = lenient().await;
    for number in 1..=3 {
        let identifier = format!("nobody-{number}");
        account
            .event("cus_nobody", &identifier, "1", NOON)
            .await
            .ok();
    }
    account.event(&customer, "word", "many", NOON).await.ok();
    account
        .event(&customer, "late", "1", NOON - 40 * 86_400)
        .await
        .ok();
    account.event(&customer, "good", "1", NOON).await.ok();
    assert_eq!(account.sim.ledger().meter_event_count, 1);
    account.sim.advance_clock(Duration::from_secs(11));
    // The ten seconds may turn between two events; then there is a report of each.
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let reports = reports(&account).await;
    for report in &reports {
        assert_eq!(report["type"], "v1.billing.meter.error_report_triggered");
        assert_eq!(report["related_object"]["id"], meter.as_str());
        assert_eq!(report["related_object"]["type"], "billing.meter");
        for of_code in report["data"]["reason"]["error_types"].as_array().unwrap() {
            let code = of_code["code"].as_str().unwrap().to_owned();
            *counts.entry(code).or_insert(0) += of_code["error_count"].as_i64().unwrap();
            let samples = of_code["sample_errors"].as_array().unwrap();
            assert!((1..=2).contains(&samples.len()));
            assert!(samples[0]["request"]["identifier"].is_string());
        }
    }
    let counts: Vec<(&str, i64)> = counts
        .iter()
        .map(|(code, it)| (code.as_str(), *it))
        .collect();
    assert_eq!(
        counts,
        [
            ("meter_event_customer_not_found", 3),
            ("meter_event_invalid_value", 1),
            ("timestamp_too_far_in_past", 1),
        ]
    );
    let query = [("object_id", meter.as_str())];
    let by_meter = account.get(THIN, &query).await.ok();
    assert_eq!(by_meter["data"].as_array().unwrap().len(), reports.len());
}

#[tokio::test]
async fn a_name_without_a_meter_is_reported_and_a_bad_call_refused() {
    let (account, _, customer) = lenient().await;
    let form = [
        ("event_name", "nothing"),
        ("identifier", "lost"),
        ("payload[stripe_customer_id]", customer.as_str()),
        ("payload[value]", "1"),
    ];
    let path = "/v1/billing/meter_events";
    account.post(path, &form).await.ok();
    account.post(path, &form[1..]).await.refused(
        400,
        Some("parameter_missing"),
        Some("event_name"),
    );
    account.event(&customer, "good", "1", NOON).await.ok();
    account
        .event(&customer, "good", "1", NOON)
        .await
        .refused(400, None, Some("identifier"));
    account.sim.advance_clock(Duration::from_secs(11));
    let reports = reports(&account).await;
    let no_meter = &reports[0];
    assert_eq!(no_meter["type"], "v1.billing.meter.no_meter_found");
    assert!(no_meter.get("related_object").is_none());
    let sample = &no_meter["data"]["reason"]["error_types"][0]["sample_errors"][0];
    assert_eq!(sample["request"]["identifier"], "lost");
    let one = format!("{THIN}/{}", id(no_meter));
    assert_eq!(&account.get(&one, &[]).await.ok(), no_meter);
    account
        .get(&format!("{THIN}/evt_test_none"), &[])
        .await
        .refused(404, Some("resource_missing"), Some("id"));
}

#[tokio::test]
async fn summaries_lag_as_far_as_they_are_told_to() {
    let account = Account::open().await;
    let meter = account.meter("sum", &[]).await;
    let customer = account.customer().await;
    let settings = json!({ "summary_lag_s": 300 });
    account
        .control(Method::POST, "/_sim/settings", &settings)
        .await
        .ok();
    account.event(&customer, "r-1", "4", NOON).await.ok();
    let (start, end) = (NOON.to_string(), (NOON + 60).to_string());
    let query = [
        ("customer", customer.as_str()),
        ("start_time", &start),
        ("end_time", &end),
    ];
    let path = format!("/v1/billing/meters/{meter}/event_summaries");
    let shown = async || {
        let summaries = account.get(&path, &query).await.ok();
        summaries["data"][0]["aggregated_value"].as_i64()
    };
    assert_eq!(shown().await, Some(0));
    account.sim.advance_clock(Duration::from_secs(301));
    assert_eq!(shown().await, Some(4));
}
