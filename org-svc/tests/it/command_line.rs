//! `org-svc admin …`, as an operator runs it.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use billing_proto::{
    common::v1::{ApiKeyAccess, CreateApiKeyRequest},
    org::v1::{AuthenticateAdminRequest, SignInRequest},
};

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

async fn sign_in(org_svc: &OrgSvc, email: &str, password: &str) -> Result<String, ErrorReason> {
    let request = SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..SignInRequest::default()
    };
    match org_svc.sessions.clone().sign_in(request).await {
        Ok(response) => Ok(response.into_inner().session.unwrap().token),
        refused => Err(fault(refused).reason),
    }
}

async fn authenticate(org_svc: &OrgSvc, token: &str) -> Result<(), ErrorReason> {
    let request = AuthenticateAdminRequest {
        session_token: token.to_owned(),
    };
    match org_svc.sessions.clone().authenticate_admin(request).await {
        Ok(_) => Ok(()),
        refused => Err(fault(refused).reason),
    }
}

/// Signs in and asks to be vouched for.
async fn admit(org_svc: &OrgSvc, email: &str, password: &str) -> Result<(), ErrorReason> {
    let token = sign_in(org_svc, email, password).await?;
    authenticate(org_svc, &token).await
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

#[tokio::test]
async fn an_admin_gets_a_new_password_and_is_disabled() {
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    let email = "ops@vaultai.example";
    run(
        &world,
        &["admin", "create", email, "--password-stdin"],
        "first password",
    );
    let listed = said(&run(&world, &["admin", "list"], ""));
    assert!(listed.contains("never seen"), "{listed}");
    let session = sign_in(&org_svc, email, "first password").await.unwrap();
    assert_eq!(authenticate(&org_svc, &session).await, Ok(()));
    let seen = format!("last seen {}", world.now().format("%Y-%m-%d %H:%M UTC"));
    let listed = said(&run(&world, &["admin", "list"], ""));
    assert!(listed.contains(email) && listed.contains(&seen), "{listed}");

    let reset = ["admin", "reset-password", email, "--password-stdin"];
    let done = run(&world, &reset, "second password");
    assert!(done.status.success(), "{}", said(&done));
    let ended = authenticate(&org_svc, &session).await;
    assert_eq!(ended, Err(ErrorReason::Unauthenticated));
    assert_eq!(admit(&org_svc, email, "second password").await, Ok(()));
    let unknown = [
        "admin",
        "reset-password",
        "no@body.example",
        "--password-stdin",
    ];
    let refused = run(&world, &unknown, "second password");
    assert!(
        said(&refused).contains("no such user"),
        "{}",
        said(&refused)
    );

    let session = sign_in(&org_svc, email, "second password").await.unwrap();
    let disabled = run(&world, &["admin", "disable", "Ops@VaultAI.example"], "");
    assert!(disabled.status.success(), "{}", said(&disabled));
    let ended = authenticate(&org_svc, &session).await;
    assert_eq!(ended, Err(ErrorReason::Unauthenticated));
    // The account is Better Auth's and stays; it is no admin's.
    let refused = admit(&org_svc, email, "second password").await;
    assert_eq!(refused, Err(ErrorReason::PermissionDenied));
    let again = run(&world, &["admin", "disable", email], "");
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    let audited = "SELECT count(*) FROM audit_events WHERE action = 'admin.disabled'";
    assert_eq!(world.count(audited).await, 1);
}

/// A key must not outlive what it was made with: not a password that somebody else knew, and not a
/// time as an admin that has ended.
#[tokio::test]
async fn api_keys_end_with_a_new_password_and_with_every_end_as_an_admin() {
    const EMAIL: &str = "admin@vaultai.example";
    let world = World::new().await;
    let org_svc = world.start_alone().await;
    world
        .as_owner_run(
            r#"INSERT INTO "user" ("id", "name", "email", "emailVerified", "createdAt", "updatedAt")
               VALUES ('admin-1', 'Admin', 'admin@vaultai.example', true, now(), now())"#,
        )
        .await;
    let adopt: &[&str] = &["admin", "adopt", EMAIL];
    let stdin = "--password-stdin";
    let made_an_admin_by_hand =
        "INSERT INTO admins (user_id, created_at) VALUES ('admin-1', now())";
    for (end, then) in [
        (&["admin", "reset-password", EMAIL, stdin][..], None),
        (&["admin", "create", EMAIL, stdin], None),
        (&["admin", "disable", EMAIL], Some(adopt)),
        // The row of an admin is deleted by hand, and made again by the command.
        (&[], Some(adopt)),
        (&[], Some(&["admin", "create", EMAIL, stdin])),
    ] {
        world
            .as_owner_run(&format!("DELETE FROM admins; {made_an_admin_by_hand}"))
            .await;
        let request = world.as_admin(CreateApiKeyRequest {
            name: "nightly".to_owned(),
            access: ApiKeyAccess::Full.into(),
            lifetime_days: 1,
        });
        let made = org_svc.api_keys.clone().create_api_key(request).await;
        let secret = made.unwrap().into_inner().secret;
        assert_eq!(authenticate(&org_svc, &secret).await, Ok(()));
        if end.is_empty() {
            world.as_owner_run("DELETE FROM admins").await;
        } else {
            let output = run(&world, end, "a new password");
            assert!(output.status.success(), "{}", said(&output));
        }
        if let Some(then) = then {
            let output = run(&world, then, "a new password");
            assert!(output.status.success(), "{}", said(&output));
        }
        let ended = authenticate(&org_svc, &secret).await;
        assert_eq!(ended, Err(ErrorReason::Unauthenticated), "{end:?} {then:?}");
    }
    let kept = "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL";
    assert_eq!(world.count(kept).await, 0);
    let told = "SELECT count(*) FROM audit_events WHERE after ->> 'api_keys_revoked' = '1'";
    assert_eq!(world.count(told).await, 5);
}

/// Better Auth may delete a user; what is left is an id.
#[tokio::test]
async fn an_admin_whose_user_is_gone_is_disabled_by_id() {
    let world = World::new().await;
    world
        .as_owner_run("INSERT INTO admins (user_id, created_at) VALUES ('u9', now())")
        .await;
    let listed = said(&run(&world, &["admin", "list"], ""));
    assert!(listed.contains("the user was deleted"), "{listed}");
    let disabled = run(&world, &["admin", "disable", "u9"], "");
    assert!(disabled.status.success(), "{}", said(&disabled));
    assert_eq!(world.count("SELECT count(*) FROM admins").await, 0);
}

/// `script` is the terminal; it is part of Debian's base system, and of every other's.
#[tokio::test]
async fn at_a_terminal_the_password_is_asked_for_twice_and_not_shown() {
    let world = World::new().await;
    let at_a_terminal = |typed: &str| {
        let command = format!(
            "{} admin create ops@vaultai.example",
            env!("CARGO_BIN_EXE_org-svc")
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("DATABASE_URL", world.database_url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(typed.as_bytes()).unwrap();
        // Left open: its end would end the terminal.
        let output = child.wait_with_output().unwrap();
        drop(input);
        output
    };
    let two = at_a_terminal("a password\nanother password\n");
    assert_eq!(two.status.code(), Some(64), "{}", said(&two));
    assert!(said(&two).contains("two passwords"), "{}", said(&two));
    let made = at_a_terminal("a good password\na good password\n");
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("created the admin"), "{}", said(&made));
    let org_svc = world.start_alone().await;
    let admitted = admit(&org_svc, "ops@vaultai.example", "a good password").await;
    assert_eq!(admitted, Ok(()));
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
            &["admin", "create", "=1+1@example.com", "--password-stdin"],
            "a password",
            "sign-in",
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

/// sqlx#1624, certificates#1522: a generated password broke the address, and was printed.
#[test]
fn fm26_no_part_of_a_password_is_shown() {
    for (url, part) in [
        (
            "postgresql://org_svc:Tr0ub4dor#3@127.0.0.1:5432/billing",
            "%23",
        ),
        (
            "postgresql://org_svc:42?Tr0ub4dor@127.0.0.1:5432/billing",
            "%3F",
        ),
        (
            "postgresql://u:Tr0ub4dor@127.0.0.1/billing?channel_binding=require",
            "channel_binding",
        ),
    ] {
        for arguments in [vec!["serve"], vec!["admin", "list"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_org-svc"))
                .args(arguments)
                .env_clear()
                .env("DATABASE_URL", url)
                .output()
                .unwrap();
            let told = said(&output);
            assert_eq!(output.status.code(), Some(64), "{told}");
            assert!(
                told.contains("DATABASE_URL") && told.contains(part),
                "{told}"
            );
            assert!(!told.contains("Tr0") && !told.contains("4dor"), "{told}");
        }
    }
}
