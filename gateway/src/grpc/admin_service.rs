//! `billing.admin.v1.AdminService`.

use billing_kit::{Fault, Violation};
use billing_proto::{
    admin::v1::{
        CancelSubscriptionRequest, CancelSubscriptionResponse, CreatePortalSessionRequest,
        CreatePortalSessionResponse, GetOrganizationRequest, GetOrganizationResponse,
        GetReconciliationRequest, GetReconciliationResponse, LinkOrganizationRequest,
        LinkOrganizationResponse, ListInvoicesRequest, ListInvoicesResponse,
        ListOrganizationsRequest, ListOrganizationsResponse, PreviewLinkRequest,
        PreviewLinkResponse, UnlinkOrganizationRequest, UnlinkOrganizationResponse,
        UpdateSubscriptionRequest, UpdateSubscriptionResponse, admin_service_server::AdminService,
    },
    common::v1::{
        CancelMode, CreateApiKeyRequest, CreateApiKeyResponse, DecideHeldGroupRequest,
        DecideHeldGroupResponse, DeploymentType, DiscardReportsRequest, DiscardReportsResponse,
        DismissFindingRequest, DismissFindingResponse, GetIntakeRequest, GetIntakeResponse,
        GetReportingSummaryRequest, GetReportingSummaryResponse, GetSigningKeysRequest,
        GetSigningKeysResponse, IgnoreOrganizationsRequest, IgnoreOrganizationsResponse,
        ListApiKeysRequest, ListApiKeysResponse, ListAuditEventsRequest, ListAuditEventsResponse,
        ListFindingsRequest, ListFindingsResponse, ListHeldGroupsRequest, ListHeldGroupsResponse,
        ListHeldReportsRequest, ListHeldReportsResponse, ListMeterErrorsRequest,
        ListMeterErrorsResponse, ListNoticesRequest, ListNoticesResponse, ListPendingGroupsRequest,
        ListPendingGroupsResponse, ListRefusedReportsRequest, ListRefusedReportsResponse,
        ListUsageReportsRequest, ListUsageReportsResponse, ListWebhookEventsRequest,
        ListWebhookEventsResponse, OrganizationOrder as OrderMessage, PinSigningKeyRequest,
        PinSigningKeyResponse, PlanType, ReleaseReportsRequest, ReleaseReportsResponse,
        ReplaceReportRequest, ReplaceReportResponse, ReportingState, ResetSigningKeyRequest,
        ResetSigningKeyResponse, RestoreOrganizationsRequest, RestoreOrganizationsResponse,
        RetryReportRequest, RetryReportResponse, RetryWebhookEventRequest,
        RetryWebhookEventResponse, RevokeApiKeyRequest, RevokeApiKeyResponse,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    app::{Admin, App, InvoicePage, PageRequest},
    domain::{
        link_terms::LinkTerms,
        organization_filter::{OrganizationFilter, OrganizationOrder},
        subscription_change::{self, SubscriptionUpdate},
        words,
    },
    upstream::internal_fault,
};

/// The handlers of `billing.admin.v1`.
#[derive(Debug)]
pub(crate) struct AdminHandlers(App);

impl AdminHandlers {
    pub(super) fn new(app: App) -> Self {
        Self(app)
    }
}

/// The authenticated admin.
fn admitted<T>(request: &Request<T>) -> Result<Admin, Fault> {
    let admin = request.extensions().get::<Admin>().cloned();
    admin.ok_or_else(|| Fault::internal("a method was called without authentication"))
}

/// The request for the service behind, with the admin's assertion.
fn on_behalf<T>(request: Request<T>) -> Result<Request<T>, Fault> {
    let admin = admitted(&request)?;
    Ok(admin.request(request.into_inner()))
}

/// The answer of the service behind.
fn passed_on<T>(answer: Result<Response<T>, Status>) -> Result<Response<T>, Status> {
    let answer = answer.map_err(internal_fault)?;
    Ok(Response::new(answer.into_inner()))
}

#[tonic::async_trait]
impl AdminService for AdminHandlers {
    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        let admin = admitted(&request)?;
        let request = page_request(request.into_inner())?;
        let (page, summary) = self.0.list_organizations(&admin, request).await?;
        Ok(Response::new(ListOrganizationsResponse {
            organizations: page.organizations,
            next_page_token: page.next_page_token.unwrap_or_default(),
            summary: Some(summary.into()),
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
            organization: Some(organization),
        }))
    }

    async fn list_pending_groups(
        &self,
        request: Request<ListPendingGroupsRequest>,
    ) -> Result<Response<ListPendingGroupsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut organizations = self.0.upstream().organizations.clone();
        passed_on(organizations.list_pending_groups(request).await)
    }

    async fn ignore_organizations(
        &self,
        request: Request<IgnoreOrganizationsRequest>,
    ) -> Result<Response<IgnoreOrganizationsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut organizations = self.0.upstream().organizations.clone();
        passed_on(organizations.ignore_organizations(request).await)
    }

    async fn restore_organizations(
        &self,
        request: Request<RestoreOrganizationsRequest>,
    ) -> Result<Response<RestoreOrganizationsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut organizations = self.0.upstream().organizations.clone();
        passed_on(organizations.restore_organizations(request).await)
    }

    async fn list_usage_reports(
        &self,
        request: Request<ListUsageReportsRequest>,
    ) -> Result<Response<ListUsageReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self
            .0
            .list_usage_reports(&admin, request.into_inner())
            .await?;
        Ok(Response::new(answer))
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
        let linked = self.0.link_organization(&admin, id, &terms).await?;
        Ok(Response::new(linked))
    }

    async fn get_reconciliation(
        &self,
        request: Request<GetReconciliationRequest>,
    ) -> Result<Response<GetReconciliationResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self
            .0
            .get_reconciliation(&admin, request.into_inner())
            .await?;
        Ok(Response::new(answer))
    }

    async fn list_findings(
        &self,
        request: Request<ListFindingsRequest>,
    ) -> Result<Response<ListFindingsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reconciliation = self.0.upstream().reconciliation.clone();
        passed_on(reconciliation.list_findings(request).await)
    }

    async fn dismiss_finding(
        &self,
        request: Request<DismissFindingRequest>,
    ) -> Result<Response<DismissFindingResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reconciliation = self.0.upstream().reconciliation.clone();
        passed_on(reconciliation.dismiss_finding(request).await)
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
            organization: Some(organization),
        }))
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Result<Response<UpdateSubscriptionResponse>, Status> {
        let admin = admitted(&request)?;
        let (id, update) = update_request(request.into_inner())?;
        let changed = self.0.update_subscription(&admin, id, &update).await?;
        Ok(Response::new(changed))
    }

    async fn cancel_subscription(
        &self,
        request: Request<CancelSubscriptionRequest>,
    ) -> Result<Response<CancelSubscriptionResponse>, Status> {
        let admin = admitted(&request)?;
        let (id, mode) = cancel_request(request.into_inner())?;
        let changed = self.0.cancel_subscription(&admin, id, mode).await?;
        Ok(Response::new(changed))
    }

    async fn get_reporting_summary(
        &self,
        request: Request<GetReportingSummaryRequest>,
    ) -> Result<Response<GetReportingSummaryResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reporting = self.0.upstream().reporting.clone();
        passed_on(reporting.get_reporting_summary(request).await)
    }

    async fn list_held_reports(
        &self,
        request: Request<ListHeldReportsRequest>,
    ) -> Result<Response<ListHeldReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self
            .0
            .list_held_reports(&admin, request.into_inner())
            .await?;
        Ok(Response::new(answer))
    }

    async fn release_reports(
        &self,
        request: Request<ReleaseReportsRequest>,
    ) -> Result<Response<ReleaseReportsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut held_reports = self.0.upstream().held_reports.clone();
        passed_on(held_reports.release_reports(request).await)
    }

    async fn discard_reports(
        &self,
        request: Request<DiscardReportsRequest>,
    ) -> Result<Response<DiscardReportsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut held_reports = self.0.upstream().held_reports.clone();
        passed_on(held_reports.discard_reports(request).await)
    }

    async fn list_held_groups(
        &self,
        request: Request<ListHeldGroupsRequest>,
    ) -> Result<Response<ListHeldGroupsResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self
            .0
            .list_held_groups(&admin, request.into_inner())
            .await?;
        Ok(Response::new(answer))
    }

    async fn decide_held_group(
        &self,
        request: Request<DecideHeldGroupRequest>,
    ) -> Result<Response<DecideHeldGroupResponse>, Status> {
        let request = on_behalf(request)?;
        let mut held_reports = self.0.upstream().held_reports.clone();
        passed_on(held_reports.decide_held_group(request).await)
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut audit = self.0.upstream().audit.clone();
        passed_on(audit.list_audit_events(request).await)
    }

    async fn list_refused_reports(
        &self,
        request: Request<ListRefusedReportsRequest>,
    ) -> Result<Response<ListRefusedReportsResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self
            .0
            .list_refused_reports(&admin, request.into_inner())
            .await?;
        Ok(Response::new(answer))
    }

    async fn retry_report(
        &self,
        request: Request<RetryReportRequest>,
    ) -> Result<Response<RetryReportResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self.0.retry_report(&admin, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn get_intake(
        &self,
        request: Request<GetIntakeRequest>,
    ) -> Result<Response<GetIntakeResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reporting = self.0.upstream().reporting.clone();
        passed_on(reporting.get_intake(request).await)
    }

    async fn replace_report(
        &self,
        request: Request<ReplaceReportRequest>,
    ) -> Result<Response<ReplaceReportResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reporting = self.0.upstream().reporting.clone();
        passed_on(reporting.replace_report(request).await)
    }

    async fn get_signing_keys(
        &self,
        request: Request<GetSigningKeysRequest>,
    ) -> Result<Response<GetSigningKeysResponse>, Status> {
        let admin = admitted(&request)?;
        let answer = self
            .0
            .get_signing_keys(&admin, request.into_inner())
            .await?;
        Ok(Response::new(answer))
    }

    async fn pin_signing_key(
        &self,
        request: Request<PinSigningKeyRequest>,
    ) -> Result<Response<PinSigningKeyResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reporting = self.0.upstream().reporting.clone();
        passed_on(reporting.pin_signing_key(request).await)
    }

    async fn reset_signing_key(
        &self,
        request: Request<ResetSigningKeyRequest>,
    ) -> Result<Response<ResetSigningKeyResponse>, Status> {
        let request = on_behalf(request)?;
        let mut reporting = self.0.upstream().reporting.clone();
        passed_on(reporting.reset_signing_key(request).await)
    }

    async fn list_notices(
        &self,
        request: Request<ListNoticesRequest>,
    ) -> Result<Response<ListNoticesResponse>, Status> {
        let request = on_behalf(request)?;
        let mut notices = self.0.upstream().notices.clone();
        passed_on(notices.list_notices(request).await)
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let request = on_behalf(request)?;
        let mut api_keys = self.0.upstream().api_keys.clone();
        passed_on(api_keys.create_api_key(request).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let request = on_behalf(request)?;
        let mut api_keys = self.0.upstream().api_keys.clone();
        passed_on(api_keys.list_api_keys(request).await)
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let request = on_behalf(request)?;
        let mut api_keys = self.0.upstream().api_keys.clone();
        passed_on(api_keys.revoke_api_key(request).await)
    }

    async fn list_webhook_events(
        &self,
        request: Request<ListWebhookEventsRequest>,
    ) -> Result<Response<ListWebhookEventsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut webhooks = self.0.upstream().webhooks.clone();
        passed_on(webhooks.list_webhook_events(request).await)
    }

    async fn retry_webhook_event(
        &self,
        request: Request<RetryWebhookEventRequest>,
    ) -> Result<Response<RetryWebhookEventResponse>, Status> {
        let request = on_behalf(request)?;
        let mut webhooks = self.0.upstream().webhooks.clone();
        passed_on(webhooks.retry_webhook_event(request).await)
    }

    async fn list_meter_errors(
        &self,
        request: Request<ListMeterErrorsRequest>,
    ) -> Result<Response<ListMeterErrorsResponse>, Status> {
        let request = on_behalf(request)?;
        let mut webhooks = self.0.upstream().webhooks.clone();
        passed_on(webhooks.list_meter_errors(request).await)
    }
}

fn page_request(message: ListOrganizationsRequest) -> Result<PageRequest, Fault> {
    let link_filter = message.link_filter();
    let reporting_state = match message.reporting_state() {
        ReportingState::Unspecified => None,
        known @ (ReportingState::OnTime | ReportingState::Late | ReportingState::Silent) => {
            Some(known)
        }
    };
    let order = OrderMessage::try_from(message.order_by).map(OrganizationOrder::from);
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
