//! Who may call what, with real certificates.

use std::path::Path;

use billing_devkit::pki::DevPki;
use billing_kit::{
    client::{self, ServiceChannel},
    server::Listen,
    tls::TlsFiles,
};
use billing_proto::{
    common::v1::ErrorReason,
    org::v1::{
        CountOrganizationsRequest, GetSessionRequest, LinkOrganizationRequest,
        ListOrganizationsRequest, ObserveOrganizationsRequest, WatchOrganizationsRequest,
        admin_session_service_client::AdminSessionServiceClient,
        organization_service_client::OrganizationServiceClient,
    },
};
use tonic::{Code, Request, Status};
use url::Url;

use crate::support::{World, fault, nowhere};

fn files(pki: &DevPki, name: &str) -> TlsFiles {
    TlsFiles::read(&pki.cert(name), &pki.key(name), &pki.ca()).unwrap()
}

fn pki(dir: &Path) -> DevPki {
    DevPki::ensure(
        dir,
        &["org-svc", "gateway", "ingest-svc", "stripe-svc", "crm"],
    )
    .unwrap()
}

struct Visitor {
    organizations: OrganizationServiceClient<ServiceChannel>,
    sessions: AdminSessionServiceClient<ServiceChannel>,
}

/// Whether the door was open: whatever was said behind it.
fn is_open<T: std::fmt::Debug>(answer: Result<T, Status>) -> Result<(), Code> {
    match answer.map_err(|status| status.code()) {
        Err(closed @ (Code::PermissionDenied | Code::Unauthenticated)) => Err(closed),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Visitor {
    /// Observe, List, Count, Watch, Link, GetSession.
    async fn doors(&self, world: &World, as_admin: bool) -> [Result<(), Code>; 6] {
        fn with<T>(world: &World, as_admin: bool, message: T) -> Request<T> {
            if as_admin {
                world.as_admin(message)
            } else {
                Request::new(message)
            }
        }
        let mut organizations = self.organizations.clone();
        let observe = with(world, as_admin, ObserveOrganizationsRequest::default());
        let list = with(world, as_admin, ListOrganizationsRequest::default());
        let count = with(world, as_admin, CountOrganizationsRequest::default());
        let watch = with(world, as_admin, WatchOrganizationsRequest::default());
        let link = with(world, as_admin, LinkOrganizationRequest::default());
        let session = with(world, as_admin, GetSessionRequest::default());
        [
            is_open(organizations.observe_organizations(observe).await),
            is_open(organizations.list_organizations(list).await),
            is_open(organizations.count_organizations(count).await),
            is_open(organizations.watch_organizations(watch).await),
            is_open(organizations.link_organization(link).await),
            is_open(self.sessions.clone().get_session(session).await),
        ]
    }
}

#[tokio::test]
async fn each_identity_has_its_doors() {
    const OPEN: Result<(), Code> = Ok(());
    const CLOSED: Result<(), Code> = Err(Code::PermissionDenied);
    const NO_ADMIN: Result<(), Code> = Err(Code::Unauthenticated);

    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let pki = pki(dir.path());
    let mut config = world.config(&nowhere());
    config.org_readers = vec!["crm".to_owned()];
    config.listen = Listen {
        addr: config.listen.addr,
        tls: Some(files(&pki, "org-svc")),
    };
    let life = billing_kit::process::Lifecycle::new();
    let deps = org_svc::Deps {
        clock: world.clock(),
        ids: billing_kit::Ids::random(),
    };
    let running = org_svc::start(config, deps, life.clone()).await.unwrap();
    let url = Url::parse(&format!("https://localhost:{}", running.addr.port())).unwrap();

    for (identity, as_admin, doors) in [
        (
            "gateway",
            false,
            [CLOSED, NO_ADMIN, NO_ADMIN, CLOSED, NO_ADMIN, OPEN],
        ),
        ("gateway", true, [CLOSED, OPEN, OPEN, CLOSED, OPEN, OPEN]),
        (
            "ingest-svc",
            false,
            [OPEN, CLOSED, CLOSED, OPEN, CLOSED, CLOSED],
        ),
        (
            "ingest-svc",
            true,
            [OPEN, CLOSED, CLOSED, OPEN, CLOSED, CLOSED],
        ),
        ("crm", false, [CLOSED, OPEN, OPEN, OPEN, CLOSED, CLOSED]),
        ("stripe-svc", true, [CLOSED; 6]),
    ] {
        let tls = files(&pki, identity);
        let deadline = std::time::Duration::from_secs(5);
        let channel = client::channel(&url, Some(&tls), deadline).unwrap();
        let visitor = Visitor {
            organizations: OrganizationServiceClient::new(channel.clone()),
            sessions: AdminSessionServiceClient::new(channel),
        };
        assert_eq!(
            visitor.doors(&world, as_admin).await,
            doors,
            "{identity} {as_admin}"
        );
    }
    assert!(life.drain(std::time::Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_link_needs_an_admin_on_this_machine_too() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let request = LinkOrganizationRequest::default();
    let refused = fault(
        org_svc
            .organizations
            .clone()
            .link_organization(request)
            .await,
    );
    assert_eq!(refused.reason, ErrorReason::Unauthenticated);
}
