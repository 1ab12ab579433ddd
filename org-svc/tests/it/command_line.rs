//! `org-svc admin …`, as an operator runs it.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use billing_proto::org::v1::{AuthenticateAdminRequest, SignInRequest};

use crate::support::{ErrorReason, OrgSvc, World, fault};

fn run(world: &World, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_org-svc"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", world.database_url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let written = child.stdin.take().unwrap().write_all(input.as_bytes());
    // A command that is refused ends without reading.
    let unread = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    assert!(written.as_ref().err().is_none_or(unread), "{written:?}");
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Signs in and asks to be vouched for.
async fn admit(org_svc: &OrgSvc, email: &str, password: &str) -> Result<(), ErrorReason> {
    let request = SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..SignInRequest::default()
    };
    let mut sessions = org_svc.sessions.clone();
    let session = match sessions.sign_in(request).await {
        Ok(response) => response.into_inner().session.unwrap(),
        refused => return Err(fault(refused).reason),
    };
    let request = AuthenticateAdminRequest {
        session_token: session.token,
    };
    match sessions.authenticate_admin(request).await {
        Ok(_) => Ok(()),
        refused => Err(fault(refused).reason),
    }
}

#[tokio::test]
async fn an_admin_is_created_and_gets_a_new_password() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let create = ["admin", "create", "Ops@VaultAI.example", "--password-stdin"];
    let made = run(&world, &create, "first password\n");
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(
        admit(&org_svc, "ops@vaultai.example", "first password").await,
        Ok(())
    );
    let row = r#"SELECT concat_ws('|', u."name", u."emailVerified", a."accountId" = u."id", a."providerId", a."password" ~ '^[0-9a-f]{32}:[0-9a-f]{128}$') FROM "user" u JOIN account a ON a."userId" = u."id""#;
    assert_eq!(world.text(row).await.unwrap(), "Ops|f|t|credential|t");

    let changed = run(&world, &create, "second password");
    assert!(
        said(&changed).contains("new password"),
        "{}",
        said(&changed)
    );
    let refused = admit(&org_svc, "ops@vaultai.example", "first password").await;
    assert_eq!(refused, Err(ErrorReason::Unauthenticated));
    assert_eq!(
        admit(&org_svc, "ops@vaultai.example", "second password").await,
        Ok(())
    );
    assert_eq!(world.count(r#"SELECT count(*) FROM account"#).await, 1);
    assert_eq!(
        world
            .count("SELECT count(*) FROM audit_events WHERE action LIKE 'admin.%'")
            .await,
        2
    );

    let listed = said(&run(&world, &["admin", "list"], ""));
    assert!(listed.contains("ops@vaultai.example"), "{listed}");
}

#[tokio::test]
async fn existing_users_are_adopted_one_or_all() {
    let world = World::new().await;
    world
        .as_owner_run(r#"INSERT INTO "user" ("id", "name", "email", "emailVerified") VALUES ('u1', 'One', 'one@example.com', true), ('u2', 'Two', 'two@example.com', true)"#)
        .await;
    let one = run(&world, &["admin", "adopt", "One@Example.com"], "");
    assert!(one.status.success(), "{}", said(&one));
    assert_eq!(
        world
            .text("SELECT string_agg(user_id, ',') FROM admins")
            .await
            .unwrap(),
        "u1"
    );
    let all = said(&run(&world, &["admin", "adopt", "--all"], ""));
    assert!(
        all.contains("one@example.com already was") && all.contains("two@example.com is now"),
        "{all}"
    );
    assert_eq!(world.count("SELECT count(*) FROM admins").await, 2);

    let unknown = run(&world, &["admin", "adopt", "three@example.com"], "");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("no such user"));
}

/// Versions 1.7.0 to 1.7.2 of Better Auth want an issuer.
#[tokio::test]
async fn an_account_with_a_required_issuer_is_written() {
    let world = World::new().await;
    world
        .as_owner_run(r#"ALTER TABLE account ADD issuer text NOT NULL"#)
        .await;
    let made = run(
        &world,
        &["admin", "create", "a@example.com", "--password-stdin"],
        "a password",
    );
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(
        world.text("SELECT issuer FROM account").await.unwrap(),
        "local:credential"
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_and_nothing_stored() {
    let world = World::new().await;
    for (arguments, input, told) in [
        (
            &["admin", "create", "a@example.com", "--password-stdin"][..],
            "short",
            "shorter than 8",
        ),
        (
            &["admin", "create", "nope", "--password-stdin"],
            "a password",
            "e-mail",
        ),
        (
            &["admin", "create", "a@example.com"],
            "a password",
            "--password-stdin",
        ),
        (&["admin", "adopt"], "", "--all"),
        (&["admin", "nonsense"], "", "nonsense"),
    ] {
        let output = run(&world, arguments, input);
        assert_eq!(output.status.code(), Some(64), "{}", said(&output));
        assert!(said(&output).contains(told), "{}", said(&output));
    }
    assert_eq!(world.count(r#"SELECT count(*) FROM "user""#).await, 0);
}

#[test]
fn a_service_without_its_variables_says_which_and_how() {
    let output = Command::new(env!("CARGO_BIN_EXE_org-svc"))
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let told = said(&output);
    for variable in [
        "DATABASE_URL",
        "STRIPE_SVC_URL",
        "ADMIN_ASSERTION_PRIVATE_KEY",
    ] {
        assert!(told.contains(variable), "{told}");
    }
}
