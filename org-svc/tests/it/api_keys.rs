//! API keys: what they open, for how long, and what is kept of them.

use billing_kit::{assertion::ADMIN_ASSERTION, context::CLIENT_ADDRESS};
use billing_proto::{
    common::v1::{
        ApiKey, ApiKeyAccess, CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysRequest,
        RevokeApiKeyRequest,
    },
    org::v1::{
        AuthenticateAdminRequest, AuthenticateAdminResponse, ListOrganizationsRequest,
        UnlinkOrganizationRequest,
    },
};
use chrono::TimeDelta;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::support::{ErrorReason, OrgSvc, World, fault};

/// The admin of `World::as_admin`, as a user who is listed.
const ADMIN: &str = r#"
    INSERT INTO "user" ("id", "name", "email", "emailVerified", "createdAt", "updatedAt")
    VALUES ('admin-1', 'Admin', 'admin@vaultai.example', true, now(), now());
    INSERT INTO admins (user_id, created_at) VALUES ('admin-1', now());"#;

async fn with_admin() -> (World, OrgSvc) {
    let world = World::new().await;
    world.as_owner_run(ADMIN).await;
    let org_svc = world.start_alone().await;
    (world, org_svc)
}

async fn create(
    world: &World,
    org_svc: &OrgSvc,
    access: ApiKeyAccess,
    lifetime_days: i32,
) -> CreateApiKeyResponse {
    let request = world.as_admin(CreateApiKeyRequest {
        name: "nightly".to_owned(),
        access: access.into(),
        lifetime_days,
    });
    let mut api_keys = org_svc.api_keys.clone();
    api_keys.create_api_key(request).await.unwrap().into_inner()
}

async fn show(org_svc: &OrgSvc, secret: &str) -> Result<AuthenticateAdminResponse, Status> {
    let request = AuthenticateAdminRequest {
        session_token: secret.to_owned(),
    };
    let mut sessions = org_svc.sessions.clone();
    Ok(sessions.authenticate_admin(request).await?.into_inner())
}

fn with<T>(assertion: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert(ADMIN_ASSERTION, assertion.parse().unwrap());
    request
}

async fn list(world: &World, org_svc: &OrgSvc) -> Vec<ApiKey> {
    let request = world.as_admin(ListApiKeysRequest::default());
    let mut api_keys = org_svc.api_keys.clone();
    let listed = api_keys.list_api_keys(request).await.unwrap();
    listed.into_inner().api_keys
}

#[tokio::test]
async fn a_key_is_told_once_and_kept_as_a_hash() {
    let (world, org_svc) = with_admin().await;
    let made = create(&world, &org_svc, ApiKeyAccess::Full, 0).await;
    assert!(made.secret.starts_with("vbk_") && made.secret.len() == 47);
    let key = made.api_key.unwrap();
    assert!(made.secret.starts_with(&key.secret_prefix));
    let days = |time: Option<prost_types::Timestamp>| time.unwrap().seconds / 86_400;
    assert_eq!(days(key.expire_time) - days(key.create_time), 90);
    let stored = world.text("SELECT to_jsonb(k)::text || (SELECT string_agg(to_jsonb(a)::text, '') FROM audit_events a) FROM api_keys k").await;
    assert!(!stored.unwrap().contains(&made.secret));

    let shown = show(&org_svc, &made.secret).await.unwrap();
    assert_eq!((shown.api_key_id, shown.is_read_only), (key.id, false));
    assert_eq!(shown.user.unwrap().email, "admin@vaultai.example");
    for wrong in [
        "vbk_",
        &made.secret.replace("vbk_", "vbk_A"),
        &made.secret[..46],
    ] {
        let refused = fault(show(&org_svc, wrong).await);
        assert_eq!(refused.reason, ErrorReason::Unauthenticated, "{wrong}");
    }
}

#[tokio::test]
async fn a_read_only_key_changes_nothing_and_no_key_makes_keys() {
    let (world, org_svc) = with_admin().await;
    let (mut organizations, mut api_keys) =
        (org_svc.organizations.clone(), org_svc.api_keys.clone());
    let unlink = || UnlinkOrganizationRequest {
        organization_id: Uuid::from_u128(7).to_string(),
        reason: "The contract ended.".to_owned(),
        delivered_standing_version: None,
    };
    for (access, expected) in [
        (ApiKeyAccess::ReadOnly, ErrorReason::ApiKeyReadOnly),
        (ApiKeyAccess::Full, ErrorReason::OrganizationNotFound),
    ] {
        let made = create(&world, &org_svc, access, 1).await;
        let assertion = show(&org_svc, &made.secret).await.unwrap().assertion;
        let read = with(&assertion, ListOrganizationsRequest::default());
        organizations.list_organizations(read).await.unwrap();
        let change = with(&assertion, unlink());
        let refused = fault(organizations.unlink_organization(change).await);
        assert_eq!(refused.reason, expected);
        let more = with(&assertion, CreateApiKeyRequest::default());
        let refused = fault(api_keys.create_api_key(more).await);
        assert_eq!(refused.reason, ErrorReason::SessionRequired);
    }
}

#[tokio::test]
async fn a_key_ends_by_its_time_by_hand_and_with_its_admin() {
    let (world, org_svc) = with_admin().await;
    let mut api_keys = org_svc.api_keys.clone();
    let short = create(&world, &org_svc, ApiKeyAccess::Full, 1).await;
    let long = create(&world, &org_svc, ApiKeyAccess::Full, 365).await;
    assert!(show(&org_svc, &short.secret).await.is_ok());
    world.pass(TimeDelta::days(1));
    let refused = fault(show(&org_svc, &short.secret).await);
    assert_eq!(refused.reason, ErrorReason::Unauthenticated);

    let id = long.api_key.unwrap().id;
    for _ in 0..2 {
        let revoke = world.as_admin(RevokeApiKeyRequest {
            api_key_id: id.clone(),
        });
        let revoked = api_keys.revoke_api_key(revoke).await.unwrap().into_inner();
        assert!(revoked.api_key.unwrap().revoke_time.is_some());
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM audit_events WHERE action = 'api_key.revoked'")
            .await,
        1
    );
    let refused = fault(show(&org_svc, &long.secret).await);
    assert_eq!(refused.reason, ErrorReason::Unauthenticated);
    let nobodys = world.as_admin(RevokeApiKeyRequest {
        api_key_id: Uuid::from_u128(9).to_string(),
    });
    let refused = fault(api_keys.revoke_api_key(nobodys).await);
    assert_eq!(refused.reason, ErrorReason::ApiKeyNotFound);

    let third = create(&world, &org_svc, ApiKeyAccess::Full, 1).await;
    world.as_owner_run("DELETE FROM admins").await;
    let refused = fault(show(&org_svc, &third.secret).await);
    assert_eq!(refused.reason, ErrorReason::PermissionDenied);
}

#[tokio::test]
async fn the_last_use_is_known_to_ten_minutes_and_keys_are_paged() {
    let (world, org_svc) = with_admin().await;
    let made = create(&world, &org_svc, ApiKeyAccess::Full, 0).await;
    assert_eq!(list(&world, &org_svc).await[0].last_use_time, None);
    show(&org_svc, &made.secret).await.unwrap();
    let first = list(&world, &org_svc).await[0].last_use_time;
    assert!(first.is_some());
    world.pass(TimeDelta::minutes(9));
    show(&org_svc, &made.secret).await.unwrap();
    assert_eq!(list(&world, &org_svc).await[0].last_use_time, first);
    world.pass(TimeDelta::minutes(1));
    show(&org_svc, &made.secret).await.unwrap();
    assert_ne!(list(&world, &org_svc).await[0].last_use_time, first);

    let second = create(&world, &org_svc, ApiKeyAccess::ReadOnly, 0).await;
    let page = |page_token: String| {
        let request = world.as_admin(ListApiKeysRequest {
            page_size: 1,
            page_token,
        });
        let mut api_keys = org_svc.api_keys.clone();
        async move { api_keys.list_api_keys(request).await.unwrap().into_inner() }
    };
    let newest = page(String::new()).await;
    assert_eq!(newest.api_keys[0].id, second.api_key.unwrap().id);
    let last = page(newest.next_page_token).await;
    assert_eq!(last.api_keys[0].id, made.api_key.unwrap().id);
    assert_eq!(last.next_page_token, "");
}

/// What is done with a key says so in the audit trail, and from where.
#[tokio::test]
async fn the_audit_trail_names_the_key_and_the_address() {
    let (world, org_svc) = with_admin().await;
    let mut api_keys = org_svc.api_keys.clone();
    let made = create(&world, &org_svc, ApiKeyAccess::Full, 1).await;
    let id = made.api_key.unwrap().id;
    let assertion = show(&org_svc, &made.secret).await.unwrap().assertion;
    let mut revoke = with(
        &assertion,
        RevokeApiKeyRequest {
            api_key_id: id.clone(),
        },
    );
    let address = "2001:db8::7".parse().unwrap();
    revoke.metadata_mut().insert(CLIENT_ADDRESS, address);
    api_keys.revoke_api_key(revoke).await.unwrap();
    let row = world
        .text("SELECT concat_ws('|', admin_user_id, api_key_id, host(client_address)) FROM audit_events WHERE action = 'api_key.revoked'")
        .await;
    assert_eq!(row.unwrap(), format!("admin-1|{id}|2001:db8::7"));
}

#[tokio::test]
async fn every_field_at_fault_is_told() {
    let (world, org_svc) = with_admin().await;
    let request = world.as_admin(CreateApiKeyRequest {
        name: "\u{7}".to_owned(),
        access: 9,
        lifetime_days: 366,
    });
    let refused = fault(org_svc.api_keys.clone().create_api_key(request).await);
    let fields: Vec<_> = refused.violations.iter().map(|v| &*v.field).collect();
    assert_eq!(fields, ["name", "access", "lifetime_days"]);
}
