//! org-svc's contract in memory: two users, of whom one is an admin, and a few organizations.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use billing_kit::{Fault, Violation, assertion::ADMIN_ASSERTION};
use billing_proto::{
    common::v1::{
        CancelMode, DeploymentType, ErrorReason, IgnoreOrganizationsRequest,
        IgnoreOrganizationsResponse, LinkFilter, LinkOperationKind, LinkOperationState,
        ListPendingGroupsRequest, ListPendingGroupsResponse, OrganizationOrder, PendingGroup,
        PlanType, RestoreOrganizationsRequest, RestoreOrganizationsResponse, SubscriptionStatus,
    },
    org::v1::{
        self as org, AuthenticateAdminRequest, AuthenticateAdminResponse,
        BatchGetOrganizationsRequest, BatchGetOrganizationsResponse, CancelSubscriptionRequest,
        CancelSubscriptionResponse, ChangePasswordRequest, ChangePasswordResponse,
        ConfirmDrainedRequest, ConfirmDrainedResponse, CountOrganizationsRequest,
        CountOrganizationsResponse, DeleteOrganizationsRequest, DeleteOrganizationsResponse,
        GetOrganizationRequest, GetOrganizationResponse, GetSessionRequest, GetSessionResponse,
        LinkOrganizationRequest, LinkOrganizationResponse, ListExpiredOrganizationsRequest,
        ListExpiredOrganizationsResponse, ListOrganizationsRequest, ListOrganizationsResponse,
        ObserveOrganizationsRequest, ObserveOrganizationsResponse, PasswordRefusal, SignInRequest,
        SignInResponse, SignOutRequest, SignOutResponse, UnlinkOrganizationRequest,
        UnlinkOrganizationResponse, UpdateSubscriptionRequest, UpdateSubscriptionResponse,
        WatchOrganizationsRequest, WatchOrganizationsResponse,
        admin_session_service_server::AdminSessionService,
        organization_service_server::OrganizationService,
    },
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status, metadata::MetadataMap};
use uuid::Uuid;

pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const NO_ADMIN: &str = "user@example.com";
/// An API key of the admin's that may not change anything.
pub(crate) const READ_ONLY_KEY: &str = "vab_read_only";
/// Whom org-svc refuses though the password is right.
pub(crate) const BANNED: &str = "banned@example.com";
pub(crate) const TWO_FACTORS: &str = "two-factors@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
const ASSERTION: &str = "signed-by-org-svc";

/// Terms that the catalog has no price for, that Stripe refuses, and whose link takes too long.
pub(crate) const REFUSED: &str = "refused@example.com";
pub(crate) const UNPRICED: &str = "unpriced@example.com";
pub(crate) const SLOW: &str = "slow@example.com";

/// Calls on behalf of an admin carry what [`Org`] gave out for one.
pub(crate) fn require_assertion(metadata: &MetadataMap) -> Result<(), Status> {
    match metadata.get(ADMIN_ASSERTION) {
        Some(value) if value == ASSERTION => Ok(()),
        _ => Err(Fault::new(ErrorReason::Unauthenticated, "This needs an admin.").into()),
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Org {
    organizations: Arc<Mutex<BTreeMap<Uuid, org::Organization>>>,
    sessions: Arc<Mutex<HashMap<String, org::Session>>>,
    refresh: Arc<Mutex<bool>>,
    rate_limited: Arc<Mutex<bool>>,
}

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

impl Org {
    /// A pending organization.
    pub(crate) fn add(&self, id: Uuid, name: &str) {
        let organization = org::Organization {
            id: id.to_string(),
            name: name.to_owned(),
            instance_url: "acme.vaultai.eu".to_owned(),
            subscription_status: SubscriptionStatus::Pending.into(),
            create_time: Some(time(1_730_455_200)),
            update_time: Some(time(1_730_455_200)),
            ..org::Organization::default()
        };
        self.organizations.lock().unwrap().insert(id, organization);
    }

    pub(crate) fn change(&self, id: Uuid, change: impl FnOnce(&mut org::Organization)) {
        change(self.organizations.lock().unwrap().get_mut(&id).unwrap());
    }

    pub(crate) fn get(&self, id: Uuid) -> org::Organization {
        self.organizations.lock().unwrap()[&id].clone()
    }

    /// The sessions that there are.
    pub(crate) fn sessions(&self) -> Vec<org::Session> {
        self.sessions.lock().unwrap().values().cloned().collect()
    }

    /// Ends all sessions behind everybody's back.
    pub(crate) fn expire_sessions(&self) {
        self.sessions.lock().unwrap().clear();
    }

    /// From now on sessions are due to be extended.
    pub(crate) fn refresh_sessions(&self) {
        *self.refresh.lock().unwrap() = true;
    }

    pub(crate) fn limit_rate(&self) {
        *self.rate_limited.lock().unwrap() = true;
    }

    fn session(&self, token: &str) -> Option<org::Session> {
        self.sessions.lock().unwrap().get(token).cloned()
    }
}

fn user(id: &str) -> org::User {
    org::User {
        id: id.to_owned(),
        name: "Admin".to_owned(),
        email: id.to_owned(),
        email_verified: false,
        image: None,
        create_time: Some(time(1_700_000_000)),
        update_time: Some(time(1_700_000_000)),
    }
}

fn page_size(asked: i32) -> usize {
    usize::try_from(if asked == 0 { 50 } else { asked.min(500) }).unwrap()
}

#[tonic::async_trait]
impl AdminSessionService for Org {
    async fn sign_in(
        &self,
        request: Request<SignInRequest>,
    ) -> Result<Response<SignInResponse>, Status> {
        let SignInRequest {
            email,
            password,
            remember,
            ip_address,
            user_agent,
            shared_address: _,
            device_tokens: _,
        } = request.into_inner();
        let email = email.to_lowercase();
        if *self.rate_limited.lock().unwrap() {
            let mut fault = Fault::new(ErrorReason::RateLimited, "Too many.");
            fault.retry_after = Some(std::time::Duration::from_secs(7));
            return Err(fault.into());
        }
        match email.as_str() {
            BANNED => return Err(Fault::new(ErrorReason::UserBanned, "Banned.").into()),
            TWO_FACTORS => {
                return Err(Fault::new(ErrorReason::SecondFactorNeeded, "A second one.").into());
            }
            _ => {}
        }
        if ![ADMIN, NO_ADMIN].contains(&email.as_str()) || password != PASSWORD {
            return Err(Fault::new(ErrorReason::Unauthenticated, "Wrong.").into());
        }
        let mut sessions = self.sessions.lock().unwrap();
        let token = format!("token{:027}", sessions.len() + 1);
        let days = if remember { 7 } else { 1 };
        let session = org::Session {
            id: format!("session{}", sessions.len() + 1),
            token: token.clone(),
            user_id: email.clone(),
            expire_time: Some(time(1_800_000_000 + days * 86_400)),
            create_time: Some(time(1_800_000_000)),
            update_time: Some(time(1_800_000_000)),
            ip_address: Some(ip_address),
            user_agent: Some(user_agent),
        };
        sessions.insert(token, session.clone());
        Ok(Response::new(SignInResponse {
            session: Some(session),
            user: Some(user(&email)),
            device_token: String::new(),
        }))
    }

    async fn sign_out(
        &self,
        request: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        let token = request.into_inner().session_token;
        self.sessions.lock().unwrap().remove(&token);
        Ok(Response::new(SignOutResponse {}))
    }

    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        let GetSessionRequest {
            session_token,
            disable_refresh,
        } = request.into_inner();
        let session = self.session(&session_token);
        Ok(Response::new(GetSessionResponse {
            user: session.as_ref().map(|session| user(&session.user_id)),
            refreshed: session.is_some() && *self.refresh.lock().unwrap() && !disable_refresh,
            session,
        }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let ChangePasswordRequest {
            session_token,
            current_password,
            new_password,
            revoke_other_sessions,
            ip_address,
            user_agent,
            shared_address: _,
            device_tokens: _,
        } = request.into_inner();
        let refused =
            |reason| Status::from(Fault::new(reason, "There is no session, or it has ended."));
        let mut session = self
            .session(&session_token)
            .ok_or_else(|| refused(ErrorReason::Unauthenticated))?;
        let refusal = match (new_password.len(), current_password.as_str()) {
            (0..8, _) => PasswordRefusal::TooShort,
            (129.., _) => PasswordRefusal::TooLong,
            (_, "none") => PasswordRefusal::NoneSet,
            (_, PASSWORD) => PasswordRefusal::Unspecified,
            _ => PasswordRefusal::CurrentWrong,
        };
        if refusal != PasswordRefusal::Unspecified {
            return Ok(Response::new(ChangePasswordResponse {
                refusal: refusal.into(),
                ..ChangePasswordResponse::default()
            }));
        }
        let user = user(&session.user_id);
        let session = revoke_other_sessions.then(|| {
            let mut sessions = self.sessions.lock().unwrap();
            sessions.clear();
            session.token = format!("renewed{:025}", 1);
            session.ip_address = Some(ip_address);
            session.user_agent = Some(user_agent);
            sessions.insert(session.token.clone(), session.clone());
            session
        });
        Ok(Response::new(ChangePasswordResponse {
            refusal: refusal.into(),
            user: Some(user),
            session,
            device_token: String::new(),
        }))
    }

    async fn authenticate_admin(
        &self,
        request: Request<AuthenticateAdminRequest>,
    ) -> Result<Response<AuthenticateAdminResponse>, Status> {
        let token = request.into_inner().session_token;
        if token == READ_ONLY_KEY {
            return Ok(Response::new(AuthenticateAdminResponse {
                user: Some(user(ADMIN)),
                assertion: ASSERTION.to_owned(),
                api_key_id: Uuid::from_u128(7).to_string(),
                is_read_only: true,
            }));
        }
        let refused = |reason| Status::from(Fault::new(reason, "Not you."));
        let session = self.session(&token);
        let session = session.ok_or_else(|| refused(ErrorReason::Unauthenticated))?;
        if session.user_id != ADMIN {
            return Err(refused(ErrorReason::PermissionDenied));
        }
        Ok(Response::new(AuthenticateAdminResponse {
            user: Some(user(ADMIN)),
            assertion: ASSERTION.to_owned(),
            api_key_id: String::new(),
            is_read_only: false,
        }))
    }
}

#[tonic::async_trait]
impl OrganizationService for Org {
    async fn observe_organizations(
        &self,
        _: Request<ObserveOrganizationsRequest>,
    ) -> Result<Response<ObserveOrganizationsResponse>, Status> {
        Err(Status::permission_denied("not for the gateway"))
    }

    async fn get_organization(
        &self,
        request: Request<GetOrganizationRequest>,
    ) -> Result<Response<GetOrganizationResponse>, Status> {
        require_assertion(request.metadata())?;
        let id = Uuid::parse_str(&request.into_inner().organization_id).unwrap();
        let organization = self.organizations.lock().unwrap().get(&id).cloned();
        let organization = organization.ok_or_else(not_found)?;
        Ok(Response::new(GetOrganizationResponse {
            organization: Some(organization),
        }))
    }

    async fn batch_get_organizations(
        &self,
        request: Request<BatchGetOrganizationsRequest>,
    ) -> Result<Response<BatchGetOrganizationsResponse>, Status> {
        require_assertion(request.metadata())?;
        let ids = request.into_inner().organization_ids;
        let all = self.organizations.lock().unwrap();
        let found = all.values().filter(|o| ids.contains(&o.id));
        Ok(Response::new(BatchGetOrganizationsResponse {
            organizations: found.cloned().collect(),
        }))
    }

    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> Result<Response<ListOrganizationsResponse>, Status> {
        require_assertion(request.metadata())?;
        let message = request.into_inner();
        let wanted = message.link_filter();
        if message.page_token == "nonsense" {
            let violation = Violation::new("page_token", "It is no token of ours.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let picks = |organization: &org::Organization| {
            let is_linked = !organization.stripe_customer_id.is_empty();
            let is_ignored = organization.ignore_time.is_some();
            let by_link = match wanted {
                LinkFilter::Unspecified => !is_ignored,
                LinkFilter::Pending => !is_linked && !is_ignored,
                LinkFilter::Linked => is_linked,
                LinkFilter::Ignored => is_ignored,
            };
            let network = &organization.source_network;
            let by_network =
                message.source_network.is_empty() || message.source_network == *network;
            let by_network = by_network && !message.except_source_networks.contains(network);
            let by_status = message.statuses.is_empty()
                || message.statuses.contains(&organization.subscription_status);
            let by_plan = message.plan_types.is_empty()
                || message.plan_types.contains(&organization.plan_type);
            let by_deployment = message.deployment_types.is_empty()
                || message
                    .deployment_types
                    .contains(&organization.deployment_type);
            let text = format!("{} {}", organization.id, organization.name);
            by_link
                && by_network
                && by_status
                && by_plan
                && by_deployment
                && text.contains(&message.query)
        };
        let all = self.organizations.lock().unwrap();
        let start: usize = message.page_token.parse().unwrap_or(0);
        let size = page_size(message.page_size);
        let mut picked: Vec<_> = all.values().filter(|o| picks(o)).collect();
        match message.order_by() {
            OrganizationOrder::Name => picked.sort_by_key(|o| o.name.to_lowercase()),
            OrganizationOrder::NameDescending => {
                picked.sort_by_key(|o| std::cmp::Reverse(o.name.to_lowercase()));
            }
            OrganizationOrder::Unspecified
            | OrganizationOrder::OldestFirst
            | OrganizationOrder::Status => {}
        }
        picked.drain(..start.min(picked.len()));
        let next_page_token = if picked.len() > size {
            (start + size).to_string()
        } else {
            String::new()
        };
        picked.truncate(size);
        Ok(Response::new(ListOrganizationsResponse {
            organizations: picked.into_iter().cloned().collect(),
            next_page_token,
        }))
    }

    async fn count_organizations(
        &self,
        request: Request<CountOrganizationsRequest>,
    ) -> Result<Response<CountOrganizationsResponse>, Status> {
        require_assertion(request.metadata())?;
        let all = self.organizations.lock().unwrap();
        let linked = all.values().filter(|o| !o.stripe_customer_id.is_empty());
        let linked_count = i64::try_from(linked.count()).unwrap();
        let ignored = all.values().filter(|o| o.ignore_time.is_some());
        let ignored_count = i64::try_from(ignored.count()).unwrap();
        let total_count = i64::try_from(all.len()).unwrap() - ignored_count;
        Ok(Response::new(CountOrganizationsResponse {
            total_count,
            linked_count,
            pending_count: total_count - linked_count,
            status_counts: Vec::new(),
            count_time: Some(time(1_800_000_000)),
            collection_paused_count: 0,
            ignored_count,
        }))
    }

    async fn list_pending_groups(
        &self,
        request: Request<ListPendingGroupsRequest>,
    ) -> Result<Response<ListPendingGroupsResponse>, Status> {
        require_assertion(request.metadata())?;
        let all = self.organizations.lock().unwrap();
        let mut counts = BTreeMap::new();
        for organization in all.values().filter(|o| o.ignore_time.is_none()) {
            if !organization.source_network.is_empty() {
                *counts.entry(&organization.source_network).or_insert(0) += 1;
            }
        }
        let groups = counts.into_iter().map(|(network, count)| PendingGroup {
            source_network: network.clone(),
            organization_count: count,
            first_create_time: Some(time(1_730_419_200)),
            last_create_time: Some(time(1_730_419_200)),
        });
        Ok(Response::new(ListPendingGroupsResponse {
            groups: groups
                .filter(|group| group.organization_count >= 10)
                .collect(),
        }))
    }

    async fn ignore_organizations(
        &self,
        request: Request<IgnoreOrganizationsRequest>,
    ) -> Result<Response<IgnoreOrganizationsResponse>, Status> {
        require_assertion(request.metadata())?;
        let IgnoreOrganizationsRequest {
            organization_ids,
            source_network,
            until_time,
        } = request.into_inner();
        if until_time.is_some_and(|until| until.seconds < 1_730_419_200) {
            let violation = Violation::new("until_time", "It is not a time of ours.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let mut all = self.organizations.lock().unwrap();
        let mut ignored_count = 0;
        for organization in all.values_mut() {
            let is_of_network =
                !source_network.is_empty() && organization.source_network == source_network;
            let is_chosen = is_of_network || organization_ids.contains(&organization.id);
            if is_chosen && organization.ignore_time.is_none() {
                organization.ignore_time = Some(time(1_800_000_000));
                ignored_count += 1;
            }
        }
        Ok(Response::new(IgnoreOrganizationsResponse { ignored_count }))
    }

    async fn restore_organizations(
        &self,
        request: Request<RestoreOrganizationsRequest>,
    ) -> Result<Response<RestoreOrganizationsResponse>, Status> {
        require_assertion(request.metadata())?;
        let RestoreOrganizationsRequest {
            organization_ids,
            source_network,
        } = request.into_inner();
        let mut all = self.organizations.lock().unwrap();
        let mut restored_count = 0;
        for organization in all.values_mut() {
            let is_of_network =
                !source_network.is_empty() && organization.source_network == source_network;
            let is_chosen = is_of_network || organization_ids.contains(&organization.id);
            if is_chosen && organization.ignore_time.take().is_some() {
                restored_count += 1;
            }
        }
        Ok(Response::new(RestoreOrganizationsResponse {
            restored_count,
        }))
    }

    async fn list_expired_organizations(
        &self,
        _: Request<ListExpiredOrganizationsRequest>,
    ) -> Result<Response<ListExpiredOrganizationsResponse>, Status> {
        Err(Status::unimplemented("the gateway does not ask this"))
    }

    async fn delete_organizations(
        &self,
        _: Request<DeleteOrganizationsRequest>,
    ) -> Result<Response<DeleteOrganizationsResponse>, Status> {
        Err(Status::unimplemented("the gateway does not ask this"))
    }

    async fn link_organization(
        &self,
        request: Request<LinkOrganizationRequest>,
    ) -> Result<Response<LinkOrganizationResponse>, Status> {
        require_assertion(request.metadata())?;
        let LinkOrganizationRequest {
            organization_id,
            terms,
        } = request.into_inner();
        let terms = terms.unwrap();
        // What the gateway lets through is complete.
        assert_ne!(terms.deployment_type(), DeploymentType::Unspecified);
        assert_ne!(terms.plan_type(), PlanType::Unspecified);
        assert!((0..=730).contains(&terms.trial_days.unwrap()));
        let id = Uuid::parse_str(&organization_id).unwrap();
        let mut all = self.organizations.lock().unwrap();
        let organization = all.get_mut(&id).ok_or_else(not_found)?;
        let state = link(organization, &terms)?;
        let operation = org::LinkOperation {
            id: Uuid::from_u128(99).to_string(),
            state: state.into(),
            terms: Some(terms),
            create_time: Some(time(1_800_000_000)),
            kind: LinkOperationKind::Link.into(),
            ..org::LinkOperation::default()
        };
        organization.link_operation = Some(operation.clone());
        Ok(Response::new(LinkOrganizationResponse {
            organization: Some(organization.clone()),
            operation: Some(operation),
        }))
    }

    async fn unlink_organization(
        &self,
        request: Request<UnlinkOrganizationRequest>,
    ) -> Result<Response<UnlinkOrganizationResponse>, Status> {
        require_assertion(request.metadata())?;
        let UnlinkOrganizationRequest {
            organization_id,
            reason,
            delivered_standing_version: _,
        } = request.into_inner();
        if reason.trim().is_empty() {
            let violation = Violation::new("reason", "It is missing or empty.");
            return Err(Fault::invalid(vec![violation]).into());
        }
        let id = Uuid::parse_str(&organization_id).unwrap();
        let mut all = self.organizations.lock().unwrap();
        let organization = all.get_mut(&id).ok_or_else(not_found)?;
        if organization.subscription_status() != SubscriptionStatus::Canceled {
            let message = "Its subscription goes on: cancel it first.";
            return Err(Fault::new(ErrorReason::LinkConflict, message).into());
        }
        organization.stripe_customer_id.clear();
        organization.stripe_subscription_id.clear();
        organization.subscription_status = SubscriptionStatus::Pending.into();
        Ok(Response::new(UnlinkOrganizationResponse {
            organization: Some(organization.clone()),
        }))
    }

    async fn update_subscription(
        &self,
        request: Request<UpdateSubscriptionRequest>,
    ) -> Result<Response<UpdateSubscriptionResponse>, Status> {
        require_assertion(request.metadata())?;
        let UpdateSubscriptionRequest {
            organization_id,
            admin_email,
            deployment_type,
            plan_type,
        } = request.into_inner();
        let id = Uuid::parse_str(&organization_id).unwrap();
        let mut all = self.organizations.lock().unwrap();
        let organization = all.get_mut(&id).ok_or_else(not_found)?;
        going_on(organization)?;
        let mut changed = organization.clone();
        changed.admin_email = admin_email.unwrap_or(changed.admin_email);
        changed.deployment_type = deployment_type.unwrap_or(changed.deployment_type);
        changed.plan_type = plan_type.unwrap_or(changed.plan_type);
        // What the gateway lets through is known.
        assert_ne!(changed.deployment_type(), DeploymentType::Unspecified);
        assert_ne!(changed.plan_type(), PlanType::Unspecified);
        if changed == *organization {
            return Ok(Response::new(UpdateSubscriptionResponse {
                organization: Some(changed),
                operation: None,
            }));
        }
        let refused = |reason, message: &str| Err(Fault::new(reason, message).into());
        let operation = match changed.admin_email.as_str() {
            REFUSED => return refused(ErrorReason::StripeRefused, "No such tax region."),
            UNPRICED => return refused(ErrorReason::PriceNotFound, "There is no price for this."),
            SLOW => operation(LinkOperationKind::Update, LinkOperationState::Running),
            _ => {
                *organization = changed;
                operation(LinkOperationKind::Update, LinkOperationState::Succeeded)
            }
        };
        organization.link_operation = Some(operation.clone());
        Ok(Response::new(UpdateSubscriptionResponse {
            organization: Some(organization.clone()),
            operation: Some(operation),
        }))
    }

    async fn cancel_subscription(
        &self,
        request: Request<CancelSubscriptionRequest>,
    ) -> Result<Response<CancelSubscriptionResponse>, Status> {
        require_assertion(request.metadata())?;
        let message = request.into_inner();
        let id = Uuid::parse_str(&message.organization_id).unwrap();
        let mut all = self.organizations.lock().unwrap();
        let organization = all.get_mut(&id).ok_or_else(not_found)?;
        going_on(organization)?;
        let kind = LinkOperationKind::Cancel;
        let operation = match message.mode() {
            CancelMode::Unspecified => panic!("what the gateway lets through is known"),
            CancelMode::AtPeriodEnd => {
                organization.cancel_time = Some(time(1_802_678_400));
                operation(kind, LinkOperationState::Succeeded)
            }
            CancelMode::Now => org::LinkOperation {
                error_code: "draining".to_owned(),
                error_message: "What was reported until now is delivered first.".to_owned(),
                ..operation(kind, LinkOperationState::Running)
            },
        };
        let operation = org::LinkOperation {
            cancel_mode: message.mode,
            ..operation
        };
        organization.link_operation = Some(operation.clone());
        Ok(Response::new(CancelSubscriptionResponse {
            organization: Some(organization.clone()),
            operation: Some(operation),
        }))
    }

    async fn confirm_drained(
        &self,
        _: Request<ConfirmDrainedRequest>,
    ) -> Result<Response<ConfirmDrainedResponse>, Status> {
        Err(Status::permission_denied("not for the gateway"))
    }

    type WatchOrganizationsStream = tokio_stream::Empty<Result<WatchOrganizationsResponse, Status>>;

    async fn watch_organizations(
        &self,
        _: Request<WatchOrganizationsRequest>,
    ) -> Result<Response<Self::WatchOrganizationsStream>, Status> {
        Err(Status::permission_denied("not for the gateway"))
    }
}

fn link(
    organization: &mut org::Organization,
    terms: &org::LinkTerms,
) -> Result<LinkOperationState, Status> {
    let refused = |reason, message: &str| Err(Fault::new(reason, message).into());
    match terms.admin_email.as_str() {
        REFUSED => return refused(ErrorReason::StripeRefused, "No such tax region."),
        UNPRICED => return refused(ErrorReason::PriceNotFound, "There is no price for this."),
        SLOW => return Ok(LinkOperationState::Running),
        _ => {}
    }
    let is_linked = !organization.stripe_customer_id.is_empty();
    if is_linked && organization.admin_email != terms.admin_email {
        return refused(ErrorReason::LinkConflict, "It is linked on other terms.");
    }
    organization.stripe_customer_id = "cus_NEW123".to_owned();
    organization.stripe_subscription_id = "sub_NEW789".to_owned();
    organization.admin_email = terms.admin_email.clone();
    organization.deployment_type = terms.deployment_type;
    organization.plan_type = terms.plan_type;
    organization.subscription_status = SubscriptionStatus::Trial.into();
    organization.trial_end_time = Some(time(1_800_345_600));
    Ok(LinkOperationState::Succeeded)
}

fn operation(kind: LinkOperationKind, state: LinkOperationState) -> org::LinkOperation {
    org::LinkOperation {
        id: Uuid::from_u128(98).to_string(),
        state: state.into(),
        kind: kind.into(),
        create_time: Some(time(1_800_000_000)),
        ..org::LinkOperation::default()
    }
}

/// Only what is linked and has not ended can be changed.
fn going_on(organization: &org::Organization) -> Result<(), Status> {
    let ended = [SubscriptionStatus::Pending, SubscriptionStatus::Canceled];
    if ended.contains(&organization.subscription_status()) {
        let message = "The organization has no subscription that goes on.";
        return Err(Fault::new(ErrorReason::LinkConflict, message).into());
    }
    Ok(())
}

fn not_found() -> Status {
    Fault::new(
        ErrorReason::OrganizationNotFound,
        "There is no such organization.",
    )
    .into()
}
