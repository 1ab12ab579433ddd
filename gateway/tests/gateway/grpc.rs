//! `billing.admin.v1` over gRPC and gRPC-Web.

use std::time::Duration;

use billing_proto::{
    admin::v1::{
        GetOrganizationRequest, GetReconciliationRequest, LinkOrganizationRequest,
        ListOrganizationsRequest, OrganizationsSummary, admin_service_client::AdminServiceClient,
    },
    common::v1::{
        DeploymentType, DismissFindingRequest, FindingKind, LinkFilter, LinkOperationState,
        ListFindingsRequest, ListUsageReportsRequest, PlanType, SubscriptionStatus,
    },
};
use prost::Message;
use reqwest::StatusCode;
use tokio_stream::StreamExt;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use uuid::Uuid;

use crate::{
    org::{NO_ADMIN, time},
    reconciliation::findings,
    world::{Answer, World, report_of},
};

const ACME: Uuid = Uuid::from_u128(0xac);

pub(crate) fn channel(world: &World) -> Channel {
    Endpoint::from_shared(world.url("")).unwrap().connect_lazy()
}

/// The token itself, without the cookie's signature.
pub(crate) async fn token(world: &World, email: &str) -> String {
    world.sign_in(email).await;
    let sessions = world.org.sessions();
    sessions
        .iter()
        .find(|s| s.user_id == email)
        .unwrap()
        .token
        .clone()
}

pub(crate) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn get_acme() -> GetOrganizationRequest {
    GetOrganizationRequest {
        organization_id: ACME.to_string(),
    }
}

#[tokio::test]
async fn an_admin_reads_and_links() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.report(&report_of(ACME)).await;
    let token = token(&world, crate::org::ADMIN).await;
    let mut admin = AdminServiceClient::new(channel(&world));

    let got = admin
        .get_organization(with(&token, get_acme()))
        .await
        .unwrap();
    let organization = got.into_inner().organization.unwrap();
    assert_eq!(organization.name, "Acme Corp");
    assert_eq!(organization.user_count, Some(45));
    assert_eq!(organization.deployment_type(), DeploymentType::Unspecified);

    let request = LinkOrganizationRequest {
        organization_id: ACME.to_string(),
        admin_email: "billing@acme.com".to_owned(),
        deployment_type: DeploymentType::OnPremise.into(),
        plan_type: PlanType::ManagedCloud.into(),
        trial_days: Some(4),
        adopt_customer_id: "cus_chosen".to_owned(),
    };
    let linked = admin
        .link_organization(with(&token, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        linked.operation.unwrap().state(),
        LinkOperationState::Succeeded
    );
    let stored = world.org.get(ACME).link_operation.unwrap().terms.unwrap();
    assert_eq!(stored.adopt_customer_id, "cus_chosen");

    let request = ListOrganizationsRequest {
        link_filter: LinkFilter::Linked.into(),
        ..ListOrganizationsRequest::default()
    };
    let list = admin
        .list_organizations(with(&token, request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        list.organizations[0].subscription_status(),
        SubscriptionStatus::Trial
    );
    let summary = OrganizationsSummary {
        total_count: 1,
        linked_count: 1,
        pending_count: 0,
        count_time: Some(time(1_800_000_000)),
        collection_paused_count: 0,
        ignored_count: 0,
    };
    assert_eq!(list.summary, Some(summary));

    let request = ListUsageReportsRequest {
        organization_id: ACME.to_string(),
        page_size: 10,
        page_token: String::new(),
    };
    let usage = admin
        .list_usage_reports(with(&token, request))
        .await
        .unwrap();
    assert_eq!(usage.into_inner().reports[0].user_count, 45);
}

#[tokio::test]
async fn findings_are_told_and_dismissed() {
    let world = World::new().await;
    world.ingest.find(findings());
    let token = token(&world, "admin@example.com").await;
    let mut admin = AdminServiceClient::new(channel(&world));
    let stands = admin
        .get_reconciliation(with(&token, GetReconciliationRequest::default()))
        .await
        .unwrap();
    assert_eq!(stands.into_inner().open_finding_count, 1);
    let mut list = async |include_closed| {
        let request = ListFindingsRequest {
            include_closed,
            page_size: 10,
            ..ListFindingsRequest::default()
        };
        let listed = admin.list_findings(with(&token, request)).await.unwrap();
        listed.into_inner().findings
    };
    let open = list(false).await.remove(0);
    assert_eq!(
        (open.kind(), open.expected_count),
        (FindingKind::Invoice, 45)
    );
    assert_eq!(open.stripe_invoice_id, "in_1");

    let request = DismissFindingRequest {
        finding_id: open.id.clone(),
        reason: "credited by hand".to_owned(),
    };
    let mut admin = AdminServiceClient::new(channel(&world));
    let dismissed = admin.dismiss_finding(with(&token, request)).await.unwrap();
    let dismissed = dismissed.into_inner().finding.unwrap();
    assert_eq!(dismissed.id, open.id);
    assert_eq!(dismissed.dismissal.unwrap().reason, "credited by hand");
}

#[tokio::test]
async fn only_an_admins_session_token_opens_it() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let user = token(&world, NO_ADMIN).await;
    let mut admin = AdminServiceClient::new(channel(&world));
    let code = |answer: Result<_, tonic::Status>| {
        answer.map(|_: tonic::Response<_>| ()).unwrap_err().code()
    };
    let without = admin.get_organization(get_acme()).await;
    assert_eq!(code(without), Code::Unauthenticated);
    let wrong = admin.get_organization(with("nope", get_acme())).await;
    assert_eq!(code(wrong), Code::Unauthenticated);
    let no_admin = admin.get_organization(with(&user, get_acme())).await;
    assert_eq!(code(no_admin), Code::PermissionDenied);
}

#[tokio::test]
async fn bad_requests_name_their_fields() {
    let world = World::new().await;
    let token = token(&world, crate::org::ADMIN).await;
    let mut admin = AdminServiceClient::new(channel(&world));
    let missing = admin.get_organization(with(&token, get_acme())).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    let request = LinkOrganizationRequest {
        organization_id: "no-uuid".to_owned(),
        admin_email: "nope".to_owned(),
        deployment_type: 77,
        plan_type: 0,
        trial_days: None,
        adopt_customer_id: "cus/1".to_owned(),
    };
    let refused = admin
        .link_organization(with(&token, request))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = billing_kit::Fault::from_status(refused).violations;
    let fields: Vec<_> = violations.iter().map(|v| &*v.field).collect();
    assert_eq!(
        fields,
        [
            "organization_id",
            "deployment_type",
            "plan_type",
            "trial_days",
            "admin_email",
            "adopt_customer_id"
        ]
    );
}

#[tokio::test]
async fn the_services_are_listed_without_a_session() {
    let world = World::new().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel(&world));
    let answers = reflection
        .server_reflection_info(tokio_stream::iter([request]))
        .await;
    let answer = answers.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    assert!(
        names.contains(&"billing.admin.v1.AdminService"),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name.contains("org.v1")),
        "{names:?}"
    );
}

/// Only the list of names was short: who knew a name got the contract between the services.
#[tokio::test]
async fn reflection_tells_nothing_of_the_services_behind() {
    let world = World::new().await;
    let ask = async |message_request| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let mut reflection = ServerReflectionClient::new(channel(&world));
        let answers = reflection
            .server_reflection_info(tokio_stream::iter([request]))
            .await?;
        let answer = answers.into_inner().next().await.unwrap()?;
        Ok::<_, tonic::Status>(answer.message_response.unwrap())
    };
    let known = |answer: Result<MessageResponse, _>| {
        matches!(answer, Ok(MessageResponse::FileDescriptorResponse(_)))
    };
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
    let file = |name: &str| MessageRequest::FileByFilename(name.to_owned());
    assert!(known(ask(symbol("billing.admin.v1.AdminService")).await));
    assert!(known(ask(file("billing/common/v1/terms.proto")).await));
    for hidden in [
        symbol("billing.org.v1.AdminSessionService"),
        symbol("billing.stripe.v1.SubscriptionService"),
        file("billing/ingest/v1/usage_report_service.proto"),
        file("billing/org/v1/organization_service.proto"),
    ] {
        assert!(!known(ask(hidden.clone()).await), "{hidden:?}");
    }
}

/// An open reflection stream held the drain for 20 s, and the process exited with 1.
#[tokio::test]
async fn fm27_whoever_watches_health_or_reflects_does_not_hold_up_the_end() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let world = World::new().await;
    let mut health = HealthClient::new(channel(&world));
    let mut watches = Vec::new();
    for service in ["", "billing.admin.v1.AdminService"] {
        let service = service.to_owned();
        let request = HealthCheckRequest { service };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        let first = watch.next().await.unwrap().unwrap();
        assert_eq!(first.status, 1, "serving");
        watches.push(watch);
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::iter([request]).chain(tokio_stream::pending());
    let mut reflection = ServerReflectionClient::new(channel(&world));
    let answers = reflection.server_reflection_info(requests).await;
    let mut answers = answers.unwrap().into_inner();
    answers.next().await.unwrap().unwrap();
    assert!(world.life.drain(Duration::from_secs(10)).await);
}

/// It said that it serves until the end of the process.
#[tokio::test]
async fn fm24_health_without_a_name_says_what_readiness_says() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let world = World::new().await;
    let mut health = HealthClient::new(channel(&world));
    let mut watch = health.watch(HealthCheckRequest::default()).await;
    let watch = watch.as_mut().unwrap().get_mut();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 1, "serving");
    world.health.drain();
    // What it said before may come once more.
    while watch.next().await.unwrap().unwrap().status != 2 {}
    let answer = Answer::of(world.get("/readyz")).await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn a_browser_calls_it_over_grpc_web() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let token = token(&world, crate::org::ADMIN).await;
    let message = get_acme().encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let call = |token: Option<&str>| {
        let request = world
            .post("/billing.admin.v1.AdminService/GetOrganization")
            .header("content-type", "application/grpc-web+proto")
            .header("origin", "https://elsewhere.example")
            .body(frame.clone());
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let response = call(Some(&token)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // Not opened to other origins.
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    let bytes = response.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("Acme Corp") && text.contains("grpc-status:0"),
        "{text}"
    );
    let refused = Answer::of(call(None)).await;
    assert_eq!(refused.header("grpc-status"), "16", "{refused:?}");
}
