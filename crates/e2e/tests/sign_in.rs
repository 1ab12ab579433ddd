//! Goal: what an admin has ended stays ended at every door, and nobody is signed out or locked out by
//! somebody else.
//! Method: a whole system; cookies, bearer tokens and API keys as browsers and scripts send them, from
//! addresses as a proxy forwards them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use billing_e2e::actors::{Admin, http};
use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD, Service, System};
use billing_kit::client;
use billing_kit_db::DatabaseConfig;
use billing_proto::admin::v1::{
    ListOrganizationsRequest, admin_service_client::AdminServiceClient,
};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use tonic::{Code, Request};

const SIGN_IN: &str = "/api/auth/sign-in/email";
const SIGN_OUT: &str = "/api/auth/sign-out";
const GET_SESSION: &str = "/api/auth/get-session";
const DEVICE: &str = "billing.device=";
const FORWARDED_FOR: &str = "x-forwarded-for";
const SESSION: &str = "better-auth.session_token";
const DEADLINE: Duration = Duration::from_secs(10);

fn request(system: &System, method: Method, path: &str) -> RequestBuilder {
    http().request(method, format!("{}{path}", system.base_url()))
}

/// An attempt to sign in, with these headers.
async fn try_sign_in(
    system: &System,
    (email, password): (&str, &str),
    headers: &[(&str, &str)],
) -> reqwest::Response {
    let body = json!({ "email": email, "password": password });
    let mut asked = request(system, Method::POST, SIGN_IN).json(&body);
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    asked.send().await.unwrap()
}

/// The cookies that an answer sets, as a browser sends them back.
fn cookies_of(answer: &reqwest::Response) -> Vec<String> {
    let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
    let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
    cookies.map(str::to_owned).collect()
}

/// A new session: its token, and its cookie as a browser sends it back.
async fn sign_in(system: &System) -> (String, String) {
    let answer = try_sign_in(system, (ADMIN_EMAIL, ADMIN_PASSWORD), &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut cookies = cookies_of(&answer).into_iter();
    let cookie = cookies.find(|cookie| cookie.starts_with(SESSION)).unwrap();
    let json: Value = answer.json().await.unwrap();
    let token = json.pointer("/token").and_then(Value::as_str).unwrap();
    (token.to_owned(), cookie)
}

/// What each door answers to a bearer token: REST, a file, a page and gRPC.
async fn doors(system: &System, token: &str) -> (Vec<u16>, Code) {
    let mut statuses = Vec::new();
    for (method, path) in [
        (Method::GET, "/api/admin/organizations"),
        (Method::GET, "/api/admin/audit-events"),
        (Method::POST, "/api/admin/api-keys"),
        (Method::GET, "/audit"),
    ] {
        let asked = request(system, method, path).bearer_auth(token);
        // A visitor who is not signed in is redirected to the sign-in page.
        let body = json!({ "name": "another", "access": "full" });
        let answer = asked.json(&body).send().await.unwrap();
        statuses.push(answer.status().as_u16());
    }
    let url = system.grpc_url(Service::Gateway).parse().unwrap();
    let mut admin = AdminServiceClient::new(client::channel(&url, None, DEADLINE).unwrap());
    let mut call = Request::new(ListOrganizationsRequest::default());
    let value = format!("Bearer {token}").parse().unwrap();
    call.metadata_mut().insert("authorization", value);
    let code = match admin.list_organizations(call).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    };
    (statuses, code)
}

/// A browser sends several cookies of one name where they were set for different paths or domains.
#[tokio::test(flavor = "multi_thread")]
async fn fm25_of_several_session_cookies_a_stale_one_signs_nobody_out() {
    let system = System::start().await;
    let (stale, stale_cookie) = sign_in(&system).await;
    let (_, good_cookie) = sign_in(&system).await;
    let forged = format!("{SESSION}=forged");
    let ended = request(&system, Method::POST, SIGN_OUT)
        .bearer_auth(&stale)
        .send();
    assert_eq!(ended.await.unwrap().status(), StatusCode::OK);

    for cookies in [
        format!("{stale_cookie}; {good_cookie}"),
        format!("{forged}; {stale_cookie}; {good_cookie}"),
        format!("{good_cookie}; {stale_cookie}"),
    ] {
        for path in ["/api/admin/organizations", "/audit", "/audit.csv"] {
            let asked = request(&system, Method::GET, path).header(header::COOKIE, &cookies);
            let status = asked.send().await.unwrap().status();
            assert_eq!(status, StatusCode::OK, "{path} with {cookies}");
        }
        let asked = request(&system, Method::GET, GET_SESSION).header(header::COOKIE, &cookies);
        let session: Value = asked.send().await.unwrap().json().await.unwrap();
        let email = session.pointer("/user/email").and_then(Value::as_str);
        assert_eq!(email, Some(ADMIN_EMAIL));
        let change = json!({ "currentPassword": "wrong", "newPassword": "another password" });
        let asked = request(&system, Method::POST, "/api/auth/change-password")
            .header(header::COOKIE, &cookies)
            .header(header::ORIGIN, system.base_url());
        let answer = asked.json(&change).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{cookies}");
    }

    // To sign out ends every session that the browser showed.
    let both = format!("{stale_cookie}; {good_cookie}");
    let asked = request(&system, Method::POST, SIGN_OUT)
        .header(header::COOKIE, &both)
        .header(header::ORIGIN, system.base_url());
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK);
    let asked = request(&system, Method::GET, "/api/admin/organizations");
    let asked = asked.header(header::COOKIE, &good_cookie);
    let status = asked.send().await.unwrap().status();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm29_a_sign_out_with_a_bearer_token_ends_it() {
    let system = System::start().await;
    let (token, _) = sign_in(&system).await;
    let (other, _) = sign_in(&system).await;
    assert_eq!(doors(&system, &token).await.1, Code::Ok);
    for _ in 0..2 {
        let asked = request(&system, Method::POST, SIGN_OUT).bearer_auth(&token);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.text().await.unwrap(), r#"{"success":true}"#);
    }
    let closed = (vec![401, 401, 401, 303], Code::Unauthenticated);
    assert_eq!(doors(&system, &token).await, closed);
    assert_eq!(doors(&system, &other).await.1, Code::Ok);

    // An API key is not a session: it is not said to have ended.
    let admin = Admin::sign_in(&system).await;
    let body = json!({ "name": "script", "access": "full" });
    let made = admin.post("/api/admin/api-keys", &body).await;
    let asked = request(&system, Method::POST, SIGN_OUT).bearer_auth(made.text("/secret"));
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let refused: Value = answer.json().await.unwrap();
    let code = refused.pointer("/code").and_then(Value::as_str);
    assert_eq!(code, Some("SESSION_REQUIRED"));
    assert_eq!(doors(&system, made.text("/secret")).await.1, Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_end_with_their_admin_at_every_door() {
    let system = System::start().await;
    let database = DatabaseConfig::new(system.database().url(), 1);
    let closed = (vec![401, 401, 401, 303], Code::Unauthenticated);
    let mut secrets = Vec::new();
    for is_disabled in [false, true] {
        let admin = Admin::sign_in(&system).await;
        let body = json!({ "name": "script", "access": "full" });
        let made = admin.post("/api/admin/api-keys", &body).await;
        let secret = made.text("/secret").to_owned();
        // A key makes no keys.
        let open = (vec![200, 200, 403, 200], Code::Ok);
        assert_eq!(doors(&system, &secret).await, open);
        let ended = if is_disabled {
            org_svc::cli::disable_admin(&database, ADMIN_EMAIL).await
        } else {
            let password = ADMIN_PASSWORD.into();
            org_svc::cli::reset_password(&database, ADMIN_EMAIL, password).await
        };
        ended.unwrap();
        secrets.push(secret);
        for secret in &secrets {
            assert_eq!(doors(&system, secret).await, closed, "{is_disabled}");
        }
    }
}

/// A stranger cannot lock the owner of an account out of a browser that signed in before: over JSON,
/// over the page's form, and after the owner signed out there.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_everywhere_do_not_lock_the_owner_out() {
    let system = System::start_with(&[
        (Service::Gateway, "TRUSTED_PROXIES", "127.0.0.1"),
        (Service::Org, "AUTH_ATTEMPT_LIMIT", "3/10"),
        (Service::Org, "AUTH_ACCOUNT_LIMIT", "5/900"),
    ])
    .await;
    let good = (ADMIN_EMAIL, ADMIN_PASSWORD);
    let home = (FORWARDED_FOR, "192.0.2.1");
    let begun = try_sign_in(&system, good, &[home]).await;
    let cookies = cookies_of(&begun);
    let device = cookies.iter().find(|cookie| cookie.starts_with(DEVICE));
    let device = device.unwrap().clone();
    let out = request(&system, Method::POST, SIGN_OUT)
        .header(header::COOKIE, cookies.join("; "))
        .header(header::ORIGIN, system.base_url());
    let out = out.send().await.unwrap();
    assert_eq!(out.status(), StatusCode::OK);
    let cleared = cookies_of(&out);
    assert!(!cleared.iter().any(|cookie| cookie.starts_with(DEVICE)));

    let mut throttled = 0;
    for guess in 0..40 {
        let address = format!("198.51.{guess}.7");
        let wrong = (ADMIN_EMAIL, "a guess");
        let answer = try_sign_in(&system, wrong, &[(FORWARDED_FOR, &address)]).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            throttled += 1;
            let wait = answer.headers().get(header::RETRY_AFTER).unwrap();
            assert_eq!(Some(wait), answer.headers().get("x-retry-after"));
            assert!(wait.to_str().unwrap().parse::<u64>().unwrap() <= 900);
            let text = answer.text().await.unwrap();
            assert_eq!(
                text,
                r#"{"message":"Too many requests. Please try again later."}"#
            );
        } else {
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        }
    }
    assert_eq!(throttled, 35);

    let new = try_sign_in(&system, good, &[home]).await;
    assert_eq!(new.status(), StatusCode::TOO_MANY_REQUESTS);
    let origin = system.base_url();
    let known = [home, ("cookie", &*device), ("origin", &*origin)];
    let again = try_sign_in(&system, good, &known).await;
    assert_eq!(again.status(), StatusCode::OK);
}

/// What is logged by all services of this process.
fn log() -> Arc<Mutex<Vec<u8>>> {
    #[derive(Clone)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    let kept = LOG.get_or_init(|| {
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Kept(Arc::clone(&kept));
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        kept
    });
    Arc::clone(kept)
}

/// Behind a proxy that TRUSTED_PROXIES does not name all clients have one address.
#[tokio::test(flavor = "multi_thread")]
async fn fm35_behind_an_unnamed_proxy_wrong_passwords_lock_nobody_else_out() {
    let log = log();
    let limits = [
        (Service::Gateway, "TRUSTED_PROXIES", ""),
        (Service::Org, "AUTH_ATTEMPT_LIMIT", "3/10"),
        (Service::Org, "AUTH_ACCOUNT_LIMIT", "5/900"),
    ];
    let system = System::start_with(&limits).await;
    let forwarded = [(FORWARDED_FOR, "203.0.113.7")];
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let wrong = ("nobody@example.com", "a guess");
        let answer = try_sign_in(&system, wrong, &forwarded).await;
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let good = (ADMIN_EMAIL, ADMIN_PASSWORD);
    let answer = try_sign_in(&system, good, &forwarded).await;
    assert_eq!(answer.status(), StatusCode::OK);

    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let warned = log.lines().filter(|line| line.contains("TRUSTED_PROXIES"));
    let warned: Vec<_> = warned.collect();
    let [warning] = &*warned else {
        panic!("it is told once: {warned:?}");
    };
    assert!(warning.contains("WARN") && warning.contains("peer=127.0.0.1"));
}
