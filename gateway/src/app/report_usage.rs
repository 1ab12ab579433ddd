//! Takes in a usage report.

use std::net::IpAddr;

use billing_kit::{Fault, Violation, proto_time};
use billing_proto::{
    common::v1::{ErrorReason, SubscriptionStatus},
    ingest::v1::{ReportOutcome, ReportResult, UsageReport},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::App;
use crate::{
    domain::{report_draft::ReportDraft, report_signature::Signed},
    upstream::REPORT_DEADLINE,
    worker::report_queue::ReportFailure,
};

/// A report that is committed and will not be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its id; the same again for the same report.
    pub report_id: String,
    /// How the organization stands, or the last that was known of it.
    pub organization_status: SubscriptionStatus,
    /// When the organization's next report is expected.
    pub next_report_expected_at: Option<DateTime<Utc>>,
    /// Whether a key is pinned for the organization.
    pub key_pinned: bool,
    /// UTC days without a report; `None` for a sender that is not to be told.
    pub missing_days: Option<Vec<String>>,
}

impl App {
    /// Has a report recorded, together with whatever else is waiting to be.
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming every field at fault; REPORT_CONFLICT; UNAVAILABLE when it is not
    /// known to be recorded, and the same report may be sent again.
    pub(crate) async fn report_usage(
        &self,
        draft: ReportDraft,
        source: Option<IpAddr>,
        signed: Option<Signed>,
    ) -> Result<Recorded, Fault> {
        // A draft that is at fault goes to ingest-svc too, which rejects it and names what is wrong
        // with the fields that could be read.
        let answer = tokio::time::timeout(
            REPORT_DEADLINE,
            self.reports.record(message(&draft, source, signed)),
        )
        .await
        .unwrap_or(Err(ReportFailure::Unknown));
        match answer {
            Ok(outcome) => conclude(draft, outcome),
            Err(_) if !draft.violations.is_empty() => Err(Fault::invalid(draft.violations)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Has it noted that a report of this organization was refused here, because it could not be read
    /// or its signature is not good, so that an admin sees it. Nobody waits for longer than for a report, and what becomes of it is not the instance's concern.
    pub(crate) async fn note_refusal(
        &self,
        organization: Uuid,
        problem: &Fault,
        source: Option<IpAddr>,
    ) {
        let report = UsageReport {
            organization_id: organization.to_string(),
            source_address: address_text(source),
            unreadable_body: problem.message.clone(),
            ..UsageReport::default()
        };
        let noted = tokio::time::timeout(REPORT_DEADLINE, self.reports.record(report)).await;
        if !matches!(noted, Ok(Ok(_))) {
            tracing::debug!(%organization, "a refusal is not noted");
        }
    }
}

fn address_text(source: Option<IpAddr>) -> String {
    source.map_or_else(String::new, |address| address.to_string())
}

fn message(draft: &ReportDraft, source: Option<IpAddr>, signed: Option<Signed>) -> UsageReport {
    let ReportDraft {
        organization_id,
        organization_name,
        instance_url,
        user_count,
        timestamp,
        violations,
    } = draft;
    UsageReport {
        organization_id: organization_id.clone().unwrap_or_default(),
        organization_name: organization_name.clone().unwrap_or_default(),
        instance_url: instance_url.clone().unwrap_or_default(),
        user_count: *user_count,
        report_time: timestamp.map(proto_time::to_proto),
        source_address: address_text(source),
        unreadable_fields: violations.iter().cloned().map(Into::into).collect(),
        unreadable_body: String::new(),
        signing_key: signed.map(|it| it.key.to_vec()).unwrap_or_default(),
        replaced_signing_key: signed
            .and_then(|it| it.replaces)
            .map(|key| key.to_vec())
            .unwrap_or_default(),
    }
}

/// The organization is not known, and its network brought too many new ones today.
fn not_admitted(retry_delay: Option<prost_types::Duration>) -> Fault {
    let mut fault = Fault::new(
        ErrorReason::RateLimited,
        "This network brought too many new organizations today.",
    );
    fault.retry_after = retry_delay.and_then(|delay| delay.try_into().ok());
    fault
}

fn conclude(draft: ReportDraft, outcome: ReportOutcome) -> Result<Recorded, Fault> {
    let result = outcome.result();
    let organization_status = outcome.organization_status();
    let ReportOutcome {
        result: _,
        report_id,
        organization_status: _,
        field_violations,
        next_report_time,
        key_pinned,
        missing_days,
        retry_delay,
    } = outcome;
    match result {
        ReportResult::Recorded | ReportResult::Duplicate if draft.violations.is_empty() => {
            Ok(Recorded {
                report_id,
                organization_status: match organization_status {
                    SubscriptionStatus::Unspecified => SubscriptionStatus::Pending,
                    known @ (SubscriptionStatus::Pending
                    | SubscriptionStatus::Trial
                    | SubscriptionStatus::Active
                    | SubscriptionStatus::PastDue
                    | SubscriptionStatus::Unpaid
                    | SubscriptionStatus::Incomplete
                    | SubscriptionStatus::IncompleteExpired
                    | SubscriptionStatus::Paused
                    | SubscriptionStatus::Canceled) => known,
                },
                next_report_expected_at: next_report_time.as_ref().and_then(proto_time::from_proto),
                key_pinned,
                missing_days: missing_days.map(|missing| missing.days),
            })
        }
        ReportResult::Conflict if draft.violations.is_empty() => Err(Fault::new(
            ErrorReason::ReportConflict,
            format!("The report {report_id} is recorded for this timestamp, with another count."),
        )),
        ReportResult::Rejected => {
            let rejected = field_violations.into_iter().map(Violation::from).collect();
            Err(Fault::invalid(draft.all_violations(rejected)))
        }
        ReportResult::NotAdmitted => Err(not_admitted(retry_delay)),
        // ingest-svc fills nothing in, so a draft at fault cannot have been taken for a report.
        ReportResult::Recorded | ReportResult::Duplicate | ReportResult::Conflict => Err(
            Fault::internal("ingest-svc took a report with a field missing"),
        ),
        ReportResult::Unspecified => Err(Fault::internal("ingest-svc gave no result")),
    }
}
