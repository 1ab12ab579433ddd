//! The document of REST, the page made of it, and what both promise.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    org::ADMIN,
    world::{Answer, World},
};

const ACME: Uuid = Uuid::from_u128(0xac);
const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

async fn document(world: &World) -> Value {
    let answer = Answer::of(world.get("/api/openapi.json")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

#[tokio::test]
async fn each_path_has_the_methods_that_are_documented_and_no_others() {
    let world = World::new().await;
    let document = document(&world).await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10, "{}", paths.len());
    for (path, item) in paths {
        let concrete = path.replace("{id}", &ACME.to_string());
        for method in METHODS {
            let answer = Answer::of(world.request(method.clone(), &concrete)).await;
            let operation = &item[method.as_str().to_lowercase()];
            let status = answer.status.as_str();
            if operation.is_null() {
                let expected = if path.starts_with("/api/auth/") {
                    "404"
                } else {
                    "405"
                };
                assert_eq!(status, expected, "{method} {path}");
            } else {
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.contains_key(status), "{method} {path}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_but_itself() {
    let world = World::new().await;
    let page = Answer::of(world.get("/docs")).await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';"),
        "{policy}"
    );
    assert!(page.text.contains("/api/usage-report"));
    assert!(!page.text.contains("<script"));
    let style = Answer::of(world.get("/docs/style.css")).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
}

/// A script has no page that it comes from: its token is its own, and no browser sends it by itself.
#[tokio::test]
async fn a_bearer_token_needs_no_origin_and_a_cookie_does() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let cookie = world.sign_in(ADMIN).await;
    let token = world.org.sessions()[0].token.clone();
    let path = format!("/api/admin/organizations/{ACME}/link");
    let terms = json!({
        "admin_email": "billing@acme.com", "deployment_type": "on-premise",
        "plan_type": "managed-cloud", "trial_days": 4,
    });
    let elsewhere = || {
        let request = world.post(&path).json(&terms);
        request.header("origin", "https://elsewhere.example")
    };
    let by_cookie = Answer::of(elsewhere().header("cookie", &cookie)).await;
    assert_eq!(by_cookie.error().0, "origin_not_trusted");
    // The cookie does not help a token that is wrong.
    let wrong = elsewhere().header("cookie", &cookie).bearer_auth("nope");
    assert_eq!(Answer::of(wrong).await.status, StatusCode::UNAUTHORIZED);
    let by_token = Answer::of(elsewhere().bearer_auth(&token)).await;
    assert_eq!(by_token.status, StatusCode::OK, "{}", by_token.text);
    let list = world.get("/api/admin/organizations").bearer_auth(&token);
    assert_eq!(Answer::of(list).await.status, StatusCode::OK);
}
