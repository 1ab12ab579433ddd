//! Better Auth's endpoints, byte for byte where its clients look.

use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;

use crate::{
    org::{ADMIN, BANNED, PASSWORD, TWO_FACTORS},
    world::{Answer, Away, SITE, World},
};

const SIGN_IN: &str = "/api/auth/sign-in/email";
const SIGN_OUT: &str = "/api/auth/sign-out";
const CHANGE_PASSWORD: &str = "/api/auth/change-password";
const GET_SESSION: &str = "/api/auth/get-session";
const SESSION: &str = "better-auth.session_token";
/// Made by Better Auth 1.7.25 with the secret that these tests run with, for a token that no session
/// has.
const FOREIGN_COOKIE: &str = "better-auth.session_token=62NI0pXvJpUBkuOT3KxWX56hUPyz4Las.43ZmDA0roxkUt05j4Hk2ptAEM%2BCu8DVX7TC%2BmZOob6U%3D";
const DONT_REMEMBER_COOKIE: &str =
    "better-auth.dont_remember=true.d4YuqbWEb7sKAVg6%2FZMvk%2FQJhTWoq1%2BFcOCIkTVJKBc%3D";

fn credentials() -> serde_json::Value {
    json!({"email": "Admin@Example.com", "password": PASSWORD})
}

fn names(answer: &Answer) -> Vec<&str> {
    let cookies = answer.cookies.iter();
    cookies.map(|c| c.split('=').next().unwrap()).collect()
}

#[tokio::test]
async fn a_sign_in_is_answered_in_better_auths_order() {
    let world = World::new().await;
    let request = world.post(SIGN_IN).header("user-agent", "probe/1.0");
    let answer = Answer::of(request.json(&credentials())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    let token = "token000000000000000000000000001";
    assert_eq!(
        answer.text,
        format!(
            r#"{{"redirect":false,"token":"{token}","user":{{"name":"Admin","email":"admin@example.com","emailVerified":false,"image":null,"createdAt":"2023-11-14T22:13:20.000Z","updatedAt":"2023-11-14T22:13:20.000Z","id":"admin@example.com"}}}}"#
        )
    );
    assert_eq!(names(&answer), [SESSION, "better-auth.session_data"]);
    assert!(answer.cookies[0].ends_with("; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax"));
    assert!(answer.cookies[0].starts_with(&format!("{SESSION}={token}.")));
    let session = &world.org.sessions()[0];
    assert_eq!(session.ip_address.as_deref(), Some("127.0.0.1"));
    assert_eq!(session.user_agent.as_deref(), Some("probe/1.0"));
}

#[tokio::test]
async fn a_session_that_is_not_remembered_ends_with_the_browser() {
    let world = World::new().await;
    let mut body = credentials();
    body["rememberMe"] = json!(false);
    let answer = Answer::of(world.post(SIGN_IN).json(&body)).await;
    assert_eq!(
        names(&answer),
        [
            SESSION,
            "better-auth.dont_remember",
            "better-auth.session_data"
        ]
    );
    assert!(answer.cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    assert!(!answer.cookies[0].contains("Max-Age"));
    // Such a session is never extended, though it is due.
    world.org.refresh_sessions();
    let sent: Vec<_> = answer
        .cookies
        .iter()
        .map(|c| c.split(';').next().unwrap())
        .collect();
    let session = Answer::of(
        world
            .get(GET_SESSION)
            .header("cookie", sent[..2].join("; ")),
    )
    .await;
    assert_eq!(names(&session), Vec::<&str>::new());
    assert!(session.text.starts_with("{\"session\":{\"expiresAt\":"));
}

#[tokio::test]
async fn on_https_the_cookies_are_secure() {
    let variables = [("BETTER_AUTH_URL", "https://billing.test")];
    let world = World::start(&variables, Away::Nothing).await;
    let answer = Answer::of(world.post(SIGN_IN).json(&credentials())).await;
    assert!(answer.cookies[0].starts_with("__Secure-better-auth.session_token="));
    assert!(
        answer.cookies[0].ends_with("; Max-Age=604800; Path=/; HttpOnly; Secure; SameSite=Lax")
    );
    // The plain name is nothing to a secure site.
    let plain = answer.cookies[0]
        .split(';')
        .next()
        .unwrap()
        .replace("__Secure-", "");
    let session = Answer::of(world.get(GET_SESSION).header("cookie", plain)).await;
    assert_eq!(session.text, "null");
}

#[tokio::test]
async fn a_sign_in_that_fails_says_so_in_better_auths_words() {
    let world = World::new().await;
    let too_long = "x".repeat(129);
    for (body, status, text) in [
        (
            json!({"email": ADMIN, "password": "wrong"}),
            401,
            r#"{"message":"Invalid email or password","code":"INVALID_EMAIL_OR_PASSWORD"}"#,
        ),
        (
            json!({"email": "nobody@example.com", "password": PASSWORD}),
            401,
            r#"{"message":"Invalid email or password","code":"INVALID_EMAIL_OR_PASSWORD"}"#,
        ),
        (
            json!({"email": ADMIN, "password": ""}),
            401,
            r#"{"message":"Invalid email or password","code":"INVALID_EMAIL_OR_PASSWORD"}"#,
        ),
        (
            json!({"email": "nope", "password": "x"}),
            400,
            r#"{"message":"Invalid email","code":"INVALID_EMAIL"}"#,
        ),
        (
            json!({"email": ADMIN, "password": too_long}),
            400,
            r#"{"message":"Password too long","code":"PASSWORD_TOO_LONG"}"#,
        ),
        (
            json!({"email": ADMIN}),
            400,
            r#"{"message":"[body.password] Invalid input: expected string, received undefined","code":"VALIDATION_ERROR"}"#,
        ),
        (
            json!({"email": ADMIN, "password": PASSWORD, "callbackURL": "//evil.example"}),
            403,
            r#"{"message":"Invalid callbackURL","code":"INVALID_CALLBACK_URL"}"#,
        ),
    ] {
        let answer = Answer::of(world.post(SIGN_IN).json(&body)).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (status, text));
        assert!(answer.cookies.is_empty());
    }
}

#[tokio::test]
async fn bodies_are_read_as_better_auth_reads_them() {
    let world = World::new().await;
    let send = |kind: &'static str, body: String| {
        Answer::of(world.post(SIGN_IN).header("content-type", kind).body(body))
    };
    let form = "email=admin%40example.com&password=correct+horse+battery+staple".to_owned();
    let answer = send("application/x-www-form-urlencoded", form.clone()).await;
    assert_eq!(answer.status, StatusCode::OK);
    for (kind, body, status, text) in [
        (
            "application/x-www-form-urlencoded",
            format!("{form}&rememberMe=true"),
            400,
            r#"{"message":"[body.rememberMe] Invalid input: expected boolean, received string","code":"VALIDATION_ERROR"}"#,
        ),
        (
            "application/json; charset=utf-8",
            "{".to_owned(),
            400,
            r#"{"message":"Invalid JSON in request body","code":"BAD_REQUEST"}"#,
        ),
        (
            "text/plain",
            "{}".to_owned(),
            415,
            r#"{"message":"Content-Type \"text/plain\" is not allowed. Allowed types: application/x-www-form-urlencoded, application/json","code":"UNSUPPORTED_MEDIA_TYPE"}"#,
        ),
        (
            "application/json",
            String::new(),
            400,
            r#"{"message":"[body] Invalid input: expected object, received undefined","code":"VALIDATION_ERROR"}"#,
        ),
    ] {
        let answer = send(kind, body).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (status, text));
    }
}

#[tokio::test]
async fn a_sign_in_may_lead_on() {
    let world = World::new().await;
    let mut body = credentials();
    body["callbackURL"] = json!("/dashboard");
    let answer = Answer::of(world.post(SIGN_IN).json(&body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("location"), "/dashboard");
    let token = "token000000000000000000000000001";
    let start = format!(r#"{{"redirect":true,"token":"{token}","url":"/dashboard","user":"#);
    assert!(answer.text.starts_with(&start), "{}", answer.text);
}

/// A path, the headers to send, and the status and text to get.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn origins_are_checked_as_better_auth_checks_them() {
    const INVALID: &str = r#"{"message":"Invalid origin","code":"INVALID_ORIGIN"}"#;
    const MISSING: &str = r#"{"message":"Missing or null Origin","code":"MISSING_OR_NULL_ORIGIN"}"#;
    const CROSS: &str = r#"{"message":"Cross-site navigation login blocked. This request appears to be a CSRF attack.","code":"CROSS_SITE_NAVIGATION_LOGIN_BLOCKED"}"#;
    let variables = [
        ("NEXT_PUBLIC_BETTER_AUTH_URL", "https://www.billing.test/x"),
        ("BETTER_AUTH_TRUSTED_ORIGINS", "https://*.example.com"),
    ];
    let world = World::start(&variables, Away::Nothing).await;
    let referer = format!("{SITE}/sign-in");
    let rows: [Row<'_>; 13] = [
        (SIGN_IN, &[], 200, ""),
        (SIGN_IN, &[("origin", SITE)], 200, ""),
        (SIGN_IN, &[("origin", "https://www.billing.test")], 200, ""),
        (SIGN_IN, &[("origin", "https://a.example.com")], 200, ""),
        (SIGN_IN, &[("origin", "https://evil.example")], 403, INVALID),
        (SIGN_IN, &[("referer", &referer)], 200, ""),
        (SIGN_IN, &[("cookie", "a=b")], 403, MISSING),
        (
            SIGN_IN,
            &[("origin", "null"), ("cookie", "a=b")],
            403,
            MISSING,
        ),
        (
            SIGN_IN,
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("origin", SITE),
            ],
            403,
            CROSS,
        ),
        (
            SIGN_IN,
            &[
                ("origin", "null"),
                ("sec-fetch-site", "same-origin"),
                ("host", "billing.test"),
            ],
            200,
            "",
        ),
        (SIGN_OUT, &[], 200, r#"{"success":true}"#),
        (SIGN_OUT, &[("cookie", "a=b")], 403, MISSING),
        (
            SIGN_OUT,
            &[("cookie", "a=b"), ("origin", SITE)],
            200,
            r#"{"success":true}"#,
        ),
    ];
    for (path, headers, status, text) in rows {
        let request = world.post(path).json(&credentials());
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let answer = Answer::of(request).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {headers:?}");
        if !text.is_empty() {
            assert_eq!(answer.text, text, "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_session_is_told_and_extended() {
    let world = World::new().await;
    let cookie = world.admin().await;
    let get = |path: &'static str, cookie: &str| {
        Answer::of(world.get(path).header("cookie", cookie.to_owned()))
    };
    let answer = get(GET_SESSION, &cookie).await;
    let token = "token000000000000000000000000001";
    assert_eq!(
        answer.text,
        format!(
            r#"{{"session":{{"expiresAt":"2027-01-22T08:00:00.000Z","token":"{token}","createdAt":"2027-01-15T08:00:00.000Z","updatedAt":"2027-01-15T08:00:00.000Z","ipAddress":"127.0.0.1","userAgent":"","userId":"admin@example.com","id":"session1"}},"user":{{"name":"Admin","email":"admin@example.com","emailVerified":false,"image":null,"createdAt":"2023-11-14T22:13:20.000Z","updatedAt":"2023-11-14T22:13:20.000Z","id":"admin@example.com"}}}}"#
        )
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert!(answer.cookies.is_empty());

    world.org.refresh_sessions();
    let extended = get(GET_SESSION, &cookie).await;
    assert_eq!(names(&extended), [SESSION]);
    assert!(
        extended.cookies[0].starts_with(&cookie),
        "the same value again"
    );
    for query in ["true", "false"] {
        let path = format!("{GET_SESSION}?disableRefresh={query}");
        let answer = Answer::of(world.get(&path).header("cookie", &cookie)).await;
        assert!(answer.cookies.is_empty(), "{query}");
    }
    let kept = get(GET_SESSION, &format!("{cookie}; {DONT_REMEMBER_COOKIE}")).await;
    assert!(kept.cookies.is_empty());

    let cached = format!("{cookie}; better-auth.session_data=x; better-auth.session_data.0=y");
    let path = "/api/auth/get-session?disableRefresh=1";
    let cleared = get(path, &cached).await;
    assert_eq!(
        names(&cleared),
        ["better-auth.session_data", "better-auth.session_data.0"]
    );
}

#[tokio::test]
async fn no_session_is_null() {
    let world = World::new().await;
    let null = |request: RequestBuilder| async {
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, &*answer.text), (StatusCode::OK, "null"));
        assert_eq!(answer.header("cache-control"), "no-store");
        answer
    };
    assert!(null(world.get(GET_SESSION)).await.cookies.is_empty());
    let forged = format!("{SESSION}=token.forged; better-auth.session_data=x");
    let answer = null(world.get(GET_SESSION).header("cookie", forged)).await;
    assert!(answer.cookies.is_empty());
    // Better Auth's own signature is good, but there is no such session.
    let answer = null(world.get(GET_SESSION).header("cookie", FOREIGN_COOKIE)).await;
    assert_eq!(
        answer.cookies,
        [
            "better-auth.session_token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
            "better-auth.session_data=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
            "better-auth.dont_remember=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
        ]
    );
}

#[tokio::test]
async fn signing_out_ends_the_session_and_clears_what_was_cached() {
    let world = World::new().await;
    let cookie = world.admin().await;
    let sent = format!("{cookie}; better-auth.session_data.0=a; better-auth.session_data.1=b");
    let request = world.post(SIGN_OUT).header("cookie", sent);
    let answer = Answer::of(request.header("origin", SITE).json(&json!({}))).await;
    assert_eq!(answer.text, r#"{"success":true}"#);
    assert_eq!(
        names(&answer),
        [
            SESSION,
            "better-auth.session_data",
            "better-auth.session_data.0",
            "better-auth.session_data.1",
            "better-auth.dont_remember",
        ]
    );
    assert!(world.org.sessions().is_empty());
    let again = Answer::of(world.post(SIGN_OUT)).await;
    assert_eq!(again.text, r#"{"success":true}"#);
}

#[tokio::test]
async fn other_paths_and_methods_get_nothing() {
    let world = World::new().await;
    let ok = Answer::of(world.get("/api/auth/ok")).await;
    assert_eq!(ok.text, r#"{"ok":true}"#);
    for (method, path) in [
        (reqwest::Method::GET, SIGN_IN),
        (reqwest::Method::OPTIONS, SIGN_IN),
        (reqwest::Method::GET, "/api/auth/nothing"),
        (reqwest::Method::GET, "/api/auth/get-session/"),
        (reqwest::Method::POST, "/api/auth/ok"),
    ] {
        let answer = Answer::of(world.request(method.clone(), path)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(answer.text, "");
    }
    let post = Answer::of(world.post(GET_SESSION)).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        post.json()["code"],
        "METHOD_NOT_ALLOWED_DEFER_SESSION_REQUIRED"
    );
}

#[tokio::test]
async fn who_may_not_sign_in_is_told_why() {
    let world = World::new().await;
    for (email, text) in [
        (
            BANNED,
            r#"{"message":"You have been banned from this application. Please contact support if you believe this is an error.","code":"BANNED_USER"}"#,
        ),
        (
            TWO_FACTORS,
            r#"{"message":"A second one.","code":"TWO_FACTOR_REQUIRED"}"#,
        ),
    ] {
        let body = json!({"email": email, "password": PASSWORD});
        let answer = Answer::of(world.post(SIGN_IN).json(&body)).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (403, text));
        assert!(answer.cookies.is_empty());
    }
}

#[tokio::test]
async fn a_password_is_changed_with_a_session_and_the_old_one() {
    let world = World::new().await;
    let cookie = world.admin().await;
    let change = |cookie: &str, body: serde_json::Value| {
        let request = world.post(CHANGE_PASSWORD).header("origin", SITE);
        Answer::of(request.header("cookie", cookie.to_owned()).json(&body))
    };
    let to = |current: &str, new: &str| json!({"currentPassword": current, "newPassword": new});
    for (sent, body, status, text) in [
        (
            &*cookie,
            json!({}),
            400,
            r#"{"message":"[body.newPassword] Invalid input: expected string, received undefined; [body.currentPassword] Invalid input: expected string, received undefined","code":"VALIDATION_ERROR"}"#,
        ),
        (
            "a=b",
            to(PASSWORD, "another password"),
            401,
            r#"{"message":"Unauthorized","code":"UNAUTHORIZED"}"#,
        ),
        (
            FOREIGN_COOKIE,
            to(PASSWORD, "another password"),
            401,
            r#"{"message":"Unauthorized","code":"UNAUTHORIZED"}"#,
        ),
        (
            &*cookie,
            to(PASSWORD, "short"),
            400,
            r#"{"message":"Password too short","code":"PASSWORD_TOO_SHORT"}"#,
        ),
        (
            &*cookie,
            to(PASSWORD, &"x".repeat(129)),
            400,
            r#"{"message":"Password too long","code":"PASSWORD_TOO_LONG"}"#,
        ),
        (
            &*cookie,
            to("none", "another password"),
            400,
            r#"{"message":"Credential account not found","code":"CREDENTIAL_ACCOUNT_NOT_FOUND"}"#,
        ),
        (
            &*cookie,
            to("wrong", "another password"),
            400,
            r#"{"message":"Invalid password","code":"INVALID_PASSWORD"}"#,
        ),
        (
            &*cookie,
            to(PASSWORD, "another password"),
            200,
            r#"{"token":null,"user":{"name":"Admin","email":"admin@example.com","emailVerified":false,"image":null,"createdAt":"2023-11-14T22:13:20.000Z","updatedAt":"2023-11-14T22:13:20.000Z","id":"admin@example.com"}}"#,
        ),
    ] {
        let answer = change(sent, body).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (status, text));
        assert!(answer.cookies.is_empty(), "{:?}", answer.cookies);
    }
    let unmeant = world.post(CHANGE_PASSWORD).header("cookie", &cookie);
    let unmeant = Answer::of(unmeant.json(&to(PASSWORD, "another password"))).await;
    assert_eq!(unmeant.json()["code"], "MISSING_OR_NULL_ORIGIN");
}

#[tokio::test]
async fn other_sessions_end_with_the_old_password_where_that_is_asked() {
    let world = World::new().await;
    let cookie = world.admin().await;
    world.admin().await;
    let forgetful = format!("{cookie}; {DONT_REMEMBER_COOKIE}");
    let token = format!("renewed{:025}", 1);
    for (sent, cookies, lasts) in [
        (&cookie, &[SESSION, "better-auth.session_data"][..], true),
        (
            &forgetful,
            &[
                SESSION,
                "better-auth.dont_remember",
                "better-auth.session_data",
            ],
            false,
        ),
    ] {
        let body = json!({"currentPassword": PASSWORD, "newPassword": "another password", "revokeOtherSessions": true});
        // The token that goes on is the one of the answer; the second time it is shown again.
        let request = world.post(CHANGE_PASSWORD).header("origin", SITE);
        let answer = Answer::of(request.header("cookie", sent).json(&body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json()["token"], token);
        assert_eq!(names(&answer), cookies);
        assert_eq!(answer.cookies[0].contains("Max-Age=604800"), lasts);
        assert_eq!(world.org.sessions().len(), 1);
        world.org.expire_sessions();
        world.admin().await;
    }
}

#[tokio::test]
async fn too_many_sign_ins_are_told_in_better_auths_way() {
    let world = World::new().await;
    world.org.limit_rate();
    let answer = Answer::of(world.post(SIGN_IN).json(&credentials())).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        answer.text,
        r#"{"message":"Too many requests. Please try again later."}"#
    );
    assert_eq!(answer.header("x-retry-after"), "7");
    assert_eq!(answer.header("retry-after"), "7");
}

#[tokio::test]
async fn while_org_svc_is_away_nobody_is_signed_out() {
    let world = World::without(Away::Org).await;
    let request = world.get(GET_SESSION).header("cookie", FOREIGN_COOKIE);
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "UNAVAILABLE");
    assert!(answer.cookies.is_empty() && !answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_clients_address_is_taken_from_a_trusted_proxy_alone() {
    for (proxies, address) in [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")] {
        let world = World::start(&[("TRUSTED_PROXIES", proxies)], Away::Nothing).await;
        let request = world.post(SIGN_IN).json(&credentials());
        Answer::of(request.header("x-forwarded-for", "6.6.6.6, 203.0.113.7")).await;
        let session = &world.org.sessions()[0];
        assert_eq!(session.ip_address.as_deref(), Some(address));
    }
}
