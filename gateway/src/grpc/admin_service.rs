//! `billing.admin.v1.AdminService`.

use billing_kit::{Fault, Violation, proto_time};
use billing_proto::{
    admin::v1::{
        CancelSubscriptionRequest, CancelSubscriptionResponse, CreateApiKeyRequest,
        CreateApiKeyResponse, CreatePortalSessionRequest, CreatePortalSessionResponse,
        DecideHeldGroupRequest, DecideHeldGroupResponse, DiscardReportsRequest,
        DiscardReportsResponse, DismissFindingRequest, DismissFindingResponse, GetIntakeRequest,
        GetIntakeResponse, GetOrganizationRequest, GetOrganizationResponse,
        GetReconciliationRequest, GetReconciliationResponse, GetReportingSummaryRequest,
        GetReportingSummaryResponse, GetSigningKeysRequest, GetSigningKeysResponse,
        IgnoreOrganizationsRequest, IgnoreOrganizationsResponse, LinkOrganizationRequest,
        LinkOrganizationResponse, ListApiKeysRequest, ListApiKeysResponse, ListAuditEventsRequest,
        ListAuditEventsResponse, ListFindingsRequest, ListFindingsResponse, ListHeldGroupsRequest,
        ListHeldGroupsResponse, ListHeldReportsRequest, ListHeldReportsResponse,
        ListInvoicesRequest, ListInvoicesResponse, ListMeterErrorsRequest, ListMeterErrorsResponse,
        ListNoticesRequest, ListNoticesResponse, ListOrganizationsRequest,
        ListOrganizationsResponse, ListPendingGroupsRequest, ListPendingGroupsResponse,
        ListRefusedReportsRequest, ListRefusedReportsResponse, ListUsageReportsRequest,
        ListUsageReportsResponse, ListWebhookEventsRequest, ListWebhookEventsResponse,
        OrganizationOrder as OrderMessage, PinSigningKeyRequest, PinSigningKeyResponse,
        PreviewLinkRequest, PreviewLinkResponse, ReleaseReportsRequest, ReleaseReportsResponse,
        ReplaceReportRequest, ReplaceReportResponse, ResetSigningKeyRequest,
        ResetSigningKeyResponse, RestoreOrganizationsRequest, RestoreOrganizationsResponse,
        RetryReportRequest, RetryReportResponse, RetryWebhookEventRequest,
        RetryWebhookEventResponse, RevokeApiKeyRequest, RevokeApiKeyResponse,
        UnlinkOrganizationRequest, UnlinkOrganizationResponse, UpdateSubscriptionRequest,
        UpdateSubscriptionResponse, admin_service_server::AdminService,
    },
    common::v1::{CancelMode, DeploymentType, PlanType},
};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{intake, records, translate};
use crate::{
    app::{
        Admin, ApiKeyPage, App, AuditPage, Change, CreatedApiKey, FindingsPage, HeldFilter,
        HeldReportPage, InvoicePage, Link, MeterErrorPage, NoticePage, PageRequest,
        RefusedReportPage, UsageReportPage, WebhookEventPage,
    },
    domain::{
        link_terms::LinkTerms,
        organization_filter::{OrganizationFilter, OrganizationOrder},
        pending::Chosen,
        reporting::{DecidedReports, GroupProgress, HeldSelection},
        subscription_change::{self, SubscriptionUpdate},
        words,
    },
};

/// The verbs as gRPC methods.
#[derive(Debug)]
pub(super) struct AdminFace(App);

impl AdminFace {
    pub(super) fn new(app: App) -> Self {
        Self(app)
    }
}

/// The admin who was let in.
fn admitted<T>(request: &Request<T>) -> Result<Admin, Fault> {
    let admin = request.extensions().get::<Admin>().cloned();
    admin.ok_or_else(|| Fault::internal("a method was called that nobody was let in to"))
}

#[tonic::async_trait]
impl AdminService for AdminFace {
    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        let admin = admitted(&request)?;
        let request = page_request(request.into_inner())?;
        let (page, summary) = self.0.list_organizations(&admin, request).await?;
        Ok(Response::new(ListOrganizationsResponse {
            organizations: page
                .organizations
                .into_iter()
                .map(translate::organization)
                .collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            summary: Some(translate::summary(summary)),
        }))
    }

    async fn get_organization(
        &self,
        request: Request<GetOrganizationRequest>,
    ) -> Result<Response<GetOrganizationResponse>, Status> {
        let admin = admitted(&request)?;
        let GetOrganizationRequest { organization_id } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let organization = self.0.get_organization(&admin, id).await?;
        Ok(Response::new(GetOrganizationResponse {
            organization: Some(translate::organization(organization)),
        }))
    }

    async fn list_pending_groups(
        &self,
        request: Request<ListPendingGroupsRequest>,
    ) -> Result<Response<ListPendingGroupsResponse>, Status> {
        let admin = admitted(&request)?;
        let ListPendingGroupsRequest {} = request.into_inner();
        let groups = self.0.list_pending_groups(&admin).await?;
        Ok(Response::new(ListPendingGroupsResponse {
            groups: groups.into_iter().map(translate::pending_group).collect(),
        }))
    }

    async fn ignore_organizations(
        &self,
        request: Request<IgnoreOrganizationsRequest>,
    ) -> Result<Response<IgnoreOrganizationsResponse>, Status> {
        let admin = admitted(&request)?;
        let IgnoreOrganizationsRequest {
            organization_ids,
            source_network,
            until_time,
        } = request.into_inner();
        let until = until_time.map(|time| {
            let violation = Violation::new("until_time", "It is not a time.");
            proto_time::from_proto(&time).ok_or_else(|| Fault::invalid(vec![violation]))
        });
        let chosen = Chosen {
            organization_ids,
            source_network,
            until: until.transpose()?,
        };
        let ignored_count = self.0.ignore_organizations(&admin, chosen).await?;
        Ok(Response::new(IgnoreOrganizationsResponse { ignored_count }))
    }

    async fn restore_organizations(
        &self,
        request: Request<RestoreOrganizationsRequest>,
    ) -> Result<Response<RestoreOrganizationsResponse>, Status> {
        let admin = admitted(&request)?;
        let RestoreOrganizationsRequest {
            organization_ids,
            source_network,
        } = request.into_inner();
        let chosen = Chosen {
            organization_ids,
            source_network,
            until: None,
        };
        let restored_count = self.0.restore_organizations(&admin, chosen).await?;
        Ok(Response::new(RestoreOrganizationsResponse {
            restored_count,
        }))
    }

    async fn list_usage_reports(
        &self,
        request: Request<ListUsageReportsRequest>,
    ) -> Result<Response<ListUsageReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let ListUsageReportsRequest {
            organization_id,
            page_size,
            page_token,
        } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let UsageReportPage {
            reports,
            next_page_token,
        } = self
            .0
            .list_usage_reports(&admin, id, page_size, page_token)
            .await?;
        Ok(Response::new(ListUsageReportsResponse {
            reports: reports.into_iter().map(translate::usage_report).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
            organization_id: id.to_string(),
        }))
    }

    async fn preview_link(
        &self,
        request: Request<PreviewLinkRequest>,
    ) -> Result<Response<PreviewLinkResponse>, Status> {
        let admin = admitted(&request)?;
        let PreviewLinkRequest {
            organization_id,
            admin_email,
            deployment_type,
            plan_type,
            trial_days,
            adopt_customer_id: _,
        } = request.into_inner();
        // The terms are a link's, and so is what is wrong with them.
        let (id, terms) = link_request(LinkOrganizationRequest {
            organization_id,
            admin_email,
            deployment_type,
            plan_type,
            trial_days,
            adopt_customer_id: String::new(),
        })?;
        let preview = self.0.preview_link(&admin, id, &terms).await?;
        Ok(Response::new(PreviewLinkResponse {
            preview: Some(preview),
        }))
    }

    async fn list_invoices(
        &self,
        request: Request<ListInvoicesRequest>,
    ) -> Result<Response<ListInvoicesResponse>, Status> {
        let admin = admitted(&request)?;
        let ListInvoicesRequest {
            organization_id,
            page_size,
            page_token,
        } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let listed = self.0.list_invoices(&admin, id, page_size, page_token);
        let InvoicePage {
            invoices,
            next_page_token,
            upcoming,
        } = listed.await?;
        Ok(Response::new(ListInvoicesResponse {
            invoices,
            next_page_token: next_page_token.unwrap_or_default(),
            upcoming,
            organization_id: id.to_string(),
        }))
    }

    async fn create_portal_session(
        &self,
        request: Request<CreatePortalSessionRequest>,
    ) -> Result<Response<CreatePortalSessionResponse>, Status> {
        let admin = admitted(&request)?;
        let CreatePortalSessionRequest { organization_id } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let url = self.0.create_portal_session(&admin, id).await?;
        Ok(Response::new(CreatePortalSessionResponse { url }))
    }

    async fn link_organization(
        &self,
        request: Request<LinkOrganizationRequest>,
    ) -> Result<Response<LinkOrganizationResponse>, Status> {
        let admin = admitted(&request)?;
        let (id, terms) = link_request(request.into_inner())?;
        let Link {
            organization,
            operation,
        } = self.0.link_organization(&admin, id, &terms).await?;
        Ok(Response::new(LinkOrganizationResponse {
            organization: Some(translate::organization(organization)),
            operation: Some(translate::link_operation(operation)),
        }))
    }

    async fn get_reconciliation(
        &self,
        request: Request<GetReconciliationRequest>,
    ) -> Result<Response<GetReconciliationResponse>, Status> {
        let admin = admitted(&request)?;
        let GetReconciliationRequest {
            include_closed,
            page_size,
            page_token,
        } = request.into_inner();
        let (stands, page) = tokio::try_join!(
            self.0.get_reconciliation(&admin),
            self.0
                .list_findings(&admin, include_closed, page_size, page_token)
        )?;
        Ok(Response::new(translate::reconciliation(stands, page)))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let admin = admitted(&request)?;
        let ListFindingsRequest {
            page_size,
            page_token,
            include_closed,
        } = request.into_inner();
        let FindingsPage {
            findings,
            next_page_token,
        } = self
            .0
            .list_findings(&admin, include_closed, page_size, page_token)
            .await?;
        Ok(Response::new(ListFindingsResponse {
            findings: findings.into_iter().map(translate::finding).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn dismiss_finding(
        &self,
        request: Request<DismissFindingRequest>,
    ) -> Result<Response<DismissFindingResponse>, Status> {
        let admin = admitted(&request)?;
        let DismissFindingRequest { finding_id, reason } = request.into_inner();
        let finding = self.0.dismiss_finding(&admin, finding_id, reason).await?;
        Ok(Response::new(DismissFindingResponse {
            finding: Some(translate::finding(finding)),
        }))
    }

    async fn unlink_organization(
        &self,
        request: Request<UnlinkOrganizationRequest>,
    ) -> Result<Response<UnlinkOrganizationResponse>, Status> {
        let admin = admitted(&request)?;
        let UnlinkOrganizationRequest {
            organization_id,
            reason,
        } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let organization = self.0.unlink_organization(&admin, id, reason).await?;
        Ok(Response::new(UnlinkOrganizationResponse {
            organization: Some(translate::organization(organization)),
        }))
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Result<Response<UpdateSubscriptionResponse>, Status> {
        let admin = admitted(&request)?;
        let (id, update) = update_request(request.into_inner())?;
        let Change {
            organization,
            operation,
        } = self.0.update_subscription(&admin, id, &update).await?;
        Ok(Response::new(UpdateSubscriptionResponse {
            organization: Some(translate::organization(organization)),
            operation: operation.map(translate::link_operation),
        }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<CancelSubscriptionRequest>,
    ) -> Result<Response<CancelSubscriptionResponse>, Status> {
        let admin = admitted(&request)?;
        let (id, mode) = cancel_request(request.into_inner())?;
        let Change {
            organization,
            operation,
        } = self.0.cancel_subscription(&admin, id, mode).await?;
        Ok(Response::new(CancelSubscriptionResponse {
            organization: Some(translate::organization(organization)),
            operation: operation.map(translate::link_operation),
        }))
    }

    async fn get_reporting_summary(
        &self,
        request: Request<GetReportingSummaryRequest>,
    ) -> Result<Response<GetReportingSummaryResponse>, Status> {
        let admin = admitted(&request)?;
        let GetReportingSummaryRequest {} = request.into_inner();
        let summary = self.0.get_reporting_summary(&admin).await?;
        Ok(Response::new(translate::reporting_summary(summary)))
    }

    async fn list_held_reports(
        &self,
        request: Request<ListHeldReportsRequest>,
    ) -> Result<Response<ListHeldReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let ListHeldReportsRequest {
            organization_id,
            page_size,
            page_token,
            urgent,
        } = request.into_inner();
        let organization = (!organization_id.is_empty())
            .then(|| organization_id_of(&organization_id))
            .transpose()
            .map_err(|v| Fault::invalid(vec![v]))?;
        let filter = HeldFilter {
            organization,
            is_urgent: urgent,
        };
        let HeldReportPage {
            reports,
            next_page_token,
        } = self
            .0
            .list_held_reports(&admin, filter, page_size, page_token)
            .await?;
        Ok(Response::new(ListHeldReportsResponse {
            reports: reports.into_iter().map(translate::held_report).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn release_reports(
        &self,
        request: Request<ReleaseReportsRequest>,
    ) -> Result<Response<ReleaseReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let ReleaseReportsRequest {
            organization_id,
            report_ids,
            all,
        } = request.into_inner();
        let (id, selection) = held_selection(&organization_id, report_ids, all)?;
        let DecidedReports {
            reports,
            held_report_count,
        } = self.0.release_reports(&admin, id, selection).await?;
        Ok(Response::new(ReleaseReportsResponse {
            reports: reports.into_iter().map(translate::usage_report).collect(),
            held_report_count,
        }))
    }

    async fn discard_reports(
        &self,
        request: Request<DiscardReportsRequest>,
    ) -> Result<Response<DiscardReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let DiscardReportsRequest {
            organization_id,
            report_ids,
            all,
        } = request.into_inner();
        let (id, selection) = held_selection(&organization_id, report_ids, all)?;
        let DecidedReports {
            reports,
            held_report_count,
        } = self.0.discard_reports(&admin, id, selection).await?;
        Ok(Response::new(DiscardReportsResponse {
            reports: reports.into_iter().map(translate::usage_report).collect(),
            held_report_count,
        }))
    }

    async fn list_held_groups(
        &self,
        request: Request<ListHeldGroupsRequest>,
    ) -> Result<Response<ListHeldGroupsResponse>, Status> {
        let admin = admitted(&request)?;
        let groups = self.0.list_held_groups(&admin).await?;
        Ok(Response::new(ListHeldGroupsResponse {
            groups: groups.into_iter().map(translate::held_group).collect(),
        }))
    }

    async fn decide_held_group(
        &self,
        request: Request<DecideHeldGroupRequest>,
    ) -> Result<Response<DecideHeldGroupResponse>, Status> {
        let admin = admitted(&request)?;
        let group = translate::group_decision(request.into_inner())?;
        let GroupProgress {
            report_count,
            is_finished,
        } = self.0.decide_held_group(&admin, group).await?;
        Ok(Response::new(DecideHeldGroupResponse {
            report_count,
            finished: is_finished,
        }))
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let admin = admitted(&request)?;
        let (filter, page_size, page_token) = records::audit_filter(request.into_inner())?;
        let AuditPage {
            events,
            next_page_token,
        } = self
            .0
            .list_audit_events(&admin, filter, page_size, page_token)
            .await?;
        Ok(Response::new(ListAuditEventsResponse {
            events: events.into_iter().map(records::audit_event).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn list_refused_reports(
        &self,
        request: Request<ListRefusedReportsRequest>,
    ) -> Result<Response<ListRefusedReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let ListRefusedReportsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let RefusedReportPage {
            reports,
            next_page_token,
        } = self
            .0
            .list_refused_reports(&admin, page_size, page_token)
            .await?;
        Ok(Response::new(ListRefusedReportsResponse {
            reports: reports.into_iter().map(translate::refused_report).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn retry_report(
        &self,
        request: Request<RetryReportRequest>,
    ) -> Result<Response<RetryReportResponse>, Status> {
        let admin = admitted(&request)?;
        let RetryReportRequest { report_id } = request.into_inner();
        let report = self.0.retry_report(&admin, report_id).await?;
        let message = if report.delivery.is_under_way() {
            "Report queued again"
        } else {
            "Report not to be sent any more"
        };
        Ok(Response::new(RetryReportResponse {
            report: Some(translate::usage_report(report)),
            message: message.to_owned(),
        }))
    }

    async fn get_intake(
        &self,
        request: Request<GetIntakeRequest>,
    ) -> Result<Response<GetIntakeResponse>, Status> {
        let admin = admitted(&request)?;
        let GetIntakeRequest { organization_id } = request.into_inner();
        let id = Uuid::try_parse(&organization_id).map_err(|_| {
            let violation = Violation::new("organization_id", "It must be a UUID.");
            Fault::invalid(vec![violation])
        })?;
        let intake = self.0.get_intake(&admin, id).await?;
        Ok(Response::new(intake::intake(intake)))
    }

    async fn replace_report(
        &self,
        request: Request<ReplaceReportRequest>,
    ) -> Result<Response<ReplaceReportResponse>, Status> {
        let admin = admitted(&request)?;
        let ReplaceReportRequest { conflict_id } = request.into_inner();
        let report = self.0.replace_report(&admin, conflict_id).await?;
        Ok(Response::new(ReplaceReportResponse {
            report: Some(translate::usage_report(report)),
        }))
    }

    async fn get_signing_keys(
        &self,
        request: Request<GetSigningKeysRequest>,
    ) -> Result<Response<GetSigningKeysResponse>, Status> {
        let admin = admitted(&request)?;
        let GetSigningKeysRequest { organization_id } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let keys = self.0.get_signing_keys(&admin, id).await?;
        Ok(Response::new(GetSigningKeysResponse {
            signing_keys: Some(translate::signing_keys(keys)),
        }))
    }

    async fn pin_signing_key(
        &self,
        request: Request<PinSigningKeyRequest>,
    ) -> Result<Response<PinSigningKeyResponse>, Status> {
        let admin = admitted(&request)?;
        let PinSigningKeyRequest {
            organization_id,
            fingerprint,
        } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let keys = self.0.pin_signing_key(&admin, id, fingerprint).await?;
        Ok(Response::new(PinSigningKeyResponse {
            signing_keys: Some(translate::signing_keys(keys)),
        }))
    }

    async fn reset_signing_key(
        &self,
        request: Request<ResetSigningKeyRequest>,
    ) -> Result<Response<ResetSigningKeyResponse>, Status> {
        let admin = admitted(&request)?;
        let ResetSigningKeyRequest { organization_id } = request.into_inner();
        let id = organization_id_of(&organization_id).map_err(|v| Fault::invalid(vec![v]))?;
        let keys = self.0.reset_signing_key(&admin, id).await?;
        Ok(Response::new(ResetSigningKeyResponse {
            signing_keys: Some(translate::signing_keys(keys)),
        }))
    }

    async fn list_notices(
        &self,
        request: Request<ListNoticesRequest>,
    ) -> Result<Response<ListNoticesResponse>, Status> {
        let admin = admitted(&request)?;
        let request = request.into_inner();
        let state = records::notice_state(request.state());
        let ListNoticesRequest {
            state: _,
            page_size,
            page_token,
        } = request;
        let NoticePage {
            notices,
            next_page_token,
        } = self
            .0
            .list_notices(&admin, state, page_size, page_token)
            .await?;
        Ok(Response::new(ListNoticesResponse {
            notices: notices.into_iter().map(records::notice).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let admin = admitted(&request)?;
        let request = request.into_inner();
        let access = records::access(request.access());
        let CreateApiKeyRequest {
            name,
            access: _,
            lifetime_days,
        } = request;
        let CreatedApiKey { api_key, secret } = self
            .0
            .create_api_key(&admin, name, access, lifetime_days)
            .await?;
        Ok(Response::new(CreateApiKeyResponse {
            api_key: Some(records::api_key(api_key)),
            secret: secret.expose_secret().to_owned(),
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let admin = admitted(&request)?;
        let ListApiKeysRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let ApiKeyPage {
            api_keys,
            next_page_token,
        } = self.0.list_api_keys(&admin, page_size, page_token).await?;
        Ok(Response::new(ListApiKeysResponse {
            api_keys: api_keys.into_iter().map(records::api_key).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let admin = admitted(&request)?;
        let RevokeApiKeyRequest { api_key_id } = request.into_inner();
        let api_key = self.0.revoke_api_key(&admin, api_key_id).await?;
        Ok(Response::new(RevokeApiKeyResponse {
            api_key: Some(records::api_key(api_key)),
        }))
    }

    async fn list_webhook_events(
        &self,
        request: Request<ListWebhookEventsRequest>,
    ) -> Result<Response<ListWebhookEventsResponse>, Status> {
        let admin = admitted(&request)?;
        let request = request.into_inner();
        let state = records::state(request.state());
        let ListWebhookEventsRequest {
            state: _,
            page_size,
            page_token,
        } = request;
        let WebhookEventPage {
            events,
            next_page_token,
        } = self
            .0
            .list_webhook_events(&admin, state, page_size, page_token)
            .await?;
        Ok(Response::new(ListWebhookEventsResponse {
            events: events.into_iter().map(records::webhook_event).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }

    async fn retry_webhook_event(
        &self,
        request: Request<RetryWebhookEventRequest>,
    ) -> Result<Response<RetryWebhookEventResponse>, Status> {
        let admin = admitted(&request)?;
        let RetryWebhookEventRequest { event_id } = request.into_inner();
        let event = self.0.retry_webhook_event(&admin, event_id).await?;
        Ok(Response::new(RetryWebhookEventResponse {
            event: Some(records::webhook_event(event)),
        }))
    }

    async fn list_meter_errors(
        &self,
        request: Request<ListMeterErrorsRequest>,
    ) -> Result<Response<ListMeterErrorsResponse>, Status> {
        let admin = admitted(&request)?;
        let ListMeterErrorsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let MeterErrorPage {
            errors,
            next_page_token,
        } = self
            .0
            .list_meter_errors(&admin, page_size, page_token)
            .await?;
        Ok(Response::new(ListMeterErrorsResponse {
            errors: errors.into_iter().map(records::meter_error).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        }))
    }
}

fn page_request(message: ListOrganizationsRequest) -> Result<PageRequest, Fault> {
    let link_filter = translate::link_filter(message.link_filter());
    let reporting_state = translate::reporting_state(message.reporting_state());
    let order = OrderMessage::try_from(message.order_by).map(translate::order);
    let ListOrganizationsRequest {
        query,
        link_filter: _,
        statuses,
        page_size,
        page_token,
        plan_types,
        deployment_types,
        order_by: _,
        reporting_state: _,
        collection_paused,
        source_network,
    } = message;
    let mut violations = Vec::new();
    let filter = OrganizationFilter {
        query,
        statuses: every("statuses", statuses, &mut violations),
        plans: every("plan_types", plan_types, &mut violations),
        deployments: every("deployment_types", deployment_types, &mut violations),
        reporting_state,
        collection_paused,
        source_network,
    };
    let order = order.unwrap_or_else(|_| {
        violations.push(Violation::new("order_by", "It is not known."));
        OrganizationOrder::default()
    });
    if !violations.is_empty() {
        return Err(Fault::invalid(violations));
    }
    Ok(PageRequest {
        filter,
        link_filter,
        order,
        page_size,
        page_token,
        except_networks: Vec::new(),
    })
}

fn every<T: TryFrom<i32>>(
    field: &str,
    values: Vec<i32>,
    violations: &mut Vec<Violation>,
) -> Vec<T> {
    let known: Result<_, _> = values.into_iter().map(T::try_from).collect();
    known.unwrap_or_else(|_| {
        violations.push(Violation::new(field, "One of them is not known."));
        Vec::new()
    })
}

fn link_request(message: LinkOrganizationRequest) -> Result<(Uuid, LinkTerms), Fault> {
    let deployment_type = match message.deployment_type() {
        DeploymentType::Unspecified => None,
        known @ (DeploymentType::OnPremise | DeploymentType::ManagedCloud) => Some(known),
    };
    let plan_type = match message.plan_type() {
        PlanType::Unspecified => None,
        known @ (PlanType::ManagedCloud | PlanType::SelfHosted) => Some(known),
    };
    let LinkOrganizationRequest {
        organization_id,
        admin_email,
        deployment_type: _,
        plan_type: _,
        trial_days,
        adopt_customer_id,
    } = message;
    let terms = LinkTerms::new(
        &admin_email,
        deployment_type,
        plan_type,
        trial_days.map(i64::from),
        Some(&*adopt_customer_id).filter(|id| !id.is_empty()),
    );
    with_id(&organization_id, terms)
}

fn update_request(message: UpdateSubscriptionRequest) -> Result<(Uuid, SubscriptionUpdate), Fault> {
    let UpdateSubscriptionRequest {
        organization_id,
        admin_email,
        deployment_type,
        plan_type,
    } = message;
    // What a newer contract may know is as little a term as what is unspecified.
    let deployment_type = deployment_type
        .map(|value| DeploymentType::try_from(value).unwrap_or(DeploymentType::Unspecified));
    let plan_type =
        plan_type.map(|value| PlanType::try_from(value).unwrap_or(PlanType::Unspecified));
    let update = SubscriptionUpdate::new(admin_email.as_deref(), deployment_type, plan_type);
    with_id(&organization_id, update)
}

fn cancel_request(message: CancelSubscriptionRequest) -> Result<(Uuid, CancelMode), Fault> {
    let mode = match message.mode() {
        CancelMode::Unspecified => {
            let problem = format!("It must be one of: {}.", words::CANCEL_MODES);
            Err(vec![Violation::new(subscription_change::MODE, problem)])
        }
        known @ (CancelMode::AtPeriodEnd | CancelMode::Now) => Ok(known),
    };
    with_id(&message.organization_id, mode)
}

/// What is asked for and of which organization, or everything that is wrong with either.
fn with_id<T>(id: &str, asked: Result<T, Vec<Violation>>) -> Result<(Uuid, T), Fault> {
    match (organization_id_of(id), asked) {
        (Ok(id), Ok(asked)) => Ok((id, asked)),
        (id, asked) => {
            let violations = id.err().into_iter();
            let violations = violations.chain(asked.err().into_iter().flatten());
            Err(Fault::invalid(violations.collect()))
        }
    }
}

fn organization_id_of(text: &str) -> Result<Uuid, Violation> {
    Uuid::try_parse(text).map_err(|_| Violation::new("organization_id", "It must be a UUID."))
}

/// Which held reports are meant: named ones, or all, and not both.
fn held_selection(
    organization_id: &str,
    report_ids: Vec<String>,
    all: bool,
) -> Result<(Uuid, HeldSelection), Fault> {
    let id = organization_id_of(organization_id).map_err(|v| Fault::invalid(vec![v]))?;
    match (all, report_ids.is_empty()) {
        (true, true) => Ok((id, HeldSelection::All)),
        (false, false) => Ok((id, HeldSelection::Reports(report_ids))),
        (true, false) | (false, true) => {
            let problem = "Name reports, or set `all`, and not both.";
            Err(Fault::invalid(vec![Violation::new("report_ids", problem)]))
        }
    }
}
