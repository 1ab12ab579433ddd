//! `billing.ingest.v1.HeldReportService`.

use billing_kit::{Fault, Violation, assertion::Verifier, proto_time};
use billing_proto::{
    common::v1::{
        DecideHeldGroupRequest, DecideHeldGroupResponse, DiscardReportsRequest,
        DiscardReportsResponse, HeldGroup as ProtoHeldGroup, HeldReport as ProtoHeldReport,
        HoldDecision, HoldReason as ProtoHoldReason, ListHeldGroupsRequest, ListHeldGroupsResponse,
        ListHeldReportsRequest, ListHeldReportsResponse, ReleaseReportsRequest,
        ReleaseReportsResponse,
    },
    ingest::v1::held_report_service_server::HeldReportService,
};
use chrono::{DateTime, Datelike};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::convert::{is_ours, page_size, recorded_to_proto};
use crate::{
    Parts,
    app::{self, DecidedReports, GroupProgress, HeldPage, REPORTS_MAX, Selection},
    domain::{
        hold::{Decision, HoldReason},
        report::parse_organization_id,
    },
    store::{
        hold_groups::{GroupSelection, HeldGroup},
        holds::{HeldEnd, HeldReport},
    },
};

/// Serves held reports to admins, and takes what they say of them.
#[derive(Debug)]
pub(crate) struct HeldReports {
    parts: Parts,
    admins: Verifier,
}

impl HeldReports {
    pub(crate) fn new(parts: Parts, admins: Verifier) -> Self {
        Self { parts, admins }
    }
}

#[tonic::async_trait]
impl HeldReportService for HeldReports {
    async fn list_held_reports(
        &self,
        request: Request<ListHeldReportsRequest>,
    ) -> Result<Response<ListHeldReportsResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let ListHeldReportsRequest {
            organization_id,
            page_size: size,
            page_token,
            urgent,
        } = request.into_inner();
        let mut violations = Vec::new();
        let organization = (!organization_id.is_empty())
            .then(|| parse_organization_id(&organization_id))
            .transpose()
            .map_err(|message| violations.push(Violation::new("organization_id", message)));
        let after = page_token_from_text(&page_token)
            .map_err(|message| violations.push(Violation::new("page_token", message)));
        let size = page_size(size)
            .map_err(|message| violations.push(Violation::new("page_size", message)));
        let (Ok(organization), Ok(after), Ok(size)) = (organization, after, size) else {
            return Err(Fault::invalid(violations).into());
        };
        let HeldPage { reports, next } =
            app::list_held_reports(&self.parts, organization, urgent, after, size).await?;
        Ok(Response::new(ListHeldReportsResponse {
            reports: reports.into_iter().map(held_to_proto).collect(),
            next_page_token: next.map(page_token_to_text).unwrap_or_default(),
        }))
    }

    async fn release_reports(
        &self,
        request: Request<ReleaseReportsRequest>,
    ) -> Result<Response<ReleaseReportsResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let ReleaseReportsRequest {
            organization_id,
            report_ids,
            all,
        } = request.into_inner();
        let (organization, selection) = selected(&organization_id, &report_ids, all)?;
        let DecidedReports {
            reports,
            held_count,
        } = app::release_reports(&self.parts, &admin, organization, selection).await?;
        Ok(Response::new(ReleaseReportsResponse {
            reports: reports.into_iter().map(recorded_to_proto).collect(),
            held_report_count: held_count,
        }))
    }

    async fn discard_reports(
        &self,
        request: Request<DiscardReportsRequest>,
    ) -> Result<Response<DiscardReportsResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let DiscardReportsRequest {
            organization_id,
            report_ids,
            all,
        } = request.into_inner();
        let (organization, selection) = selected(&organization_id, &report_ids, all)?;
        let DecidedReports {
            reports,
            held_count,
        } = app::discard_reports(&self.parts, &admin, organization, selection).await?;
        Ok(Response::new(DiscardReportsResponse {
            reports: reports.into_iter().map(recorded_to_proto).collect(),
            held_report_count: held_count,
        }))
    }

    async fn list_held_groups(
        &self,
        request: Request<ListHeldGroupsRequest>,
    ) -> Result<Response<ListHeldGroupsResponse>, Status> {
        self.admins.reader(request.metadata())?;
        let groups = app::list_held_groups(&self.parts).await?;
        Ok(Response::new(ListHeldGroupsResponse {
            groups: groups.into_iter().map(group_to_proto).collect(),
        }))
    }

    async fn decide_held_group(
        &self,
        request: Request<DecideHeldGroupRequest>,
    ) -> Result<Response<DecideHeldGroupResponse>, Status> {
        let admin = self.admins.admin(request.metadata())?;
        let (selection, decision) = group_decision(request.into_inner())?;
        let GroupProgress {
            report_count,
            is_finished,
        } = app::decide_group(&self.parts, &admin, selection, decision).await?;
        Ok(Response::new(DecideHeldGroupResponse {
            report_count,
            finished: is_finished,
        }))
    }
}

fn group_to_proto(group: HeldGroup) -> ProtoHeldGroup {
    let HeldGroup {
        reason,
        cause,
        report_count,
        organization_count,
        last_received_at,
        example_organization_id,
    } = group;
    ProtoHeldGroup {
        reason: reason_to_proto(reason).into(),
        cause,
        report_count,
        organization_count,
        last_receive_time: Some(proto_time::to_proto(last_received_at)),
        example_organization_id: example_organization_id.to_string(),
        // org-svc knows it; the gateway adds it.
        example_organization_name: String::new(),
    }
}

fn group_decision(request: DecideHeldGroupRequest) -> Result<(GroupSelection, Decision), Fault> {
    let mut violations = Vec::new();
    let decision = match request.decision() {
        HoldDecision::Unspecified => None,
        HoldDecision::Release => Some(Decision::Released),
        HoldDecision::Discard => Some(Decision::Discarded),
    };
    let reason = match request.reason() {
        ProtoHoldReason::Unspecified => None,
        ProtoHoldReason::CountJump => Some(HoldReason::CountJump),
        ProtoHoldReason::OtherUrl => Some(HoldReason::OtherUrl),
        ProtoHoldReason::CountDrop => Some(HoldReason::CountDrop),
        ProtoHoldReason::NewNetwork => Some(HoldReason::NewNetwork),
        ProtoHoldReason::Unsigned => Some(HoldReason::Unsigned),
        ProtoHoldReason::OtherKey => Some(HoldReason::OtherKey),
    };
    let until = request
        .received_until_time
        .as_ref()
        .and_then(proto_time::from_proto);
    for (field, is_missing) in [
        ("reason", reason.is_none()),
        ("decision", decision.is_none()),
        ("received_until_time", until.is_none()),
    ] {
        if is_missing {
            violations.push(Violation::new(field, "It is missing."));
        }
    }
    match (reason, decision, until) {
        (Some(reason), Some(decision), Some(received_until)) => {
            let selection = GroupSelection {
                reason,
                cause: Some(request.cause),
                received_until,
            };
            Ok((selection, decision))
        }
        _ => Err(Fault::invalid(violations)),
    }
}

/// The reports that a request means: named ones, or all, and not both.
fn selected(
    organization_id: &str,
    report_ids: &[String],
    all: bool,
) -> Result<(Uuid, Selection), Fault> {
    let mut violations = Vec::new();
    let organization = parse_organization_id(organization_id)
        .map_err(|message| violations.push(Violation::new("organization_id", message)));
    let selection = match (all, report_ids.len()) {
        (true, 0) => Ok(Selection::All),
        (true, _) => Err("It must be empty when `all` is set.".to_owned()),
        (false, 0) => Err("It is missing. List reports, or set `all`.".to_owned()),
        (false, count) if count > REPORTS_MAX => Err(format!(
            "It has {count} entries; the maximum is {REPORTS_MAX}."
        )),
        (false, _) => report_ids
            .iter()
            .map(|id| parse_organization_id(id))
            .collect::<Result<_, _>>()
            .map(Selection::Reports),
    };
    let selection =
        selection.map_err(|message| violations.push(Violation::new("report_ids", message)));
    match (organization, selection) {
        (Ok(organization), Ok(selection)) => Ok((organization, selection)),
        _ => Err(Fault::invalid(violations)),
    }
}

fn reason_to_proto(reason: HoldReason) -> ProtoHoldReason {
    match reason {
        HoldReason::CountJump => ProtoHoldReason::CountJump,
        HoldReason::OtherUrl => ProtoHoldReason::OtherUrl,
        HoldReason::CountDrop => ProtoHoldReason::CountDrop,
        HoldReason::NewNetwork => ProtoHoldReason::NewNetwork,
        HoldReason::Unsigned => ProtoHoldReason::Unsigned,
        HoldReason::OtherKey => ProtoHoldReason::OtherKey,
    }
}

fn held_to_proto(report: HeldReport) -> ProtoHeldReport {
    let HeldReport {
        id,
        organization_id,
        user_count,
        instance_url,
        reported_at,
        received_at,
        reason,
        message,
        baseline_user_count,
        baseline_instance_url,
        limit_user_count,
    } = report;
    let reason = reason_to_proto(reason);
    ProtoHeldReport {
        id: id.to_string(),
        organization_id: organization_id.to_string(),
        user_count: user_count.into(),
        instance_url,
        report_time: Some(proto_time::to_proto(reported_at)),
        receive_time: Some(proto_time::to_proto(received_at)),
        reason: reason.into(),
        message,
        baseline_user_count: baseline_user_count.unwrap_or_default().into(),
        baseline_instance_url: baseline_instance_url.unwrap_or_default(),
        limit_user_count: limit_user_count.unwrap_or_default().into(),
        // org-svc knows these; the gateway adds them.
        organization_name: String::new(),
        hold_deadline_time: None,
    }
}

pub(super) fn page_token_to_text((organization, time, id): HeldEnd) -> String {
    format!(
        "{}.{}.{}",
        organization.simple(),
        time.timestamp_micros(),
        id.simple()
    )
}

pub(super) fn page_token_from_text(text: &str) -> Result<Option<HeldEnd>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut parts = text.splitn(3, '.');
    let mut next = || parts.next();
    let end = next().zip(next()).zip(next());
    let end = end.and_then(|((organization, micros), id)| {
        let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        let organization = Uuid::try_parse(organization).ok()?;
        is_ours(time.year()).then_some((organization, time, Uuid::try_parse(id).ok()?))
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
        let time = DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap();
        let end = (Uuid::from_u128(7), time, Uuid::max());
        assert_eq!(
            page_token_from_text(&page_token_to_text(end)),
            Ok(Some(end))
        );
        for bad in ["x", "1.2", "a.b.c", "0.1.2.3"] {
            assert!(page_token_from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reports_are_named_or_all_are_meant() {
        let id = Uuid::max().to_string();
        let fields = |reports: &[String], all| {
            let selected = selected(&id, reports, all);
            let violations = selected.map_err(|fault| fault.violations).err();
            violations.map(|found| found.into_iter().map(|v| v.field).collect::<Vec<_>>())
        };
        let one = std::slice::from_ref(&id);
        assert_eq!(fields(one, false), None);
        assert_eq!(fields(&[], true), None);
        let refused = Some(vec!["report_ids".to_owned()]);
        assert_eq!(fields(&[], false), refused);
        assert_eq!(fields(one, true), refused);
        assert_eq!(fields(&["x".to_owned()], false), refused);
        assert_eq!(fields(&vec![id.clone(); REPORTS_MAX + 1], false), refused);
    }
}
