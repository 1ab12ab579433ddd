//! `billing.ingest.v1.ReportingService`.

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::{
    common::v1::{
        GetIntakeRequest, GetIntakeResponse, GetReportingSummaryRequest,
        GetReportingSummaryResponse, GetSigningKeysRequest, GetSigningKeysResponse,
        ListRefusedReportsRequest, ListRefusedReportsResponse, PinSigningKeyRequest,
        PinSigningKeyResponse, ReplaceReportRequest, ReplaceReportResponse,
        ReportingState as ProtoReportingState, ResetSigningKeyRequest, ResetSigningKeyResponse,
        RetryReportRequest, RetryReportResponse, SigningKey as ProtoSigningKey,
        SigningKeys as ProtoSigningKeys, UsageDay as ProtoUsageDay,
    },
    ingest::v1::{
        ListReportingRequest, ListReportingResponse, reporting_service_server::ReportingService,
    },
};
use chrono::NaiveTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    convert::{
        page_size, page_token_from_text, page_token_to_text, recorded_to_proto, refused_to_proto,
        reporting_to_proto,
    },
    holds,
    intake::intake_to_proto,
};
use crate::{
    Parts,
    app::{self, RefusedPage, ReportingPage, Summary},
    domain::{
        expectation::ReportingState,
        report::parse_organization_id,
        signing::{Fingerprint, SeenKey},
    },
    store::{
        signing_keys::SigningKeys,
        summary::{Counts, UsageDay},
    },
};

/// Tells admins how the instances report.
#[derive(Debug)]
pub(crate) struct ReportingFace {
    parts: Parts,
    admins: Verifier,
}

impl ReportingFace {
    pub(crate) fn new(parts: Parts, admins: Verifier) -> Self {
        Self { parts, admins }
    }
}

#[tonic::async_trait]
impl ReportingService for ReportingFace {
    async fn list_reporting(
        &self,
        request: Request<ListReportingRequest>,
    ) -> Result<Response<ListReportingResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let message = request.into_inner();
        let state = state_of(message.reporting_state());
        let ListReportingRequest {
            reporting_state: _,
            page_size: size,
            page_token,
        } = message;
        let mut violations = Vec::new();
        let state =
            state.map_err(|message| violations.push(Violation::new("reporting_state", message)));
        let after = page_token_from_text(&page_token)
            .map_err(|message| violations.push(Violation::new("page_token", message)));
        let size = page_size(size)
            .map_err(|message| violations.push(Violation::new("page_size", message)));
        let (Ok(state), Ok(after), Ok(size)) = (state, after, size) else {
            return Err(Fault::invalid(violations).into());
        };
        let ReportingPage { reporting, next } =
            app::list_reporting(&self.parts, state, after, size).await?;
        Ok(Response::new(ListReportingResponse {
            reporting: reporting.into_iter().map(reporting_to_proto).collect(),
            next_page_token: next.map(page_token_to_text).unwrap_or_default(),
        }))
    }

    async fn get_reporting_summary(
        &self,
        request: Request<GetReportingSummaryRequest>,
    ) -> Result<Response<GetReportingSummaryResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let GetReportingSummaryRequest {} = request.into_inner();
        let summary = app::get_reporting_summary(&self.parts).await?;
        Ok(Response::new(summary_to_proto(summary)))
    }

    async fn list_refused_reports(
        &self,
        request: Request<ListRefusedReportsRequest>,
    ) -> Result<Response<ListRefusedReportsResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let ListRefusedReportsRequest {
            page_size: size,
            page_token,
        } = request.into_inner();
        let mut violations = Vec::new();
        let after = holds::page_token_from_text(&page_token)
            .map_err(|message| violations.push(Violation::new("page_token", message)));
        let size = page_size(size)
            .map_err(|message| violations.push(Violation::new("page_size", message)));
        let (Ok(after), Ok(size)) = (after, size) else {
            return Err(Fault::invalid(violations).into());
        };
        let RefusedPage { reports, next } =
            app::list_refused_reports(&self.parts, after, size).await?;
        Ok(Response::new(ListRefusedReportsResponse {
            reports: reports.into_iter().map(refused_to_proto).collect(),
            next_page_token: next.map(holds::page_token_to_text).unwrap_or_default(),
        }))
    }

    async fn retry_report(
        &self,
        request: Request<RetryReportRequest>,
    ) -> Result<Response<RetryReportResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let RetryReportRequest { report_id } = request.into_inner();
        let id = Uuid::try_parse(&report_id).map_err(|_| {
            let violation = Violation::new("report_id", "It is no UUID.");
            Fault::invalid(vec![violation])
        })?;
        let report = app::retry_report(&self.parts, &admin, id).await?;
        Ok(Response::new(RetryReportResponse {
            report: Some(recorded_to_proto(report)),
            // The gateway puts it into words.
            message: String::new(),
        }))
    }

    async fn get_intake(
        &self,
        request: Request<GetIntakeRequest>,
    ) -> Result<Response<GetIntakeResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let id = parse_organization_id(&request.into_inner().organization_id)
            .map_err(|message| Fault::invalid(vec![Violation::new("organization_id", message)]))?;
        let intake = app::get_intake(&self.parts, id).await?;
        Ok(Response::new(intake_to_proto(intake)))
    }

    async fn replace_report(
        &self,
        request: Request<ReplaceReportRequest>,
    ) -> Result<Response<ReplaceReportResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let ReplaceReportRequest { conflict_id } = request.into_inner();
        let id = Uuid::try_parse(&conflict_id).map_err(|_| {
            let violation = Violation::new("conflict_id", "It is no UUID.");
            Fault::invalid(vec![violation])
        })?;
        let report = app::replace_report(&self.parts, &admin, id).await?;
        Ok(Response::new(ReplaceReportResponse {
            report: Some(recorded_to_proto(report)),
        }))
    }

    async fn get_signing_keys(
        &self,
        request: Request<GetSigningKeysRequest>,
    ) -> Result<Response<GetSigningKeysResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let GetSigningKeysRequest { organization_id } = request.into_inner();
        let id = organization_of(&organization_id)?;
        let keys = app::get_signing_keys(&self.parts, id).await?;
        Ok(Response::new(GetSigningKeysResponse {
            signing_keys: Some(keys_to_proto(keys)),
        }))
    }

    async fn pin_signing_key(
        &self,
        request: Request<PinSigningKeyRequest>,
    ) -> Result<Response<PinSigningKeyResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let PinSigningKeyRequest {
            organization_id,
            fingerprint,
        } = request.into_inner();
        let id = organization_of(&organization_id)?;
        let fingerprint = Fingerprint::parse(&fingerprint)
            .map_err(|message| Fault::invalid(vec![Violation::new("fingerprint", message)]))?;
        let keys = app::pin_signing_key(&self.parts, &admin, id, fingerprint).await?;
        Ok(Response::new(PinSigningKeyResponse {
            signing_keys: Some(keys_to_proto(keys)),
        }))
    }

    async fn reset_signing_key(
        &self,
        request: Request<ResetSigningKeyRequest>,
    ) -> Result<Response<ResetSigningKeyResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let ResetSigningKeyRequest { organization_id } = request.into_inner();
        let id = organization_of(&organization_id)?;
        let keys = app::reset_signing_key(&self.parts, &admin, id).await?;
        Ok(Response::new(ResetSigningKeyResponse {
            signing_keys: Some(keys_to_proto(keys)),
        }))
    }
}

fn organization_of(text: &str) -> Result<Uuid, Fault> {
    parse_organization_id(text)
        .map_err(|message| Fault::invalid(vec![Violation::new("organization_id", message)]))
}

fn keys_to_proto(keys: SigningKeys) -> ProtoSigningKeys {
    let SigningKeys {
        rule,
        pinned_at,
        seen,
    } = keys;
    let key = |seen: SeenKey| ProtoSigningKey {
        fingerprint: seen.key.fingerprint().to_string(),
        first_see_time: Some(proto_time::to_proto(seen.first_seen_at)),
        last_see_time: Some(proto_time::to_proto(seen.last_seen_at)),
        day_count: seen.day_count,
        pinned: rule.pinned == Some(seen.key),
    };
    ProtoSigningKeys {
        keys: seen.into_iter().map(key).collect(),
        awaited_fingerprint: rule
            .awaited
            .map(|fingerprint| fingerprint.to_string())
            .unwrap_or_default(),
        pin_time: pinned_at.map(proto_time::to_proto),
    }
}

fn state_of(state: ProtoReportingState) -> Result<ReportingState, String> {
    match state {
        ProtoReportingState::Unspecified => Err("It is missing or unknown.".to_owned()),
        ProtoReportingState::OnTime => Ok(ReportingState::OnTime),
        ProtoReportingState::Late => Ok(ReportingState::Late),
        ProtoReportingState::Silent => Ok(ReportingState::Silent),
    }
}

fn summary_to_proto(summary: Summary) -> GetReportingSummaryResponse {
    let Summary {
        counts,
        total,
        days,
        now,
    } = summary;
    let Counts {
        late,
        silent,
        held,
        held_organizations,
        held_urgent,
        refused,
        queued,
        oldest_queued_at,
    } = counts;
    let age = oldest_queued_at.map(|at| (now - at).to_std().unwrap_or_default());
    GetReportingSummaryResponse {
        user_count: total.map_or(0, |total| total.user_count),
        unsigned_organization_count: total.map_or(0, |it| it.unsigned_organization_count),
        count_time: total.map(|total| proto_time::to_proto(total.counted_at)),
        days: days.into_iter().map(day_to_proto).collect(),
        late_count: late,
        silent_count: silent,
        held_report_count: held,
        held_organization_count: held_organizations,
        urgent_held_report_count: held_urgent,
        refused_report_count: refused,
        queued_report_count: queued,
        oldest_queued_age: age.map(proto_time::duration_to_proto),
    }
}

fn day_to_proto(day: UsageDay) -> ProtoUsageDay {
    let UsageDay {
        day,
        user_count,
        organization_count,
    } = day;
    ProtoUsageDay {
        day_start_time: Some(proto_time::to_proto(day.and_time(NaiveTime::MIN).and_utc())),
        user_count,
        organization_count,
    }
}
