//! `billing.ingest.v1.ReconciliationService`.

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::{
    common::v1::{
        DismissFindingRequest, DismissFindingResponse, Dismissal as ProtoDismissal,
        Finding as ProtoFinding, FindingKind as ProtoKind, ListFindingsRequest,
        ListFindingsResponse,
    },
    ingest::v1::{
        GetReconciliationRequest, GetReconciliationResponse,
        reconciliation_service_server::ReconciliationService,
    },
};
use chrono::{Datelike, NaiveDate, NaiveTime};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{is_ours, page_size};
use crate::{
    Parts, app,
    domain::finding::{DismissReason, Dismissal, Finding, FindingKind},
    store::{findings::FindingsEnd, reconciliation::Standing},
};

/// Serves the findings to admins.
#[derive(Debug)]
pub(crate) struct Reconciliation {
    parts: Parts,
    admins: Verifier,
}

impl Reconciliation {
    pub(crate) fn new(parts: Parts, admins: Verifier) -> Self {
        Self { parts, admins }
    }
}

#[tonic::async_trait]
impl ReconciliationService for Reconciliation {
    async fn get_reconciliation(
        &self,
        request: Request<GetReconciliationRequest>,
    ) -> Result<Response<GetReconciliationResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let GetReconciliationRequest {} = request.into_inner();
        let Standing {
            last_full_pass_at,
            last_skipped_count,
            started_at,
            open_count,
        } = app::get_reconciliation(&self.parts).await?;
        Ok(Response::new(GetReconciliationResponse {
            last_full_pass_time: last_full_pass_at.map(proto_time::to_proto),
            skipped_count: last_skipped_count,
            pass_start_time: started_at.map(proto_time::to_proto),
            open_finding_count: open_count,
        }))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let ListFindingsRequest {
            page_size: size,
            page_token,
            include_closed,
        } = request.into_inner();
        let mut violations = Vec::new();
        let after = page_token_from_text(&page_token)
            .map_err(|message| violations.push(Violation::new("page_token", message)));
        let size = page_size(size)
            .map_err(|message| violations.push(Violation::new("page_size", message)));
        let (Ok(after), Ok(size)) = (after, size) else {
            return Err(Fault::invalid(violations).into());
        };
        let page = app::list_findings(&self.parts, after, include_closed, size).await?;
        Ok(Response::new(ListFindingsResponse {
            findings: page.findings.into_iter().map(finding_to_proto).collect(),
            next_page_token: page.next.map(page_token_to_text).unwrap_or_default(),
        }))
    }

    async fn dismiss_finding(
        &self,
        request: Request<DismissFindingRequest>,
    ) -> Result<Response<DismissFindingResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let DismissFindingRequest { finding_id, reason } = request.into_inner();
        let mut violations = Vec::new();
        let id = Uuid::try_parse(&finding_id)
            .map_err(|_| violations.push(Violation::new("finding_id", "It is no UUID.")));
        let reason = DismissReason::parse(&reason)
            .map_err(|message| violations.push(Violation::new("reason", message)));
        let (Ok(id), Ok(reason)) = (id, reason) else {
            return Err(Fault::invalid(violations).into());
        };
        let finding = app::dismiss_finding(&self.parts, &admin, id, &reason).await?;
        Ok(Response::new(DismissFindingResponse {
            finding: Some(finding_to_proto(finding)),
        }))
    }
}

fn kind_to_proto(kind: FindingKind) -> ProtoKind {
    match kind {
        FindingKind::MeterDay => ProtoKind::MeterDay,
        FindingKind::MissedInvoice => ProtoKind::MissedInvoice,
        FindingKind::Invoice => ProtoKind::Invoice,
    }
}

fn finding_to_proto(finding: Finding) -> ProtoFinding {
    let Finding {
        id,
        organization_id,
        kind,
        day,
        period_start_at,
        period_end_at,
        stripe_invoice_id,
        expected,
        found,
        resend_count,
        first_seen_at,
        last_seen_at,
        resolved_at,
        dismissal,
    } = finding;
    let day_start = day.and_time(NaiveTime::MIN).and_utc();
    let dismissal = dismissal.map(|Dismissal { at, by, reason }| ProtoDismissal {
        dismiss_time: Some(proto_time::to_proto(at)),
        admin_email: by,
        reason,
    });
    ProtoFinding {
        organization_id: organization_id.to_string(),
        day_start_time: Some(proto_time::to_proto(day_start)),
        expected_count: expected,
        found_value: found,
        resend_count,
        first_see_time: Some(proto_time::to_proto(first_seen_at)),
        last_see_time: Some(proto_time::to_proto(last_seen_at)),
        resolve_time: resolved_at.map(proto_time::to_proto),
        id: id.to_string(),
        kind: kind_to_proto(kind).into(),
        period_start_time: Some(proto_time::to_proto(period_start_at)),
        period_end_time: Some(proto_time::to_proto(period_end_at)),
        stripe_invoice_id: stripe_invoice_id.unwrap_or_default(),
        dismissal,
    }
}

fn page_token_to_text((day, id): FindingsEnd) -> String {
    format!("{day}.{}", id.simple())
}

fn page_token_from_text(text: &str) -> Result<Option<FindingsEnd>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let end = text.split_once('.').and_then(|(day, id)| {
        let day: NaiveDate = day.parse().ok()?;
        is_ours(day.year()).then_some((day, Uuid::try_parse(id).ok()?))
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
        let end = ("2026-02-28".parse().unwrap(), Uuid::max());
        assert_eq!(
            page_token_from_text(&page_token_to_text(end)),
            Ok(Some(end))
        );
        assert_eq!(page_token_from_text(""), Ok(None));
        assert!(page_token_from_text("2026-02-30.x").is_err());
    }
}
