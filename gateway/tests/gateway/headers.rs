//! What every answer says of itself: one request of each class of routes.

use reqwest::{Method, StatusCode};
use uuid::Uuid;

use crate::{
    org::ADMIN,
    world::{Answer, Away, SITE, World, report_of},
};

const HTTPS_SITE: &str = "https://billing.test";

/// An answer of each class, by a name; whether it is the same for everybody.
async fn answers(world: &World) -> Vec<(&'static str, Answer, bool)> {
    let cookie = world.sign_in(ADMIN).await;
    let get = async |path: &str, cookie: Option<&str>| {
        let request = world.get(path);
        let request = match cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        Answer::of(request).await
    };
    let me = Some(cookie.as_str());
    let page = get("/sign-in", None).await;
    let asset = page.text.split("href=\"/assets/").nth(1).unwrap();
    let asset = format!("/assets/{}", asset.split('"').next().unwrap());
    let call = world
        .post("/billing.admin.v1.AdminService/ListOrganizations")
        .header("content-type", "application/grpc-web+proto")
        .body(vec![0; 5]);
    let sign_in = world
        .post("/api/auth/sign-in/email")
        .header("origin", SITE)
        .body("{}");
    let report = report_of(Uuid::from_u128(1));
    let not_allowed = world.request(Method::DELETE, "/api/usage-report");
    vec![
        ("a report", world.report(&report).await, false),
        (
            "without a token",
            Answer::of(world.post("/api/usage-report")).await,
            false,
        ),
        (
            "a webhook",
            Answer::of(world.post("/api/webhooks/stripe")).await,
            false,
        ),
        ("a session", get("/api/auth/get-session", me).await, false),
        ("a sign-in", Answer::of(sign_in).await, false),
        (
            "for an admin",
            get("/api/admin/organizations", me).await,
            false,
        ),
        (
            "for nobody",
            get("/api/admin/organizations", None).await,
            false,
        ),
        ("a page", get("/pending", me).await, false),
        ("a page for nobody", get("/pending", None).await, false),
        ("a form", page, false),
        ("a file", get("/pending.csv", me).await, false),
        ("no such path", get("/api/nothing", None).await, false),
        ("no such page", get("/nothing", me).await, false),
        ("another method", Answer::of(not_allowed).await, false),
        ("a path that is no text", get("/%ff", None).await, false),
        ("gRPC-Web", Answer::of(call).await, false),
        ("health", get("/healthz", None).await, false),
        ("an asset", get(&asset, None).await, true),
        ("the reference", get("/docs", None).await, true),
    ]
}

#[tokio::test]
async fn every_answer_is_typed_and_kept_by_nobody_whom_it_is_not_for() {
    let world = World::new().await;
    for (name, answer, is_public) in answers(&world).await {
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{name}");
        let cached = answer.header("cache-control");
        let is_kept = cached.starts_with("public");
        assert_eq!(is_kept, is_public, "{name}: {cached}");
        assert!(is_public || cached.contains("no-store"), "{name}: {cached}");
        let hsts = answer.headers.get("strict-transport-security");
        assert_eq!(hsts, None, "{name}");
    }
}

#[tokio::test]
async fn behind_https_every_answer_says_to_stay_there() {
    let world = World::start(&[("BETTER_AUTH_URL", HTTPS_SITE)], Away::Nothing).await;
    for path in [
        "/sign-in",
        "/api/admin/organizations",
        "/api/nothing",
        "/healthz",
    ] {
        let answer = Answer::of(world.get(path)).await;
        let hsts = answer.header("strict-transport-security");
        assert_eq!(hsts, "max-age=31536000", "{path}");
    }
    let report = world.report(&report_of(Uuid::from_u128(1))).await;
    assert_eq!(report.status, StatusCode::OK);
    assert!(!report.header("strict-transport-security").is_empty());
}
