//! Sign-in, sessions and who is an admin, on Better Auth's tables.

use billing_kit::assertion::ADMIN_ASSERTION;
use billing_proto::org::v1::{
    AuthenticateAdminRequest, AuthenticateAdminResponse, GetSessionRequest, GetSessionResponse,
    Session, SignInRequest, SignInResponse, SignOutRequest,
};
use chrono::{DateTime, TimeDelta, Utc};
use tonic::{Request, Status};

use crate::support::{ErrorReason, OrgSvc, World, fault};

const PASSWORD: &str = "correct horse battery staple";
/// A user with a credential account, as Better Auth 1.7.25 made them.
const SEED: &str = r#"
    INSERT INTO "user" ("id", "name", "email", "emailVerified", "createdAt", "updatedAt") VALUES
        ('TBvqGphHtbTZqKDLdpR4zoxwlvntl32B', 'Admin', 'admin@example.com', false, '2024-11-01T10:00:00.123Z', '2024-11-01T10:00:00.123Z'),
        ('0nlyOAuthUser0nlyOAuthUser0nlyOA', 'OAuth', 'oauth@example.com', true, now(), now()),
        ('ForeignHashForeignHashForeignHas', 'Foreign', 'foreign@example.com', true, now(), now());
    INSERT INTO "account" ("id", "accountId", "providerId", "userId", "password", "createdAt", "updatedAt") VALUES
        ('RFfhVgjmhCV0q1ztNUNykYUq8oIZIX0b', 'TBvqGphHtbTZqKDLdpR4zoxwlvntl32B', 'credential', 'TBvqGphHtbTZqKDLdpR4zoxwlvntl32B',
         '7a5aa362f66c12e2c612b1e557eac03e:d4d5a578c01557cf93eaa6066a8951d43356dc066870ccd6cc2d334716642f2ac556d03de15178dbedfcd66e83d0a3181c776961bebaa653737e599071a618cc', now(), now()),
        ('a2', '12345', 'github', '0nlyOAuthUser0nlyOAuthUser0nlyOA', NULL, now(), now()),
        ('a3', 'ForeignHashForeignHashForeignHas', 'credential', 'ForeignHashForeignHashForeignHas', '$argon2id$v=19$x', now(), now());"#;
const ADMIN: &str =
    "INSERT INTO admins (user_id, created_at) VALUES ('TBvqGphHtbTZqKDLdpR4zoxwlvntl32B', now())";

async fn seeded() -> (World, OrgSvc) {
    let world = World::new().await;
    world.as_owner_run(SEED).await;
    let org_svc = world.start_alone().await;
    (world, org_svc)
}

async fn sign_in(
    org_svc: &OrgSvc,
    email: &str,
    password: &str,
    remember: bool,
) -> Result<SignInResponse, Status> {
    let request = SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        remember,
        ip_address: "203.0.113.7".to_owned(),
        user_agent: "probe/1.0".to_owned(),
        ..SignInRequest::default()
    };
    Ok(org_svc
        .sessions
        .clone()
        .sign_in(request)
        .await?
        .into_inner())
}

async fn signed_in(org_svc: &OrgSvc, remember: bool) -> Session {
    let response = sign_in(org_svc, "Admin@Example.com", PASSWORD, remember);
    response.await.unwrap().session.unwrap()
}

async fn get(org_svc: &OrgSvc, token: &str, disable_refresh: bool) -> GetSessionResponse {
    let request = GetSessionRequest {
        session_token: token.to_owned(),
        disable_refresh,
    };
    org_svc
        .sessions
        .clone()
        .get_session(request)
        .await
        .unwrap()
        .into_inner()
}

async fn authenticate(org_svc: &OrgSvc, token: &str) -> Result<AuthenticateAdminResponse, Status> {
    let request = AuthenticateAdminRequest {
        session_token: token.to_owned(),
    };
    Ok(org_svc
        .sessions
        .clone()
        .authenticate_admin(request)
        .await?
        .into_inner())
}

fn time(timestamp: Option<prost_types::Timestamp>) -> DateTime<Utc> {
    billing_kit::proto_time::from_proto(&timestamp.unwrap()).unwrap()
}

#[tokio::test]
async fn a_session_is_written_as_better_auth_writes_it() {
    let (world, org_svc) = seeded().await;
    world.pass(TimeDelta::microseconds(123_456));
    let response = sign_in(&org_svc, "Admin@Example.com", PASSWORD, true)
        .await
        .unwrap();
    let (session, user) = (response.session.unwrap(), response.user.unwrap());
    assert_eq!(user.id, "TBvqGphHtbTZqKDLdpR4zoxwlvntl32B");
    assert_eq!(
        (user.email.as_str(), user.email_verified),
        ("admin@example.com", false)
    );
    assert_eq!(time(user.create_time).timestamp_subsec_millis(), 123);
    for text in [&session.id, &session.token] {
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
    assert_ne!(session.id, session.token);
    let begun = DateTime::from_timestamp_millis(1_800_000_000_123).unwrap();
    assert_eq!(time(session.create_time), begun);
    assert_eq!(time(session.expire_time), begun + TimeDelta::days(7));

    let row = format!(
        r#"SELECT concat_ws('|', "id", "userId", "ipAddress", "userAgent", "updatedAt" = "createdAt", extract(epoch FROM "expiresAt" - "createdAt")::int) FROM "session" WHERE "token" = '{}'"#,
        session.token
    );
    let expected = format!(
        "{}|TBvqGphHtbTZqKDLdpR4zoxwlvntl32B|203.0.113.7|probe/1.0|t|604800",
        session.id
    );
    assert_eq!(world.text(&row).await.unwrap(), expected);

    let short = signed_in(&org_svc, false).await;
    assert_eq!(time(short.expire_time), begun + TimeDelta::days(1));
    assert_eq!(world.count(r#"SELECT count(*) FROM "session""#).await, 2);
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let (world, org_svc) = seeded().await;
    let mut messages = std::collections::BTreeSet::new();
    for (email, password) in [
        ("admin@example.com", "wrong"),
        ("admin@example.com", ""),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("oauth@example.com", PASSWORD),
        ("foreign@example.com", PASSWORD),
    ] {
        let refused = fault(sign_in(&org_svc, email, password, true).await);
        assert_eq!(refused.reason, ErrorReason::Unauthenticated, "{email}");
        messages.insert(refused.message);
    }
    assert_eq!(messages.len(), 1);
    let long = fault(sign_in(&org_svc, "admin@example.com", &"x".repeat(129), true).await);
    assert_eq!(long.reason, ErrorReason::InvalidArgument);
    assert_eq!(world.count(r#"SELECT count(*) FROM "session""#).await, 0);
}

#[tokio::test]
async fn a_session_is_extended_when_it_is_due_and_deleted_when_it_is_over() {
    let (world, org_svc) = seeded().await;
    let session = signed_in(&org_svc, true).await;
    let begun = world.now();

    world.pass(TimeDelta::days(1) - TimeDelta::milliseconds(1));
    let fresh = get(&org_svc, &session.token, false).await;
    assert!(!fresh.refreshed);
    assert_eq!(fresh.user.unwrap().name, "Admin");
    assert_eq!(fresh.session.unwrap(), session);

    world.pass(TimeDelta::milliseconds(1));
    let kept = get(&org_svc, &session.token, true).await;
    assert!(!kept.refreshed);
    assert_eq!(
        time(kept.session.unwrap().expire_time),
        begun + TimeDelta::days(7)
    );
    let extended = get(&org_svc, &session.token, false).await;
    assert!(extended.refreshed);
    let moved = extended.session.unwrap();
    assert_eq!(time(moved.expire_time), begun + TimeDelta::days(8));
    assert_eq!(time(moved.update_time), begun + TimeDelta::days(1));
    assert_eq!(
        get(&org_svc, &session.token, false).await.session.unwrap(),
        moved
    );

    world.pass(TimeDelta::days(7));
    assert!(get(&org_svc, &session.token, true).await.session.is_some());
    world.pass(TimeDelta::milliseconds(1));
    assert_eq!(
        get(&org_svc, &session.token, false).await,
        GetSessionResponse::default()
    );
    assert_eq!(world.count(r#"SELECT count(*) FROM "session""#).await, 0);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_may_be_repeated() {
    let (world, org_svc) = seeded().await;
    let (one, other) = (
        signed_in(&org_svc, true).await,
        signed_in(&org_svc, true).await,
    );
    for _ in 0..2 {
        let request = SignOutRequest {
            session_token: one.token.clone(),
        };
        org_svc.sessions.clone().sign_out(request).await.unwrap();
    }
    assert!(get(&org_svc, &one.token, false).await.session.is_none());
    assert!(get(&org_svc, &other.token, false).await.session.is_some());
    assert_eq!(world.count(r#"SELECT count(*) FROM "session""#).await, 1);
}

#[tokio::test]
async fn an_admin_is_a_user_who_is_listed() {
    let (world, org_svc) = seeded().await;
    let session = signed_in(&org_svc, true).await;
    let refused = fault(authenticate(&org_svc, "nobody's token").await);
    assert_eq!(refused.reason, ErrorReason::Unauthenticated);
    let refused = fault(authenticate(&org_svc, &session.token).await);
    assert_eq!(refused.reason, ErrorReason::PermissionDenied);

    world.as_owner_run(ADMIN).await;
    let admin = authenticate(&org_svc, &session.token).await.unwrap();
    assert_eq!(admin.user.unwrap().email, "admin@example.com");
    // The assertion is what the services ask for; a minute later it is none any more.
    let link = |assertion: &str| {
        let mut request = Request::new(billing_proto::org::v1::LinkOrganizationRequest::default());
        request
            .metadata_mut()
            .insert(ADMIN_ASSERTION, assertion.parse().unwrap());
        let mut organizations = org_svc.organizations.clone();
        async move { fault(organizations.link_organization(request).await).reason }
    };
    assert_eq!(link(&admin.assertion).await, ErrorReason::InvalidArgument);
    world.pass(TimeDelta::seconds(70));
    assert_eq!(link(&admin.assertion).await, ErrorReason::Unauthenticated);

    world.pass(TimeDelta::days(8));
    let refused = fault(authenticate(&org_svc, &session.token).await);
    assert_eq!(refused.reason, ErrorReason::Unauthenticated);
}

/// The times of a database that Better Auth 1.2 made have no zone.
#[tokio::test]
async fn times_without_a_zone_are_utc() {
    let world = World::new().await;
    world.as_owner_run(SEED).await;
    world
        .as_owner_run(
            r#"SET timezone = 'UTC';
            ALTER TABLE "session" ALTER "expiresAt" TYPE timestamp, ALTER "createdAt" TYPE timestamp(3), ALTER "updatedAt" TYPE timestamp;
            ALTER TABLE "user" ALTER "createdAt" TYPE timestamp(3), ALTER "updatedAt" TYPE timestamp(3);
            ALTER TABLE "account" ALTER "createdAt" TYPE timestamp, ALTER "updatedAt" TYPE timestamp;
            DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''America/New_York''', current_database()); END $$"#,
        )
        .await;
    let org_svc = world.start_alone().await;
    let session = signed_in(&org_svc, true).await;
    assert_eq!(time(session.expire_time), world.now() + TimeDelta::days(7));
    let row = r#"SELECT to_char("expiresAt", 'YYYY-MM-DD HH24:MI') FROM "session""#;
    let expected = (world.now() + TimeDelta::days(7)).format("%Y-%m-%d %H:%M");
    assert_eq!(world.text(row).await.unwrap(), expected.to_string());
    world.pass(TimeDelta::days(2));
    let extended = get(&org_svc, &session.token, false).await;
    assert!(extended.refreshed);
    assert_eq!(
        time(extended.session.unwrap().expire_time),
        world.now() + TimeDelta::days(7)
    );
}

#[tokio::test]
async fn a_variant_that_is_not_supported_is_named_at_start() {
    for (change, told) in [
        (
            r#"ALTER TABLE "session" RENAME "expiresAt" TO valid_until"#,
            "Renamed tables",
        ),
        (
            r#"ALTER TABLE "session" DROP CONSTRAINT "session_userId_fkey"; ALTER TABLE "session" ALTER "userId" TYPE uuid USING gen_random_uuid()"#,
            "Give it that type",
        ),
        (
            r#"ALTER TABLE "session" ALTER "id" TYPE integer USING 1"#,
            "IDENTITY",
        ),
        (
            r#"ALTER TABLE "session" ADD tenant text NOT NULL"#,
            "tenant",
        ),
        (r#"DROP TABLE "account""#, "migrations up"),
    ] {
        let world = World::new().await;
        world.as_owner_run(change).await;
        let config = world.config(&crate::support::nowhere());
        let life = billing_kit::process::Lifecycle::new();
        let refused = org_svc::start(config, org_svc::Deps::system(), life).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
}
