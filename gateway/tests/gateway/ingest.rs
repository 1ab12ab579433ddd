//! ingest-svc's contract in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use billing_kit::{Fault, Violation};
use billing_proto::{
    common::v1::{
        DeliveryState, DismissFindingRequest, DismissFindingResponse, Dismissal, FieldViolation,
        Finding, ListFindingsRequest, ListFindingsResponse, ListUsageReportsRequest,
        ListUsageReportsResponse, RecordedReport, SubscriptionStatus,
    },
    ingest::v1::{
        BatchGetReportingRequest, BatchGetReportingResponse, GetDeliveryRequest,
        GetDeliveryResponse, GetReconciliationRequest, GetReconciliationResponse, ReportOutcome,
        ReportResult, ReportUsageRequest, ReportUsageResponse, Reporting, UsageReport,
        reconciliation_service_server::ReconciliationService,
        usage_report_service_server::UsageReportService,
    },
};
use prost_types::Timestamp;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::org::require_assertion;

type Recorded = HashMap<(String, i64), UsageReport>;

/// What a test looks at, and where it turns the service.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    recorded: Arc<Mutex<Recorded>>,
    batches: Arc<Mutex<Vec<usize>>>,
    open: Arc<watch::Sender<bool>>,
    findings: Arc<Mutex<Vec<Finding>>>,
}

/// When the last pass of reconciliation ended, in Unix seconds.
pub(crate) const PASS_ENDED: i64 = 1_730_600_000;

impl Ingest {
    pub(crate) fn new() -> Self {
        Self {
            recorded: Arc::default(),
            batches: Arc::default(),
            open: Arc::new(watch::channel(true).0),
            findings: Arc::default(),
        }
    }

    /// What reconciliation has found, the latest day first.
    pub(crate) fn find(&self, findings: Vec<Finding>) {
        *self.findings.lock().unwrap() = findings;
    }

    /// Holds every batch that comes until [`Ingest::go_on`].
    pub(crate) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn go_on(&self) {
        self.open.send_replace(true);
    }

    /// The sizes of the batches that came, held ones included.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    pub(crate) fn recorded(&self) -> Vec<UsageReport> {
        self.recorded.lock().unwrap().values().cloned().collect()
    }
}

/// The id of the report of an organization at a time: a function of both, so that a test can tell
/// whose answer it got.
pub(crate) fn report_id(organization_id: &str, seconds: i64) -> Uuid {
    let organization = Uuid::parse_str(organization_id).unwrap().as_u128();
    Uuid::from_u128(organization ^ u128::try_from(seconds).unwrap())
}

fn violations(report: &UsageReport) -> Vec<FieldViolation> {
    let text_is_good = |text: &str, max| {
        let text = text.trim();
        (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    let limit = billing_kit::Clock::system().now().timestamp() + 300;
    [
        (
            "organization_id",
            Uuid::parse_str(&report.organization_id).is_ok(),
        ),
        (
            "organization_name",
            text_is_good(&report.organization_name, 200),
        ),
        ("instance_url", text_is_good(&report.instance_url, 255)),
        (
            "user_count",
            report
                .user_count
                .is_some_and(|n| (0..=10_000_000).contains(&n)),
        ),
        (
            "timestamp",
            report.report_time.is_some_and(|t| t.seconds <= limit),
        ),
    ]
    .into_iter()
    .filter(|(_, good)| !good)
    .map(|(field, _)| Violation::new(field, "ingest-svc will not have it.").into())
    .collect()
}

fn record(recorded: &mut Recorded, report: UsageReport) -> ReportOutcome {
    let field_violations = violations(&report);
    if !field_violations.is_empty() {
        return ReportOutcome {
            result: ReportResult::Rejected.into(),
            field_violations,
            ..ReportOutcome::default()
        };
    }
    let seconds = report.report_time.unwrap_or_default().seconds;
    let key = (report.organization_id.clone(), seconds);
    let result = match recorded.get(&key) {
        None => ReportResult::Recorded,
        Some(known) if known.user_count == report.user_count => ReportResult::Duplicate,
        Some(_) => ReportResult::Conflict,
    };
    let id = report_id(&report.organization_id, seconds);
    recorded.entry(key).or_insert(report);
    ReportOutcome {
        result: result.into(),
        report_id: id.to_string(),
        organization_status: SubscriptionStatus::Pending.into(),
        ..ReportOutcome::default()
    }
}

#[tonic::async_trait]
impl UsageReportService for Ingest {
    async fn report_usage(
        &self,
        request: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        let reports = request.into_inner().reports;
        self.batches.lock().unwrap().push(reports.len());
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        let mut recorded = self.recorded.lock().unwrap();
        let outcomes = reports
            .into_iter()
            .map(|report| record(&mut recorded, report));
        Ok(Response::new(ReportUsageResponse {
            outcomes: outcomes.collect(),
        }))
    }

    async fn list_usage_reports(
        &self,
        request: Request<ListUsageReportsRequest>,
    ) -> Result<Response<ListUsageReportsResponse>, Status> {
        require_assertion(request.metadata())?;
        let ListUsageReportsRequest {
            organization_id,
            page_size,
            page_token,
        } = request.into_inner();
        if page_token == "nonsense" {
            let violation = Violation::new("page_token", "It is no token of ours.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let mut reports: Vec<_> = self
            .recorded()
            .into_iter()
            .filter(|report| report.organization_id == organization_id)
            .map(recorded_report)
            .collect();
        reports.sort_by_key(|report| std::cmp::Reverse(report.report_time.unwrap().seconds));
        let start = page_token.parse().unwrap_or(0);
        let end = start + usize::try_from(page_size).unwrap();
        let next_page_token = if end < reports.len() {
            end.to_string()
        } else {
            String::new()
        };
        let reports = reports.into_iter().skip(start).take(end - start).collect();
        Ok(Response::new(ListUsageReportsResponse {
            reports,
            next_page_token,
            organization_id: String::new(),
        }))
    }

    async fn batch_get_reporting(
        &self,
        request: Request<BatchGetReportingRequest>,
    ) -> Result<Response<BatchGetReportingResponse>, Status> {
        require_assertion(request.metadata())?;
        let ids = request.into_inner().organization_ids;
        let mut reporting: HashMap<String, Reporting> = HashMap::new();
        for report in self.recorded() {
            let time = report.report_time.unwrap();
            let known = reporting.get(&report.organization_id);
            let is_later =
                known.is_none_or(|known| known.last_report_time.unwrap().seconds < time.seconds);
            if ids.contains(&report.organization_id) && is_later {
                let entry = Reporting {
                    organization_id: report.organization_id.clone(),
                    user_count: report.user_count.unwrap(),
                    last_report_time: Some(time),
                    ..Reporting::default()
                };
                reporting.insert(report.organization_id, entry);
            }
        }
        Ok(Response::new(BatchGetReportingResponse {
            reporting: reporting.into_values().collect(),
        }))
    }

    async fn get_delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<Response<GetDeliveryResponse>, Status> {
        require_assertion(request.metadata())?;
        Ok(Response::new(GetDeliveryResponse {
            open_report_count: 0,
            standing_version: 1,
        }))
    }
}

#[tonic::async_trait]
impl ReconciliationService for Ingest {
    async fn get_reconciliation(
        &self,
        request: Request<GetReconciliationRequest>,
    ) -> Result<Response<GetReconciliationResponse>, Status> {
        require_assertion(request.metadata())?;
        let findings = self.findings.lock().unwrap();
        let open = findings.iter().filter(|it| it.resolve_time.is_none());
        Ok(Response::new(GetReconciliationResponse {
            last_full_pass_time: Some(Timestamp {
                seconds: PASS_ENDED,
                nanos: 0,
            }),
            skipped_count: 0,
            pass_start_time: None,
            open_finding_count: i64::try_from(open.count()).unwrap(),
        }))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        require_assertion(request.metadata())?;
        let ListFindingsRequest {
            page_size,
            page_token,
            include_closed,
        } = request.into_inner();
        if page_token == "nonsense" {
            let violation = Violation::new("page_token", "It is no token of ours.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let mut findings = self.findings.lock().unwrap().clone();
        let is_open = |it: &Finding| it.resolve_time.is_none() && it.dismissal.is_none();
        findings.retain(|it| include_closed || is_open(it));
        let start = page_token.parse().unwrap_or(0);
        let end = start + usize::try_from(page_size).unwrap();
        let next_page_token = if end < findings.len() {
            end.to_string()
        } else {
            String::new()
        };
        let findings = findings.into_iter().skip(start).take(end - start).collect();
        Ok(Response::new(ListFindingsResponse {
            findings,
            next_page_token,
        }))
    }

    async fn dismiss_finding(
        &self,
        request: Request<DismissFindingRequest>,
    ) -> Result<Response<DismissFindingResponse>, Status> {
        require_assertion(request.metadata())?;
        let DismissFindingRequest { finding_id, reason } = request.into_inner();
        let mut findings = self.findings.lock().unwrap();
        let found = findings.iter_mut().find(|it| it.id == finding_id);
        let Some(finding) = found.filter(|_| !reason.is_empty()) else {
            let field = if reason.is_empty() {
                "reason"
            } else {
                "finding_id"
            };
            return Err(Fault::invalid(vec![Violation::new(field, "It will not do.")]).into());
        };
        finding.dismissal = Some(Dismissal {
            dismiss_time: Some(Timestamp {
                seconds: PASS_ENDED,
                nanos: 0,
            }),
            admin_email: "admin@example.com".to_owned(),
            reason,
        });
        Ok(Response::new(DismissFindingResponse {
            finding: Some(finding.clone()),
        }))
    }
}

fn recorded_report(report: UsageReport) -> RecordedReport {
    let time = report.report_time.unwrap();
    RecordedReport {
        id: report_id(&report.organization_id, time.seconds).to_string(),
        user_count: report.user_count.unwrap(),
        deployment_type: 0,
        report_time: Some(time),
        receive_time: Some(Timestamp {
            seconds: time.seconds + 1,
            nanos: 250_000_000,
        }),
        delivery_state: DeliveryState::Waiting.into(),
        stripe_meter_event_id: String::new(),
        error_code: String::new(),
        error_message: String::new(),
        counts: true,
        count_low: false,
        baseline_user_count: None,
    }
}
