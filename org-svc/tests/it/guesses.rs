//! Goal: a stranger who guesses at a password is stopped wherever they come from, locks nobody out of
//! a browser that signed in before, learns nothing, and is seen.
//! Method: org-svc on a real PostgreSQL, a clock that the test moves, and addresses as the gateway
//! names them.

use billing_kit::context::CLIENT_ADDRESS;
use billing_proto::{
    common::v1::{AuditEvent, ListAuditEventsRequest},
    org::v1::{ChangePasswordRequest, PasswordRefusal, SignInRequest, SignInResponse},
};
use chrono::TimeDelta;
use org_svc::{AttemptLimit, ChannelConfig, Config};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tonic::{Request, Status};

use crate::support::{ErrorReason, OrgSvc, World, fault, nowhere};

const EMAIL: &str = "admin@example.com";
const NOBODY: &str = "nobody@example.com";
const PASSWORD: &str = "correct horse battery staple";
const WINDOW: TimeDelta = TimeDelta::minutes(15);

async fn world() -> World {
    let world = World::new().await;
    let database = billing_kit_db::DatabaseConfig::new(world.database_url(), 1);
    org_svc::cli::create_admin(&database, EMAIL, PASSWORD.into())
        .await
        .unwrap();
    world
}

/// Addresses are not counted here, so that it is the account that stops what is stopped.
fn limited(world: &World, attempts: &str) -> Config {
    let mut config = world.config(&nowhere());
    config.account_limit = attempts.parse().unwrap();
    config
}

fn from<T>(address: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = address.parse().unwrap();
    request.metadata_mut().insert(CLIENT_ADDRESS, value);
    request
}

/// A sign-in from an address, by a browser that shows these tokens.
async fn sign_in(
    org_svc: &OrgSvc,
    (email, password): (&str, &str),
    address: &str,
    devices: &[&str],
) -> Result<SignInResponse, Status> {
    let request = SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        remember: true,
        ip_address: address.to_owned(),
        device_tokens: devices.iter().map(|token| (*token).to_owned()).collect(),
        ..SignInRequest::default()
    };
    let mut sessions = org_svc.sessions.clone();
    Ok(sessions.sign_in(from(address, request)).await?.into_inner())
}

fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> ErrorReason {
    fault(answer).reason
}

/// The trail's events of an action, the latest first.
async fn trail(world: &World, org_svc: &OrgSvc, action: &str) -> Vec<AuditEvent> {
    let request = world.as_admin(ListAuditEventsRequest {
        action: action.to_owned(),
        ..ListAuditEventsRequest::default()
    });
    let listed = org_svc.audit.clone().list_audit_events(request).await;
    listed.unwrap().into_inner().events
}

fn after(event: &AuditEvent) -> Value {
    serde_json::from_str(&event.after_json).unwrap()
}

#[tokio::test]
async fn guesses_at_one_account_are_stopped_and_its_owner_gets_in() {
    let world = world().await;
    let replicas = [
        world.start_with(limited(&world, "10/900")).await,
        world.start_with(limited(&world, "10/900")).await,
    ];
    let good = (EMAIL, PASSWORD);
    let begun = sign_in(&replicas[0], good, "192.0.2.1", &[]).await.unwrap();
    let known = begun.device_token;

    // An account that exists and one that does not are answered alike.
    let mut messages = BTreeSet::new();
    for email in [EMAIL, NOBODY] {
        let mut wrong = 0;
        for guess in 0..120 {
            let address = format!("198.51.{}.7", guess % 40);
            let replica = &replicas[guess % 2];
            let refused = fault(sign_in(replica, (email, "a guess"), &address, &[]).await);
            if refused.reason == ErrorReason::Unauthenticated {
                wrong += 1;
            } else {
                assert_eq!(refused.reason, ErrorReason::RateLimited);
            }
            messages.insert((refused.message.to_string(), refused.retry_after));
        }
        assert_eq!(wrong, 10, "{email}");
    }
    let wait = Some(Duration::from_secs(900));
    assert_eq!(
        messages,
        BTreeSet::from([
            (
                "The e-mail address or the password is wrong.".to_owned(),
                None
            ),
            ("Too many attempts. Try again later.".to_owned(), wait),
        ])
    );

    // The owner: from the known browser at once, and from a new one after the window.
    for _ in 0..3 {
        let again = sign_in(&replicas[1], good, "192.0.2.1", &[&known]).await;
        assert!(again.is_ok());
    }
    let new = sign_in(&replicas[0], good, "192.0.2.9", &[]).await;
    assert_eq!(reason(new), ErrorReason::RateLimited);
    world.pass(WINDOW);
    let new = sign_in(&replicas[0], good, "192.0.2.9", &[]).await;
    assert!(new.is_ok());
}

/// Signing in does not use up what may be tried, however often a script does it.
#[tokio::test]
async fn the_right_password_costs_nothing() {
    let world = world().await;
    let org_svc = world.start_with(limited(&world, "2/900")).await;
    let one_wrong = sign_in(&org_svc, (EMAIL, "wrong"), "192.0.2.1", &[]).await;
    assert_eq!(reason(one_wrong), ErrorReason::Unauthenticated);
    for minute in 0..3 {
        let answer = sign_in(&org_svc, (EMAIL, PASSWORD), "192.0.2.1", &[]).await;
        assert!(answer.is_ok(), "{minute}");
        world.pass(TimeDelta::minutes(6));
    }
    // What was wrong is forgotten a window after it, whatever succeeded in between.
    for _ in 0..2 {
        let wrong = sign_in(&org_svc, (EMAIL, "wrong"), "192.0.2.1", &[]).await;
        assert_eq!(reason(wrong), ErrorReason::Unauthenticated);
    }
    let third = sign_in(&org_svc, (EMAIL, PASSWORD), "192.0.2.1", &[]).await;
    assert_eq!(reason(third), ErrorReason::RateLimited);
}

#[tokio::test]
async fn a_known_browser_has_its_own_attempts_until_the_password_changes() {
    let world = world().await;
    let org_svc = world.start_with(limited(&world, "2/900")).await;
    let (good, wrong) = ((EMAIL, PASSWORD), (EMAIL, "wrong"));
    let mut known = Vec::new();
    for _ in 0..2 {
        let begun = sign_in(&org_svc, good, "192.0.2.1", &[]).await.unwrap();
        known.push(begun.device_token);
    }
    // One that is used up is not the other's, and not a stranger's.
    for expected in [
        ErrorReason::Unauthenticated,
        ErrorReason::Unauthenticated,
        ErrorReason::RateLimited,
    ] {
        let answer = sign_in(&org_svc, wrong, "192.0.2.1", &["nonsense", &known[0]]).await;
        assert_eq!(reason(answer), expected);
    }
    let other = sign_in(&org_svc, good, "192.0.2.1", &[&known[1]])
        .await
        .unwrap();
    let browser = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_eq!(browser(&other.device_token), browser(&known[1]));

    // It proves nothing for another account, and nothing to a new password.
    let database = billing_kit_db::DatabaseConfig::new(world.database_url(), 1);
    let others = "other@example.com";
    org_svc::cli::create_admin(&database, others, PASSWORD.into())
        .await
        .unwrap();
    for (email, reset) in [(others, false), (EMAIL, true)] {
        if reset {
            org_svc::cli::reset_password(&database, EMAIL, "a new password".into())
                .await
                .unwrap();
        }
        for _ in 0..2 {
            let answer = sign_in(&org_svc, (email, "wrong"), "192.0.2.1", &[]).await;
            assert_eq!(reason(answer), ErrorReason::Unauthenticated);
        }
        let shown = [&*known[1], &*other.device_token];
        let answer = sign_in(&org_svc, (email, "wrong"), "192.0.2.1", &shown).await;
        assert_eq!(reason(answer), ErrorReason::RateLimited, "{email}");
    }
    // The operator's reset lets the owner in at once.
    org_svc::cli::reset_password(&database, EMAIL, "a newer password".into())
        .await
        .unwrap();
    let answer = sign_in(&org_svc, (EMAIL, "a newer password"), "192.0.2.1", &[]).await;
    assert!(answer.is_ok());
}

#[tokio::test]
async fn a_password_is_not_guessed_by_changing_it_and_a_stranger_keeps_nobody_from_it() {
    let world = world().await;
    let org_svc = world.start_with(limited(&world, "2/900")).await;
    let good = (EMAIL, PASSWORD);
    let one = sign_in(&org_svc, good, "192.0.2.1", &[]).await.unwrap();
    let other = sign_in(&org_svc, good, "192.0.2.1", &[]).await.unwrap();
    for _ in 0..3 {
        let guess = sign_in(&org_svc, (EMAIL, "a guess"), "198.51.100.1", &[]).await;
        assert!(guess.is_err());
    }
    let change = async |begun: &SignInResponse, current: &str| {
        let request = ChangePasswordRequest {
            session_token: begun.session.clone().unwrap().token,
            current_password: current.to_owned(),
            new_password: "a new password".to_owned(),
            ip_address: "192.0.2.1".to_owned(),
            ..ChangePasswordRequest::default()
        };
        let request = from("192.0.2.1", request);
        org_svc.sessions.clone().change_password(request).await
    };
    for _ in 0..2 {
        let wrong = change(&one, "wrong").await.unwrap().into_inner();
        assert_eq!(wrong.refusal(), PasswordRefusal::CurrentWrong);
    }
    assert_eq!(
        reason(change(&one, PASSWORD).await),
        ErrorReason::RateLimited
    );
    let changed = change(&other, PASSWORD).await.unwrap().into_inner();
    assert_eq!(changed.refusal(), PasswordRefusal::Unspecified);
    // The browser goes on being known, under the new password.
    let good = (EMAIL, "a new password");
    let known = [&*changed.device_token];
    assert!(sign_in(&org_svc, good, "192.0.2.1", &known).await.is_ok());
    assert_eq!(
        reason(sign_in(&org_svc, good, "192.0.2.1", &[]).await),
        ErrorReason::RateLimited
    );
    let failed = trail(&world, &org_svc, "password_change.failed").await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].admin_email, EMAIL);
    assert_eq!(after(&failed[0])["wrong"], json!(2));
    assert_eq!(after(&failed[0])["too_often"], json!(1));
}

#[tokio::test]
async fn what_succeeded_and_what_failed_is_in_the_trail() {
    let world = world().await;
    let org_svc = world.start_with(limited(&world, "3/86400")).await;
    let good = (EMAIL, PASSWORD);
    let first = sign_in(&org_svc, good, "192.0.2.1", &[]).await.unwrap();
    world.pass(TimeDelta::minutes(1));
    let known = [&*first.device_token];
    sign_in(&org_svc, good, "2001:db8::1", &known)
        .await
        .unwrap();
    let succeeded = trail(&world, &org_svc, "sign_in.succeeded").await;
    let told: Vec<_> = succeeded
        .iter()
        .map(|event| {
            let browser = after(event)["browser"].as_str().unwrap().to_owned();
            (&*event.admin_email, &*event.client_address, browser)
        })
        .collect();
    assert_eq!(
        told,
        [
            (EMAIL, "2001:db8::1", "known".to_owned()),
            (EMAIL, "192.0.2.1", "new".to_owned()),
        ]
    );

    world.pass(TimeDelta::minutes(1));
    for guess in 0..5 {
        let address = format!("198.51.100.{guess}");
        let refused = sign_in(&org_svc, (EMAIL, "a guess"), &address, &[]).await;
        assert!(refused.is_err());
        let refused = sign_in(&org_svc, ("my p4ssword", "x"), &address, &[]).await;
        assert!(refused.is_err());
    }
    let failed = trail(&world, &org_svc, "sign_in.failed").await;
    let last = json!({"wrong": 3, "too_often": 2, "network": "198.51.100.0/24",
        "last_at": "2027-01-15T08:02:00Z"});
    for event in &failed {
        assert_eq!(after(event), last);
        assert_eq!(event.client_address, "198.51.100.4");
    }
    let mut whose: Vec<_> = failed.iter().map(|event| &*event.admin_email).collect();
    whose.sort_unstable();
    assert_eq!(whose, ["", EMAIL]);
    // What somebody typed for an address is kept nowhere.
    let kept = "SELECT string_agg(t, '') FROM (SELECT to_jsonb(f)::text AS t FROM sign_in_failures f UNION ALL SELECT to_jsonb(b)::text FROM sign_in_budgets b UNION ALL SELECT to_jsonb(a)::text FROM audit_events a) AS all_rows";
    assert!(!world.text(kept).await.unwrap().contains("p4ssword"));

    let expected = [
        "sign_in.failed",
        "sign_in.failed",
        "sign_in.succeeded",
        "sign_in.succeeded",
        "admin.created",
    ];
    let mut paged = pages_of_two(&world, &org_svc).await;
    // The admin was made by the machine's clock, and not by the test's.
    paged.sort_by_key(|action| expected.iter().position(|known| known == action));
    assert_eq!(paged, expected);
}

/// The actions of the whole trail, page by page: a page holds both kinds of rows.
async fn pages_of_two(world: &World, org_svc: &OrgSvc) -> Vec<String> {
    let mut actions = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = world.as_admin(ListAuditEventsRequest {
            page_size: 2,
            page_token,
            ..ListAuditEventsRequest::default()
        });
        let listed = org_svc.audit.clone().list_audit_events(request).await;
        let listed = listed.unwrap().into_inner();
        actions.extend(listed.events.into_iter().map(|event| event.action));
        page_token = listed.next_page_token;
        if page_token.is_empty() {
            return actions;
        }
    }
}

/// From everywhere at once: a row for each network, up to a limit.
#[tokio::test]
async fn guesses_cannot_fill_the_trail() {
    let world = world().await;
    let org_svc = world.start_with(limited(&world, "1/86400")).await;
    for guess in 0..260_u32 {
        let address = format!("10.{}.{}.1", guess / 200, guess % 200);
        let refused = sign_in(&org_svc, (EMAIL, "a guess"), &address, &[]).await;
        let expected = if guess == 0 {
            ErrorReason::Unauthenticated
        } else {
            ErrorReason::RateLimited
        };
        assert_eq!(reason(refused), expected);
    }
    let rows = world.count("SELECT count(*) FROM sign_in_failures").await;
    assert_eq!(rows, 201);
    let counted = "SELECT sum(wrong_count + refused_count)::bigint FROM sign_in_failures";
    assert_eq!(world.count(counted).await, 260);
    world.pass(TimeDelta::days(91));
    let wrong = sign_in(&org_svc, (EMAIL, "a guess"), "192.0.2.1", &[]).await;
    assert_eq!(reason(wrong), ErrorReason::Unauthenticated);
    let left = world.count("SELECT count(*) FROM sign_in_failures").await;
    assert!(left < 201, "{left}");
}

#[tokio::test]
async fn a_burst_is_told_once() {
    let world = world().await;
    let mut config = limited(&world, "2/900");
    config.notices = Some(ChannelConfig {
        url: "https://channel.invalid/".parse().unwrap(),
        secret: "a secret of the operator's".into(),
        private_addresses: false,
    });
    let org_svc = world.start_with(config).await;
    let told = "SELECT count(*) FROM notices WHERE kind = 'sign_in.burst'";
    for (pause, count) in [
        (TimeDelta::zero(), 1),
        (TimeDelta::minutes(16), 1),
        (TimeDelta::minutes(16), 1),
        (TimeDelta::minutes(61), 2),
    ] {
        world.pass(pause);
        for _ in 0..4 {
            let guess = sign_in(&org_svc, (EMAIL, "a guess"), "198.51.100.7", &[]).await;
            assert!(guess.is_err());
        }
        assert_eq!(world.count(told).await, count);
    }
    let data = "SELECT string_agg(data ->> 'email' || ' ' || (data ->> 'client_address'), ',') FROM notices";
    let one = format!("{EMAIL} 198.51.100.7");
    assert_eq!(world.text(data).await.unwrap(), format!("{one},{one}"));
    // Of addresses that no account has one an hour.
    for email in ["a@example.com", "b@example.com"] {
        for _ in 0..3 {
            let guess = sign_in(&org_svc, (email, "a guess"), "198.51.100.7", &[]).await;
            assert!(guess.is_err());
        }
    }
    assert_eq!(world.count(told).await, 3);
}

/// Everybody behind a proxy that nobody named has one address.
#[tokio::test]
async fn an_address_of_many_clients_is_not_counted() {
    let world = world().await;
    let mut config = limited(&world, "off");
    config.attempt_limit = AttemptLimit::default();
    let org_svc = world.start_with(config).await;
    for is_shared in [true, false] {
        let attempt = async |password: &str| {
            let request = SignInRequest {
                email: EMAIL.to_owned(),
                password: password.to_owned(),
                ip_address: "10.0.0.7".to_owned(),
                shared_address: is_shared,
                ..SignInRequest::default()
            };
            org_svc.sessions.clone().sign_in(request).await
        };
        for _ in 0..3 {
            assert_eq!(reason(attempt("wrong").await), ErrorReason::Unauthenticated);
        }
        assert_eq!(attempt(PASSWORD).await.is_ok(), is_shared);
    }
}
