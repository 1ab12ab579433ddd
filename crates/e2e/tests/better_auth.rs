//! Goal: on the day of the switch, and as long as both run, it makes no difference whether a person
//! talks to Better Auth or to us.
//! Method: a real Better Auth server from npm and a whole system on one database, with one secret;
//! each side is shown the cookies and passwords of the other, in the current version and in one from
//! before 1.4.
//!
//! `cargo xtask ci better-auth` installs the packages and names them in `BETTER_AUTH_SERVER_DIR`.
//! Without it the tests say that they prove nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says so where it proves nothing"
)]

use std::{path::PathBuf, process::Stdio, time::Duration};

use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD, AUTH_SECRET, System, actors::http};
use billing_harness::TestDatabase;
use reqwest::{Method, RequestBuilder, StatusCode, header};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};

/// The names under which `better-auth/package.json` has the versions.
const CURRENT: &str = "better-auth";
const BEFORE_1_4: &str = "better-auth-before-1-4";
/// Node reads some thousand files before it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);

const EMAIL: &str = "older@example.com";
const PASSWORD: &str = "the older password";
const FORM: &str = "application/x-www-form-urlencoded";
const SIGN_IN: &str = "/api/auth/sign-in/email";
const SIGN_OUT: &str = "/api/auth/sign-out";
const GET_SESSION: &str = "/api/auth/get-session";
const CHANGE_PASSWORD: &str = "/api/auth/change-password";

/// Where the packages are.
fn server_dir() -> Option<PathBuf> {
    let named = std::env::var_os("BETTER_AUTH_SERVER_DIR").map(PathBuf::from);
    if named.is_none() {
        println!(
            "SKIPPED: BETTER_AUTH_SERVER_DIR is not set, so nothing is proved here. Run: cargo xtask ci better-auth"
        );
    }
    named
}

/// A Better Auth server. It ends when it is dropped.
struct Older {
    side: Side,
    _process: Child,
    _input: ChildStdin,
}

impl Older {
    /// Starts one, which first brings the database to its own state.
    async fn start(dir: &PathBuf, package: &str, url: &str, more: &[(&str, &str)]) -> Self {
        let mut process = Command::new("node")
            .arg("server.mjs")
            .current_dir(dir)
            .envs([("PACKAGE", package), ("DATABASE_URL", url)])
            .envs([("SECRET", AUTH_SECRET), ("MIGRATE", "1")])
            // In production addresses and cookies are what they are; tests of theirs relax both.
            .env("NODE_ENV", "production")
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("node cannot be started: {error}"));
        let input = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(START_TIMEOUT, lines.next_line()).await;
        let base_url = first.unwrap().unwrap();
        Self {
            side: Side::at(base_url.unwrap_or_else(|| panic!("{package} did not start"))),
            _process: process,
            _input: input,
        }
    }
}

/// One of the two: Better Auth's server or our gateway.
struct Side {
    base_url: String,
    http: reqwest::Client,
}

#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: header::HeaderMap,
    text: String,
}

impl Reply {
    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    fn cookies(&self) -> Vec<&str> {
        let cookies = self.headers.get_all(header::SET_COOKIE).iter();
        cookies.map(|cookie| cookie.to_str().unwrap()).collect()
    }

    /// The session's cookie, as a browser sends it back.
    fn session(&self) -> String {
        let cookies = self.cookies();
        let mut sessions = cookies.iter().filter(|c| c.contains(".session_token="));
        let cookie = sessions.next().and_then(|c| c.split(';').next());
        cookie
            .unwrap_or_else(|| panic!("no session: {} {}", self.status, self.text))
            .to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

impl Side {
    fn at(base_url: String) -> Self {
        Self {
            base_url,
            http: http(),
        }
    }

    fn of(system: &System) -> Self {
        Self::at(system.base_url())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base_url))
    }

    /// As a page of this side posts.
    async fn post(&self, path: &str, cookie: &str, body: &Value) -> Reply {
        let request = self.request(Method::POST, path).json(body);
        let request = request.header(header::ORIGIN, &self.base_url);
        Reply::of(request.header(header::COOKIE, cookie)).await
    }

    async fn try_sign_in(&self, email: &str, password: &str) -> Reply {
        let body = json!({"email": email, "password": password});
        Reply::of(self.request(Method::POST, SIGN_IN).json(&body)).await
    }

    async fn sign_in(&self, email: &str, password: &str) -> String {
        self.try_sign_in(email, password).await.session()
    }

    async fn sign_up(&self, email: &str, password: &str) -> String {
        let body = json!({"email": email, "password": password, "name": "Older"});
        let request = self.request(Method::POST, "/api/auth/sign-up/email");
        Reply::of(request.json(&body)).await.session()
    }

    /// Whose session a cookie stands for.
    async fn who(&self, cookie: &str) -> Option<String> {
        let request = self.request(Method::GET, GET_SESSION);
        let reply = Reply::of(request.header(header::COOKIE, cookie)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        let email = reply.json().pointer("/user/email")?.as_str()?.to_owned();
        Some(email)
    }

    async fn change_password(&self, cookie: &str, old: &str, new: &str) -> Reply {
        let body = json!({"currentPassword": old, "newPassword": new, "revokeOtherSessions": true});
        let reply = self.post(CHANGE_PASSWORD, cookie, &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        reply
    }

    async fn sign_out(&self, cookie: &str) {
        let reply = self.post(SIGN_OUT, cookie, &json!({})).await;
        assert_eq!(reply.text, r#"{"success":true}"#);
    }
}

/// What a deployment's database is on the day of the switch: Better Auth made its tables and a user;
/// then came our migrations.
async fn switched(dir: &PathBuf, package: &str, more: &[(&str, &str)]) -> (Older, System, String) {
    let database = TestDatabase::empty();
    let older = Older::start(dir, package, database.url(), more).await;
    let cookie = older.side.sign_up(EMAIL, PASSWORD).await;
    let db = database.connect().await;
    migrations::up(&db).await.unwrap();
    db.close().await.unwrap();
    (older, System::start_on(database).await, cookie)
}

async fn run(system: &System, sql: &str) {
    let db = system.database().connect().await;
    db.execute_unprepared(sql).await.unwrap();
    db.close().await.unwrap();
}

async fn may_administer(ours: &Side, cookie: &str) -> StatusCode {
    let request = ours.request(Method::GET, "/api/admin/organizations");
    Reply::of(request.header(header::COOKIE, cookie))
        .await
        .status
}

async fn both_ways(package: &str, more: &[(&str, &str)]) {
    let Some(dir) = server_dir() else { return };
    let (older, system, before) = switched(&dir, package, more).await;
    let (theirs, ours) = (&older.side, &Side::of(&system));

    // Who was signed in there is signed in here, as a user; as an admin once adopted.
    assert_eq!(ours.who(&before).await.as_deref(), Some(EMAIL));
    assert_eq!(may_administer(ours, &before).await, StatusCode::FORBIDDEN);
    let adopt = format!(
        "INSERT INTO admins (user_id, created_at) SELECT id::text, now() FROM \"user\" WHERE email = '{EMAIL}'"
    );
    run(&system, &adopt).await;
    assert_eq!(may_administer(ours, &before).await, StatusCode::OK);

    // Passwords: theirs here, and ours (of an admin made by `org-svc admin create`) there.
    let here = ours.sign_in(EMAIL, PASSWORD).await;
    assert_eq!(theirs.who(&here).await.as_deref(), Some(EMAIL));
    let there = theirs.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).await;
    assert_eq!(ours.who(&there).await.as_deref(), Some(ADMIN_EMAIL));
    assert_eq!(may_administer(ours, &there).await, StatusCode::OK);

    // A session that ends on one side has ended on the other.
    theirs.sign_out(&there).await;
    assert_eq!(ours.who(&there).await, None);
    assert_eq!(may_administer(ours, &there).await, StatusCode::UNAUTHORIZED);
    ours.sign_out(&here).await;
    assert_eq!(theirs.who(&here).await, None);

    // A password that is changed on one side is changed on the other, and the sessions are gone.
    let changed = ours
        .change_password(&before, PASSWORD, "changed here")
        .await;
    let next = changed.session();
    assert_eq!(theirs.who(&before).await, None);
    assert_eq!(theirs.who(&next).await.as_deref(), Some(EMAIL));
    let old = theirs.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    theirs.sign_in(EMAIL, "changed here").await;
    let changed = theirs
        .change_password(&next, "changed here", "changed there")
        .await;
    assert_eq!(ours.who(&next).await, None);
    assert_eq!(ours.who(&changed.session()).await.as_deref(), Some(EMAIL));
    let old = ours.try_sign_in(EMAIL, "changed here").await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    ours.sign_in(EMAIL, "changed there").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_passwords_are_shared_with_the_current_version() {
    both_ways(CURRENT, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_passwords_are_shared_with_a_version_before_1_4() {
    both_ways(BEFORE_1_4, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_shared_where_ids_are_uuids() {
    both_ways(CURRENT, &[("GENERATE_ID", "uuid")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_shared_where_the_database_counts_ids() {
    both_ways(CURRENT, &[("GENERATE_ID", "serial")]).await;
}

/// Our migrations on an empty database, and then Better Auth: it checks its tables when it starts.
#[tokio::test(flavor = "multi_thread")]
async fn better_auth_is_content_with_the_tables_that_we_make() {
    let Some(dir) = server_dir() else { return };
    let system = System::start().await;
    let url = system.database().url().to_owned();
    for package in [CURRENT, BEFORE_1_4] {
        let older = Older::start(&dir, package, &url, &[]).await;
        let there = older.side.sign_in(ADMIN_EMAIL, ADMIN_PASSWORD).await;
        let ours = Side::of(&system);
        assert_eq!(ours.who(&there).await.as_deref(), Some(ADMIN_EMAIL));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_or_has_a_second_factor_there_does_not_get_in_here() {
    let Some(dir) = server_dir() else { return };
    let plugins = [("PLUGINS", "admin,twoFactor")];
    let (older, system, before) = switched(&dir, CURRENT, &plugins).await;
    let ours = Side::of(&system);
    run(&system, "UPDATE \"user\" SET \"twoFactorEnabled\" = true").await;
    let theirs = older.side.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(theirs.json()["twoFactorRedirect"], json!(true));
    let refused = ours.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["code"], "TWO_FACTOR_REQUIRED");
    assert!(refused.cookies().is_empty());
    // A session that began before, or after the second factor, is good.
    assert_eq!(ours.who(&before).await.as_deref(), Some(EMAIL));

    let ban = "UPDATE \"user\" SET \"twoFactorEnabled\" = false, \"banned\" = true";
    run(&system, ban).await;
    let theirs = older.side.try_sign_in(EMAIL, PASSWORD).await;
    let refused = ours.try_sign_in(EMAIL, PASSWORD).await;
    assert_eq!(refused.status, theirs.status);
    assert_eq!(refused.text, theirs.text);
}

/// A request that is sent to both sides; `{origin}` stands for the side's own.
struct Case {
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Case {
    fn get(path: &'static str) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    fn post(path: &'static str, body: &Value) -> Self {
        Self {
            method: Method::POST,
            body: body.to_string(),
            ..Self::get(path)
        }
        .with("content-type", "application/json")
    }

    fn text(path: &'static str, kind: &str, body: &str) -> Self {
        Self {
            method: Method::POST,
            body: body.to_owned(),
            ..Self::get(path)
        }
        .with("content-type", kind)
    }

    fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    async fn at(&self, side: &Side) -> Vec<String> {
        let mut request = side.request(self.method.clone(), self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value.replace("{origin}", &side.base_url));
        }
        if !self.body.is_empty() {
            request = request.body(self.body.clone());
        }
        comparable(&Reply::of(request).await)
    }
}

/// An answer without what differs from one sign-in to the next.
fn comparable(reply: &Reply) -> Vec<String> {
    let mut lines = vec![reply.status.to_string(), without_secrets(&reply.text)];
    for name in ["content-type", "cache-control", "pragma", "location"] {
        let value = reply.headers.get(name).map(|value| value.to_str().unwrap());
        lines.push(format!("{name}: {}", value.unwrap_or("-")));
    }
    // We clear the cache of a session always; Better Auth does where it keeps one.
    let cookies = reply.cookies().into_iter();
    let cookies = cookies.filter(|cookie| !cookie.contains(".session_data="));
    // Better Auth has no such cookie: clients of it keep it and send it back unread.
    let cookies = cookies.filter(|cookie| !cookie.contains("billing.device="));
    lines.extend(cookies.map(|cookie| {
        let (name, rest) = cookie.split_once('=').unwrap();
        let (value, attributes) = rest.split_once(';').unwrap();
        let value = if value.is_empty() { "" } else { "…" };
        format!("set-cookie: {name}={value};{attributes}")
    }));
    lines
}

/// Tokens, ids and times are the strings of a JSON text that differ.
fn without_secrets(text: &str) -> String {
    let is_time = |part: &str| chrono::DateTime::parse_from_rfc3339(part).is_ok();
    let is_token = |part: &str| part.len() == 32 && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let parts = text.split('"').map(|part| {
        if is_time(part) {
            "<time>"
        } else if is_token(part) {
            "<token>"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("\"")
}

fn cases(cookie: &str) -> Vec<Case> {
    let good = json!({"email": EMAIL, "password": PASSWORD});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let sign_in = |body: &Value| Case::post(SIGN_IN, body);
    let change = |body: Value| {
        let case = Case::post(CHANGE_PASSWORD, &body);
        case.with("cookie", cookie).with("origin", "{origin}")
    };
    let to = |current: &str, new: &str| json!({"currentPassword": current, "newPassword": new});
    let mut cases = sign_in_cases(&good);
    cases.extend([
        sign_in(&with("password", json!("wrong"))),
        sign_in(&with("password", json!(""))),
        sign_in(&with("password", json!("x".repeat(129)))),
        sign_in(&with("email", json!("nobody@example.com"))),
        sign_in(&with("email", json!("OLDER@Example.com"))),
        sign_in(&with("email", json!("no address"))),
        sign_in(&with("email", json!("a@localhost"))),
        sign_in(&with("rememberMe", json!(false))),
        sign_in(&with("rememberMe", json!("yes"))),
        sign_in(&with("callbackURL", json!("/dashboard"))),
        sign_in(&with("callbackURL", json!("//evil.example"))),
        sign_in(&with("callbackURL", json!("https://evil.example/x"))),
        change(json!({})),
        change(json!({"currentPassword": 7, "newPassword": [], "revokeOtherSessions": "x"})),
        change(to(PASSWORD, "short")),
        change(to(PASSWORD, &"x".repeat(129))),
        change(to(&"x".repeat(129), "a longer one")),
        change(to("wrong", "a longer one")),
        change(to(PASSWORD, PASSWORD)),
        Case::post(CHANGE_PASSWORD, &to(PASSWORD, "a longer one")),
        Case::post(CHANGE_PASSWORD, &json!([])),
        Case::post(CHANGE_PASSWORD, &to(PASSWORD, "short")).with("cookie", cookie),
        Case::text(CHANGE_PASSWORD, "text/plain", "x"),
        Case::text(CHANGE_PASSWORD, FORM, "newPassword=x&currentPassword=y"),
        Case::get(CHANGE_PASSWORD),
    ]);
    cases.extend(session_cases(cookie));
    cases
}

fn sign_in_cases(good: &Value) -> Vec<Case> {
    let text = format!("email={EMAIL}&password={}", PASSWORD.replace(' ', "+"));
    vec![
        Case::post(SIGN_IN, good),
        Case::post(SIGN_IN, &json!({"email": EMAIL})),
        Case::post(SIGN_IN, &json!({})),
        Case::post(SIGN_IN, &json!({"email": null, "password": 7})),
        Case::post(SIGN_IN, &json!([])),
        Case::get(SIGN_IN).method(Method::POST),
        Case::text(SIGN_IN, "application/json", "{"),
        Case::text(SIGN_IN, "text/plain", "{}"),
        Case::text(SIGN_IN, FORM, &text),
        Case::text(SIGN_IN, FORM, &format!("{text}&rememberMe=true")),
        Case::get(SIGN_IN),
        Case::post(SIGN_IN, good).with("origin", "{origin}"),
        Case::post(SIGN_IN, good).with("origin", "https://evil.example"),
        Case::post(SIGN_IN, good).with("referer", "https://evil.example/x"),
        Case::post(SIGN_IN, good).with("referer", "{origin}/x"),
        Case::post(SIGN_IN, good).with("origin", "null"),
        Case::post(SIGN_IN, good).with("cookie", "a=b"),
        Case::post(SIGN_IN, good)
            .with("sec-fetch-site", "cross-site")
            .with("sec-fetch-mode", "navigate"),
        Case::post(SIGN_IN, good).with("sec-fetch-site", "same-origin"),
    ]
}

fn session_cases(cookie: &str) -> Vec<Case> {
    let forged = "better-auth.session_token=nobody.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D";
    let refresh = "/api/auth/get-session?disableRefresh=true";
    vec![
        Case::get(GET_SESSION),
        Case::get(GET_SESSION).with("cookie", cookie),
        Case::get(refresh).with("cookie", cookie),
        Case::get(GET_SESSION).with("cookie", forged),
        Case::get(GET_SESSION).with("cookie", "better-auth.session_token=x"),
        Case::get(GET_SESSION).with("cookie", &format!("__Secure-{cookie}")),
        Case::post(GET_SESSION, &json!({})),
        Case::post(SIGN_OUT, &json!({})),
        Case::get(SIGN_OUT).method(Method::POST),
        Case::text(SIGN_OUT, "text/plain", "x"),
        Case::text(SIGN_OUT, FORM, "a=b"),
        Case::post(SIGN_OUT, &json!({})).with("cookie", cookie),
        Case::post(SIGN_OUT, &json!({}))
            .with("cookie", "a=b")
            .with("origin", "https://evil.example"),
        Case::post(SIGN_OUT, &json!({}))
            .with("cookie", forged)
            .with("origin", "{origin}"),
        Case::get("/api/auth/ok"),
        Case::get("/api/auth/ok").method(Method::POST),
        Case::get("/api/auth/ok/"),
        Case::get("/api/auth/nothing"),
    ]
}

/// What a client of theirs may look at is the same: status, body, cookies with their attributes.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_the_same_to_the_letter() {
    let Some(dir) = server_dir() else { return };
    let (older, system, cookie) = switched(&dir, CURRENT, &[]).await;
    let ours = Side::of(&system);
    let mut differing = Vec::new();
    for case in cases(&cookie) {
        let (mut theirs, ours) = (case.at(&older.side).await, case.at(&ours).await);
        // Where theirs says nothing of caches, ours says that none may keep the answer.
        for part in theirs
            .iter_mut()
            .filter(|it| it.as_str() == "cache-control: -")
        {
            if ours.contains(&"cache-control: no-store".to_owned()) {
                "cache-control: no-store".clone_into(part);
            }
        }
        if theirs != ours {
            let Case {
                method,
                path,
                headers,
                body,
            } = case;
            differing.push(format!(
                "{method} {path} {headers:?} {body}\n  theirs {theirs:?}\n  ours   {ours:?}"
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
