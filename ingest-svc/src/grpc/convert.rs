//! Proto messages to domain types and back, each enum by one exhaustive match.

use billing_kit::proto_time;
use billing_proto::{
    common::v1::{
        self as common, DeliveryState as ProtoState, ListUsageReportsResponse,
        RecordedReport as ProtoRecorded, RefusedReport, ReportingState as ProtoReportingState,
    },
    ingest::v1::{
        MissingDays, ReportOutcome, ReportResult, Reporting as ProtoReporting, UsageReport,
    },
};
use chrono::{DateTime, Datelike, Utc};
use uuid::Uuid;

use crate::{
    app::{Observed, Outcome, Page, Told},
    domain::{
        delivery::DeliveryState,
        expectation::ReportingState,
        report::RawReport,
        signing::{PublicKey, Signature},
    },
    store::{
        reporting::Reporting,
        reports::{PageEnd, RecordedReport},
    },
    wire::{deployment_to_proto, status_to_proto},
};

/// Adopted reports may be older than any that is taken in today.
const EARLIEST_YEAR: i32 = 1970;
const LATEST_YEAR: i32 = 9999;
const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 500;

pub(super) fn raw_report(report: UsageReport) -> RawReport {
    let UsageReport {
        organization_id,
        organization_name,
        instance_url,
        user_count,
        report_time,
        source_address,
        unreadable_fields,
        unreadable_body,
        signing_key,
        replaced_signing_key,
    } = report;
    RawReport {
        organization_id,
        organization_name,
        instance_url,
        user_count,
        reported_at: report_time.as_ref().and_then(proto_time::from_proto),
        source_address,
        unreadable_fields: unreadable_fields.into_iter().map(Into::into).collect(),
        unreadable_body,
        signature: PublicKey::from_bytes(&signing_key).map(|key| Signature {
            key,
            replaces: PublicKey::from_bytes(&replaced_signing_key),
        }),
    }
}

pub(super) fn outcome_to_proto((outcome, told): (Outcome, Option<Told>)) -> ReportOutcome {
    let (next_report_at, key_pinned, missing_days) = match told {
        Some(Told {
            next_report_at,
            key_pinned,
            missing_days,
        }) => (Some(next_report_at), key_pinned, missing_days),
        None => (None, false, None),
    };
    let missing_days = missing_days.map(|days| MissingDays {
        days: days.iter().map(ToString::to_string).collect(),
    });
    let taken = |result: ReportResult, report_id: Uuid, status| ReportOutcome {
        result: result.into(),
        report_id: report_id.to_string(),
        organization_status: status_to_proto(status).into(),
        field_violations: Vec::new(),
        next_report_time: next_report_at.map(proto_time::to_proto),
        key_pinned,
        missing_days: missing_days.clone(),
        retry_delay: None,
    };
    match outcome {
        Outcome::Recorded { report_id, status } => taken(ReportResult::Recorded, report_id, status),
        Outcome::Duplicate { report_id, status } => {
            taken(ReportResult::Duplicate, report_id, status)
        }
        Outcome::Conflict { report_id, status } => taken(ReportResult::Conflict, report_id, status),
        Outcome::Rejected(violations) => ReportOutcome {
            result: ReportResult::Rejected.into(),
            report_id: String::new(),
            organization_status: common::SubscriptionStatus::Unspecified.into(),
            field_violations: violations.into_iter().map(Into::into).collect(),
            ..ReportOutcome::default()
        },
        Outcome::NotAdmitted { retry_delay } => ReportOutcome {
            result: ReportResult::NotAdmitted.into(),
            retry_delay: prost_types::Duration::try_from(retry_delay).ok(),
            ..ReportOutcome::default()
        },
    }
}

fn state_to_proto(state: DeliveryState) -> ProtoState {
    match state {
        DeliveryState::Waiting => ProtoState::Waiting,
        DeliveryState::Queued => ProtoState::Queued,
        DeliveryState::Sent => ProtoState::Sent,
        DeliveryState::Superseded => ProtoState::Superseded,
        DeliveryState::Refused => ProtoState::Refused,
        DeliveryState::NotBilled => ProtoState::NotBilled,
        DeliveryState::TooLate => ProtoState::TooLate,
        DeliveryState::Held => ProtoState::Held,
        DeliveryState::MissedInvoice => ProtoState::MissedInvoice,
    }
}

pub(super) fn page_to_proto(page: Page) -> ListUsageReportsResponse {
    ListUsageReportsResponse {
        reports: page.reports.into_iter().map(recorded_to_proto).collect(),
        next_page_token: page.next.map(page_token_to_text).unwrap_or_default(),
        // The gateway says whose they are.
        organization_id: String::new(),
    }
}

pub(super) fn refused_to_proto(report: RecordedReport) -> RefusedReport {
    RefusedReport {
        organization_id: report.organization_id.to_string(),
        report: Some(recorded_to_proto(report)),
        // org-svc knows it; the gateway adds it.
        organization_name: String::new(),
    }
}

pub(super) fn recorded_to_proto(report: RecordedReport) -> ProtoRecorded {
    let RecordedReport {
        id,
        // Each answer says it of all its reports, or beside each.
        organization_id: _,
        user_count,
        deployment_type,
        reported_at,
        received_at,
        state,
        stripe_meter_event_id,
        error_code,
        error_message,
        counts,
        is_low,
        baseline,
    } = report;
    ProtoRecorded {
        id: id.to_string(),
        user_count: user_count.into(),
        deployment_type: deployment_to_proto(deployment_type).into(),
        report_time: reported_at.map(proto_time::to_proto),
        receive_time: received_at.map(proto_time::to_proto),
        delivery_state: state_to_proto(state).into(),
        stripe_meter_event_id: stripe_meter_event_id.unwrap_or_default(),
        error_code: error_code.unwrap_or_default(),
        error_message: error_message.unwrap_or_default(),
        counts,
        count_low: is_low,
        baseline_user_count: baseline,
    }
}

pub(super) fn reporting_to_proto(observed: Observed) -> ProtoReporting {
    let Observed {
        reporting,
        state,
        due_at,
    } = observed;
    let Reporting {
        organization_id,
        user_count,
        last_reported_at,
        // The state and the due time say it.
        expected_since: _,
        held_count,
    } = reporting;
    let state = match state {
        None => ProtoReportingState::Unspecified,
        Some(ReportingState::OnTime) => ProtoReportingState::OnTime,
        Some(ReportingState::Late) => ProtoReportingState::Late,
        Some(ReportingState::Silent) => ProtoReportingState::Silent,
    };
    ProtoReporting {
        organization_id: organization_id.to_string(),
        user_count: user_count.unwrap_or_default().into(),
        last_report_time: last_reported_at.map(proto_time::to_proto),
        reporting_state: state.into(),
        due_time: due_at.map(proto_time::to_proto),
        held_report_count: held_count,
    }
}

pub(super) fn page_size(size: i32) -> Result<u32, String> {
    match u32::try_from(size) {
        Err(_) => Err(format!("It is {size}; it must not be negative.")),
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
    }
}

pub(super) fn page_token_to_text((time, id): PageEnd) -> String {
    format!("{}.{}", time.timestamp_micros(), id.simple())
}

/// Whether a list of ours can hold this year: the calendars of Rust and PostgreSQL end elsewhere.
pub(super) fn is_ours(year: i32) -> bool {
    (EARLIEST_YEAR..=LATEST_YEAR).contains(&year)
}

pub(super) fn page_token_from_text(text: &str) -> Result<Option<PageEnd>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let end = text.split_once('.').and_then(|(micros, id)| {
        let time: DateTime<Utc> = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        is_ours(time.year()).then_some((time, Uuid::try_parse(id).ok()?))
    });
    end.map(Some).ok_or_else(|| {
        "The page token is invalid. Use `next_cursor` from the previous page.".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_leads_back_to_where_it_came_from() {
        let end = (
            DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            Uuid::max(),
        );
        assert_eq!(
            page_token_from_text(&page_token_to_text(end)),
            Ok(Some(end))
        );
        assert_eq!(page_token_from_text(""), Ok(None));
        assert!(page_token_from_text("1.2").is_err());
        let beyond = format!("-1000000000000000000.{}", Uuid::max().simple());
        assert!(
            page_token_from_text(&beyond).is_err(),
            "no calendar of PostgreSQL's"
        );
    }

    #[test]
    fn page_sizes_have_a_default_and_a_limit() {
        assert_eq!(page_size(0), Ok(PAGE_SIZE_DEFAULT));
        assert_eq!(page_size(10_000), Ok(PAGE_SIZE_MAX));
        assert!(page_size(-1).is_err());
    }
}
