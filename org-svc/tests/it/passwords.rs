//! Whom a right password does not let in, how often a wrong one may be tried, and how one is changed.

use std::time::Duration;

use billing_proto::org::v1::{
    AuthenticateAdminRequest, ChangePasswordRequest, ChangePasswordResponse, PasswordRefusal,
    Session, SignInRequest,
};
use chrono::TimeDelta;
use futures::future::join_all;
use org_svc::AttemptLimit;
use tonic::Status;

use crate::support::{ErrorReason, OrgSvc, World, fault, nowhere};

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";
const ADDRESS: &str = "203.0.113.7";

async fn world() -> World {
    let world = World::new().await;
    let database = billing_kit_db::DatabaseConfig::new(world.database_url(), 1);
    org_svc::cli::create_admin(&database, EMAIL, PASSWORD.into())
        .await
        .unwrap();
    world
}

async fn sign_in(org_svc: &OrgSvc, password: &str, address: &str) -> Result<Session, Status> {
    let request = SignInRequest {
        email: EMAIL.to_owned(),
        password: password.to_owned(),
        remember: true,
        ip_address: address.to_owned(),
        user_agent: "probe/1.0".to_owned(),
        ..SignInRequest::default()
    };
    let answer = org_svc.sessions.clone().sign_in(request).await?;
    Ok(answer.into_inner().session.unwrap())
}

async fn change(
    org_svc: &OrgSvc,
    token: &str,
    (current, new): (&str, &str),
    revoke_other_sessions: bool,
) -> Result<ChangePasswordResponse, Status> {
    let request = ChangePasswordRequest {
        session_token: token.to_owned(),
        current_password: current.to_owned(),
        new_password: new.to_owned(),
        revoke_other_sessions,
        ip_address: ADDRESS.to_owned(),
        user_agent: "probe/2.0".to_owned(),
        ..ChangePasswordRequest::default()
    };
    let answer = org_svc.sessions.clone().change_password(request).await?;
    Ok(answer.into_inner())
}

async fn is_admitted(org_svc: &OrgSvc, token: &str) -> Result<(), ErrorReason> {
    let request = AuthenticateAdminRequest {
        session_token: token.to_owned(),
    };
    match org_svc.sessions.clone().authenticate_admin(request).await {
        Ok(_) => Ok(()),
        refused => Err(fault(refused).reason),
    }
}

/// The columns that the plugins `admin` and `twoFactor` add, in the names of both kinds of schema.
#[tokio::test]
async fn who_is_banned_or_has_a_second_factor_does_not_get_in_by_password() {
    let world = world().await;
    world
        .as_owner_run(
            r#"ALTER TABLE "user" ADD "banned" boolean, ADD "banReason" text, ADD "banExpires" timestamptz,
               ADD "twoFactorEnabled" boolean DEFAULT false"#,
        )
        .await;
    let org_svc = world.start_alone().await;
    let before = sign_in(&org_svc, PASSWORD, ADDRESS).await.unwrap();
    assert_eq!(is_admitted(&org_svc, &before.token).await, Ok(()));

    let user = |change: &str| format!(r#"UPDATE "user" SET {change}"#);
    let at = |span: TimeDelta| (world.now() + span).to_rfc3339();
    let hour = TimeDelta::hours(1);
    for (change, refused) in [
        (user(r#""banned" = true"#), Some(ErrorReason::UserBanned)),
        (
            user(&format!(r#""banExpires" = '{}'"#, at(hour))),
            Some(ErrorReason::UserBanned),
        ),
        (user(&format!(r#""banExpires" = '{}'"#, at(-hour))), None),
        (
            user(r#""banned" = false, "twoFactorEnabled" = true"#),
            Some(ErrorReason::SecondFactorNeeded),
        ),
        (user(r#""twoFactorEnabled" = NULL"#), None),
    ] {
        world.as_owner_run(&change).await;
        // Who does not know the password learns nothing of it.
        let wrong = fault(sign_in(&org_svc, "wrong", ADDRESS).await);
        assert_eq!(wrong.reason, ErrorReason::Unauthenticated, "{change}");
        match refused {
            None => assert!(
                sign_in(&org_svc, PASSWORD, ADDRESS).await.is_ok(),
                "{change}"
            ),
            Some(reason) => {
                let answer = fault(sign_in(&org_svc, PASSWORD, ADDRESS).await);
                assert_eq!(answer.reason, reason, "{change}");
            }
        }
        // A session that Better Auth gave after the second factor is good; a banned user's is not.
        let banned = refused.filter(|reason| *reason == ErrorReason::UserBanned);
        let admitted = is_admitted(&org_svc, &before.token).await;
        assert_eq!(admitted.err(), banned, "{change}");
    }
}

#[tokio::test]
async fn all_replicas_count_the_attempts_of_an_address_together() {
    let world = world().await;
    let mut config = world.config(&nowhere());
    config.attempt_limit = AttemptLimit::default();
    let replicas = [
        world.start_with(config.clone()).await,
        world.start_with(config).await,
    ];
    let attempts = (0..8).map(|n| sign_in(&replicas[n % 2], "wrong", ADDRESS));
    let answers = join_all(attempts).await;
    let count = |reason| {
        let reasons = answers.iter().map(|a| fault(a.clone()).reason);
        reasons.filter(|found| *found == reason).count()
    };
    assert_eq!(count(ErrorReason::Unauthenticated), 3);
    assert_eq!(count(ErrorReason::RateLimited), 5);

    world.pass(TimeDelta::milliseconds(9_500));
    let refused = fault(sign_in(&replicas[0], PASSWORD, ADDRESS).await);
    assert_eq!(refused.reason, ErrorReason::RateLimited);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
    let elsewhere = sign_in(&replicas[0], PASSWORD, "198.51.100.1").await;
    // A change of password is counted by itself.
    let session = elsewhere.unwrap();
    let changed = change(
        &replicas[1],
        &session.token,
        ("wrong", "new password"),
        false,
    )
    .await;
    assert_eq!(changed.unwrap().refusal(), PasswordRefusal::CurrentWrong);

    world.pass(TimeDelta::milliseconds(500));
    sign_in(&replicas[1], PASSWORD, ADDRESS).await.unwrap();
    let counted =
        r#"SELECT string_agg("key" || '=' || "count", ' ' ORDER BY "key") FROM "rateLimit""#;
    assert_eq!(
        world.text(counted).await.unwrap(),
        "198.51.100.1|/sign-in/email=1 203.0.113.7|/change-password=1 203.0.113.7|/sign-in/email=1"
    );
    // What nobody tried for a day is forgotten.
    world.pass(TimeDelta::days(1) + TimeDelta::seconds(1));
    sign_in(&replicas[1], PASSWORD, "192.0.2.1").await.unwrap();
    assert_eq!(world.count(r#"SELECT count(*) FROM "rateLimit""#).await, 1);
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_the_old_one() {
    let world = world().await;
    let org_svc = world.start_alone().await;
    let session = sign_in(&org_svc, PASSWORD, ADDRESS).await.unwrap();
    let other = sign_in(&org_svc, PASSWORD, ADDRESS).await.unwrap();
    let long = "x".repeat(129);
    for (passwords, refusal) in [
        ((PASSWORD, "1234567"), PasswordRefusal::TooShort),
        ((PASSWORD, &*long), PasswordRefusal::TooLong),
        ((&*long, "new password"), PasswordRefusal::TooLong),
        (("wrong", "new password"), PasswordRefusal::CurrentWrong),
    ] {
        let answer = change(&org_svc, &session.token, passwords, true)
            .await
            .unwrap();
        assert_eq!(answer.refusal(), refusal);
        assert!(answer.session.is_none() && answer.user.is_none());
    }
    let stranger = change(&org_svc, "nobody's token", (PASSWORD, "new password"), true).await;
    assert_eq!(fault(stranger).reason, ErrorReason::Unauthenticated);

    let changed = change(&org_svc, &session.token, (PASSWORD, "new password"), false).await;
    let changed = changed.unwrap();
    assert_eq!(changed.user.unwrap().email, EMAIL);
    assert!(changed.session.is_none());
    for token in [&session.token, &other.token] {
        assert_eq!(is_admitted(&org_svc, token).await, Ok(()));
    }
    let old = fault(sign_in(&org_svc, PASSWORD, ADDRESS).await);
    assert_eq!(old.reason, ErrorReason::Unauthenticated);

    let passwords = ("new password", "newer password");
    let changed = change(&org_svc, &session.token, passwords, true)
        .await
        .unwrap();
    let next = changed.session.unwrap();
    assert_eq!(next.user_agent.as_deref(), Some("probe/2.0"));
    assert_eq!(is_admitted(&org_svc, &next.token).await, Ok(()));
    for token in [&session.token, &other.token] {
        let gone = is_admitted(&org_svc, token).await;
        assert_eq!(gone, Err(ErrorReason::Unauthenticated));
    }
    sign_in(&org_svc, "newer password", ADDRESS).await.unwrap();
    let audited = "SELECT count(*) FROM audit_events WHERE action = 'admin.password_set' AND after ->> 'by' = 'the user'";
    assert_eq!(world.count(audited).await, 2);
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_made() {
    let world = world().await;
    let org_svc = world.start_alone().await;
    let session = sign_in(&org_svc, PASSWORD, ADDRESS).await.unwrap();
    let passwords = [(PASSWORD, "password one"), (PASSWORD, "password two")];
    let changes = passwords.map(|to| change(&org_svc, &session.token, to, false));
    let answers = join_all(changes).await;
    let mut refusals: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().refusal())
        .collect();
    refusals.sort_unstable();
    assert_eq!(
        refusals,
        [PasswordRefusal::Unspecified, PasswordRefusal::CurrentWrong]
    );
}

#[tokio::test]
async fn who_signs_in_without_a_password_has_none_to_change() {
    let world = world().await;
    let org_svc = world.start_alone().await;
    let session = sign_in(&org_svc, PASSWORD, ADDRESS).await.unwrap();
    world
        .as_owner_run(r#"UPDATE "account" SET "password" = NULL"#)
        .await;
    let answer = change(&org_svc, &session.token, (PASSWORD, "new password"), false).await;
    assert_eq!(answer.unwrap().refusal(), PasswordRefusal::NoneSet);
}
