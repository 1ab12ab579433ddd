//! Usage that Stripe took and then did not count, as it tells afterwards.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::domain::ids::EventId;

/// How many reasons of one event are kept; Stripe knows about a dozen.
const REASONS_MAX: usize = 100;
/// How many identifiers of one reason are kept.
const SAMPLES_MAX: usize = 100;

/// One reason of one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeterErrorReport {
    pub(crate) meter_id: Option<String>,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) count: i64,
    pub(crate) sample_identifiers: Vec<String>,
    pub(crate) validation_start: Option<DateTime<Utc>>,
    pub(crate) validation_end: Option<DateTime<Utc>>,
}

/// The same once it is kept.
#[derive(Debug, Clone)]
pub(crate) struct MeterError {
    pub(crate) id: Uuid,
    pub(crate) event_id: EventId,
    pub(crate) report: MeterErrorReport,
    pub(crate) found_at: DateTime<Utc>,
}

/// Reads a thin event as it is fetched; `None` where it is no such report.
pub(crate) fn read_reports(event: &Value) -> Option<Vec<MeterErrorReport>> {
    let data = event.get("data")?;
    let time = |name: &str| data.get(name)?.as_str()?.parse().ok();
    let summary = data
        .get("developer_message_summary")
        .and_then(Value::as_str);
    let meter_id = event.pointer("/related_object/id").and_then(Value::as_str);
    let reasons = data.pointer("/reason/error_types")?.as_array()?;
    let reports = reasons.iter().take(REASONS_MAX).map(|reason| {
        let samples = reason.get("sample_errors").and_then(Value::as_array);
        let samples = samples.map(Vec::as_slice).unwrap_or_default();
        let message = samples
            .first()
            .and_then(|sample| sample.get("error_message")?.as_str());
        let identifiers = samples
            .iter()
            .filter_map(|sample| sample.pointer("/request/identifier")?.as_str());
        Some(MeterErrorReport {
            meter_id: meter_id.map(str::to_owned),
            code: reason.get("code")?.as_str()?.to_owned(),
            message: message.or(summary).unwrap_or_default().to_owned(),
            count: reason
                .get("error_count")
                .and_then(Value::as_i64)
                .unwrap_or(0)
                .max(0),
            sample_identifiers: identifiers.take(SAMPLES_MAX).map(str::to_owned).collect(),
            validation_start: time("validation_start"),
            validation_end: time("validation_end"),
        })
    });
    reports.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_reason_is_one_report_with_its_samples() {
        let event = json!({"related_object": {"id": "mtr_1"}, "data": {
            "developer_message_summary": "There are 3 invalid events",
            "validation_start": "2026-03-02T12:00:00.000Z", "validation_end": "2026-03-02T12:00:10.000Z",
            "reason": {"error_count": 3, "error_types": [
                {"code": "meter_event_customer_not_found", "error_count": 2, "sample_errors": [
                    {"error_message": "No such customer", "request": {"identifier": "report-1"}},
                    {"error_message": "No such customer", "request": {"identifier": "report-2"}}]},
                {"code": "archived_meter", "error_count": 1}]}}});
        let reports = read_reports(&event).unwrap();
        let [customer, archived] = reports.as_slice() else {
            panic!("{reports:?}");
        };
        assert_eq!(customer.sample_identifiers, ["report-1", "report-2"]);
        assert_eq!(
            (customer.count, customer.message.as_str()),
            (2, "No such customer")
        );
        assert_eq!(customer.meter_id.as_deref(), Some("mtr_1"));
        assert!(customer.validation_end > customer.validation_start);
        assert_eq!(archived.message, "There are 3 invalid events");
        assert_eq!(read_reports(&json!({"id": "evt_1"})), None);
    }
}
