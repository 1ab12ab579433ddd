//! Goal: the gRPC doors let in whom they should, and nobody else.
//! Method: a whole system; calls with an admin's token, with a user's who is no admin, with none, and
//! to org-svc as another internal service does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::actors::{Admin, Instance, linked_instance, now};
use billing_e2e::{Service, System};
use billing_kit::client;
use billing_proto::{
    admin::v1::{
        GetOrganizationRequest, ListOrganizationsRequest, admin_service_client::AdminServiceClient,
    },
    org::v1::{
        self as org, AuthenticateAdminRequest,
        admin_session_service_client::AdminSessionServiceClient,
        organization_service_client::OrganizationServiceClient,
    },
};
use sea_orm::ConnectionTrait;
use std::time::Duration;
use tonic::{Code, Request, metadata::MetadataValue};

const DEADLINE: Duration = Duration::from_secs(10);

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_come_in_with_their_token_and_nobody_else() {
    let system = System::start().await;
    let admin = Admin::sign_in(&system).await;
    let (instance, _) = linked_instance(&system, &admin).await;
    let url = system.grpc_url(Service::Gateway).parse().unwrap();
    let mut client = AdminServiceClient::new(client::channel(&url, None, DEADLINE).unwrap());
    let request = || GetOrganizationRequest {
        organization_id: instance.organization.to_string(),
    };

    let answer = client
        .get_organization(with_token(request(), &admin.token))
        .await
        .unwrap();
    let organization = answer.into_inner().organization.unwrap();
    assert_eq!(organization.name, "Acme Corp");
    assert_eq!(organization.user_count, Some(45));
    let list = with_token(ListOrganizationsRequest::default(), &admin.token);
    let summary = client
        .list_organizations(list)
        .await
        .unwrap()
        .into_inner()
        .summary
        .unwrap();
    assert_eq!((summary.total_count, summary.linked_count), (1, 1));

    let none = client.get_organization(request()).await.unwrap_err();
    assert_eq!(none.code(), Code::Unauthenticated);
    let forged = client
        .get_organization(with_token(request(), "nope"))
        .await
        .unwrap_err();
    assert_eq!(forged.code(), Code::Unauthenticated);

    system
        .create_admin("user@example.com", "another password")
        .await;
    let db = system.database().connect().await;
    let demote = "DELETE FROM admins WHERE user_id = (SELECT id FROM \"user\" WHERE email = 'user@example.com')";
    db.execute_unprepared(demote).await.unwrap();
    db.close().await.unwrap();
    let user = Admin::sign_in_as(&system, "user@example.com", "another password").await;
    let refused = client
        .get_organization(with_token(request(), &user.token))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = user.get("/api/admin/organizations").await;
    assert_eq!(refused.status, reqwest::StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_internal_service_reads_org_svc_and_can_do_no_more() {
    let system = System::start().await;
    let instance = Instance::of(&system);
    instance.report(45, now()).await;
    let url = system.grpc_url(Service::Org).parse().unwrap();
    let tls = system.reader_tls();
    let channel = client::channel(&url, Some(&tls), DEADLINE).unwrap();
    let mut organizations = OrganizationServiceClient::new(channel.clone());
    let organization_id = instance.organization.to_string();
    let answer = organizations
        .get_organization(org::GetOrganizationRequest {
            organization_id: organization_id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(answer.into_inner().organization.unwrap().name, "Acme Corp");

    let link = org::LinkOrganizationRequest {
        organization_id,
        terms: None,
    };
    let refused = organizations.link_organization(link).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let session = AuthenticateAdminRequest {
        session_token: "x".to_owned(),
    };
    let refused = AdminSessionServiceClient::new(channel)
        .authenticate_admin(session)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_nobody_talks_to_org_svc() {
    let system = System::start().await;
    let url = format!(
        "http://localhost:{}",
        system.grpc_url(Service::Org).rsplit(':').next().unwrap()
    );
    let channel = client::channel(&url.parse().unwrap(), None, DEADLINE).unwrap();
    let request = org::CountOrganizationsRequest {};
    // The transport has no one word for a peer that speaks another language: any error will do.
    let answer = OrganizationServiceClient::new(channel)
        .count_organizations(request)
        .await;
    assert!(answer.is_err(), "{answer:?}");
}
