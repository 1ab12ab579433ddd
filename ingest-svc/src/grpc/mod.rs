//! Between the wire and the inside: requests are parsed here, answers and faults put into words.

mod convert;
mod holds;
mod intake;
mod reconciliation;
mod reporting;

use billing_kit::{Fault, Violation, assertion::Verifier};
use billing_proto::{
    common::v1::{ListUsageReportsRequest, ListUsageReportsResponse},
    ingest::v1::{
        BatchGetReportingRequest, BatchGetReportingResponse, GetDeliveryRequest,
        GetDeliveryResponse, ReportUsageRequest, ReportUsageResponse,
        usage_report_service_server::UsageReportService,
    },
};
use tonic::{Request, Response, Status};

use crate::{Parts, app, domain::report::parse_organization_id};

pub(crate) use holds::HeldReports;
pub(crate) use reconciliation::Reconciliation;
pub(crate) use reporting::ReportingFace;

/// The most reports in a request.
const REPORTS_MAX: usize = 1_000;
/// The most organizations in a request.
const ORGANIZATIONS_MAX: usize = 1_000;

/// Serves `billing.ingest.v1.UsageReportService`.
#[derive(Debug)]
pub(crate) struct UsageReports {
    parts: Parts,
    admins: Verifier,
}

impl UsageReports {
    pub(crate) fn new(parts: Parts, admins: Verifier) -> Self {
        Self { parts, admins }
    }
}

fn check_count(field: &str, count: usize, max: usize) -> Result<(), Fault> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    let message = format!("It has {count} entries; it must have from 1 to {max}.");
    Err(Fault::invalid(vec![Violation::new(field, message)]))
}

#[tonic::async_trait]
impl UsageReportService for UsageReports {
    async fn report_usage(
        &self,
        request: Request<ReportUsageRequest>,
    ) -> Result<Response<ReportUsageResponse>, Status> {
        let reports = request.into_inner().reports;
        check_count("reports", reports.len(), REPORTS_MAX)?;
        let raw: Vec<_> = reports.into_iter().map(convert::raw_report).collect();
        let outcomes = app::report_usage(&self.parts, &raw).await?;
        let outcomes = outcomes
            .into_iter()
            .map(convert::outcome_to_proto)
            .collect();
        Ok(Response::new(ReportUsageResponse { outcomes }))
    }

    async fn list_usage_reports(
        &self,
        request: Request<ListUsageReportsRequest>,
    ) -> Result<Response<ListUsageReportsResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let ListUsageReportsRequest {
            organization_id,
            page_size,
            page_token,
        } = request.into_inner();
        let mut violations = Vec::new();
        let organization_id = parse_organization_id(&organization_id)
            .map_err(|message| violations.push(Violation::new("organization_id", message)));
        let after = convert::page_token_from_text(&page_token)
            .map_err(|message| violations.push(Violation::new("page_token", message)));
        let size = convert::page_size(page_size)
            .map_err(|message| violations.push(Violation::new("page_size", message)));
        let (Ok(organization_id), Ok(after), Ok(size)) = (organization_id, after, size) else {
            return Err(Fault::invalid(violations).into());
        };
        let page = app::list_usage_reports(&self.parts, organization_id, after, size).await?;
        Ok(Response::new(convert::page_to_proto(page)))
    }

    async fn batch_get_reporting(
        &self,
        request: Request<BatchGetReportingRequest>,
    ) -> Result<Response<BatchGetReportingResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let ids = request.into_inner().organization_ids;
        check_count("organization_ids", ids.len(), ORGANIZATIONS_MAX)?;
        let ids = ids
            .iter()
            .map(|id| parse_organization_id(id))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|message| Fault::invalid(vec![Violation::new("organization_ids", message)]))?;
        let reporting = app::batch_get_reporting(&self.parts, ids).await?;
        let reporting = reporting
            .into_iter()
            .map(convert::reporting_to_proto)
            .collect();
        Ok(Response::new(BatchGetReportingResponse { reporting }))
    }

    async fn get_delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<Response<GetDeliveryResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let id = parse_organization_id(&request.into_inner().organization_id)
            .map_err(|message| Fault::invalid(vec![Violation::new("organization_id", message)]))?;
        let app::Delivery {
            open_count,
            standing_version,
        } = app::get_delivery(&self.parts, id).await?;
        Ok(Response::new(GetDeliveryResponse {
            open_report_count: open_count,
            standing_version,
        }))
    }
}
