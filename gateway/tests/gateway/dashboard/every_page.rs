//! What holds of every page: its language, its policy, strangers' names, and what it says when a part is away.

use billing_proto::common::v1::SubscriptionStatus;
use reqwest::{Method, StatusCode};
use uuid::Uuid;

use super::{ACME, Browser, shows};
use crate::{
    org::{ADMIN, PASSWORD},
    world::{Answer, Away, World},
};

const BETA: Uuid = Uuid::from_u128(0xbe);
const ATTACK: &str = "<img src=x onerror=alert(1)>";
const FORMULA: &str = "=HYPERLINK(\"http://x\")";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A name that would be a script in a page, and one that would be a formula in a spreadsheet, do
/// nothing anywhere.
#[tokio::test]
async fn names_from_strangers_do_nothing_anywhere() {
    let world = World::new().await;
    for (id, linked) in [(ACME, false), (BETA, true)] {
        world.org.add(id, ATTACK);
        world.org.change(id, |organization| {
            organization.instance_url = FORMULA.to_owned();
            organization.reported_name = ATTACK.to_owned();
            organization.billing_problem = ATTACK.to_owned();
            if linked {
                organization.stripe_customer_id = "cus_1".to_owned();
                organization.subscription_status = SubscriptionStatus::Canceled.into();
                organization.admin_email = FORMULA.to_owned();
            }
        });
    }
    let mut browser = Browser::of(&world, ADMIN).await;
    for language in ["en", "fr"] {
        browser.keep(&[format!("billing.language={language}")]);
        for path in [
            "/".to_owned(),
            "/pending?q=%3Cimg".to_owned(),
            "/billed?q=%3Cimg".to_owned(),
            format!("/organizations/{ACME}"),
            format!("/organizations/{BETA}"),
            format!("/organizations/{ACME}/link"),
            format!("/organizations/{BETA}/unlink"),
        ] {
            let answer = browser.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert!(!answer.text.contains("<img"), "{path}: {}", answer.text);
            assert!(answer.text.contains("&#60;img"), "{path}");
            assert_eq!(answer.header("content-security-policy"), POLICY);
        }
        for path in ["/pending.csv", "/billed.csv"] {
            let file = browser.get(path).await;
            assert_eq!(file.status, StatusCode::OK, "{path}");
            assert_eq!(file.header("x-content-type-options"), "nosniff");
            shows(&file, &["\"'=HYPERLINK(\"\"http://x\"\")\""]);
            assert!(
                !file.text.contains(&format!("\"{FORMULA}")),
                "{}",
                file.text
            );
        }
    }
}

#[tokio::test]
async fn language_and_colours_are_chosen_and_stay() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let request = browser.request(Method::GET, "/sign-in");
    let answer = Answer::of(request.header("accept-language", "fr-CH, en;q=0.5")).await;
    shows(&answer, &["<html lang=\"fr\"", "Se connecter"]);
    let page = browser.get("/sign-in").await;
    shows(&page, &["<html lang=\"en\"", "Sign in"]);

    let choice = [("language", "fr"), ("return_to", "/sign-in?next=%2Fbilled")];
    let answer = browser.submit("/sign-in", "/preferences", &choice).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(answer.header("location"), "/sign-in?next=%2Fbilled");
    assert_eq!(
        answer.cookies,
        ["billing.language=fr; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax"]
    );
    let choice = [("theme", "dark"), ("return_to", "//evil.example")];
    let answer = browser.submit("/sign-in", "/preferences", &choice).await;
    assert_eq!(answer.header("location"), "/");
    let page = browser.get("/sign-in").await;
    shows(
        &page,
        &["<html lang=\"fr\" data-theme=\"dark\"", "Mot de passe"],
    );

    world.org.add(ACME, "Acme Corp");
    browser.keep(&[world.admin().await, "billing.zone=Europe/Paris".to_owned()]);
    world.org.change(ACME, |organization| {
        organization.create_time = Some(crate::org::time(1_730_417_400));
    });
    let index = browser.get("/").await;
    shows(
        &index,
        &[
            "Organisations en attente de liaison",
            "Organisations facturées",
            // The first of November in Paris is still October in UTC.
            "title=\"2024-10-31 23:30:00 UTC\">01/11/2024</time>",
            "Lier",
        ],
    );
}

#[tokio::test]
async fn pages_let_a_browser_run_our_script_alone_and_keep_nothing() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, ADMIN).await;
    for path in [
        "/",
        "/sign-in",
        "/pending",
        "/billed?sort=status",
        "/reconciliation",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-security-policy"), POLICY);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.text.matches("<script").count(), 1);
        assert!(answer.text.contains("<script src=\"/assets/app.js?v="));
        assert!(!answer.text.contains("style=\"") && !answer.text.contains(" onclick"));
    }
    for (path, kind) in [
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let file = Answer::of(world.get(path)).await;
        assert_eq!(file.header("content-type"), kind);
        assert!(file.header("cache-control").contains("immutable"));
    }
    let nothing = Answer::of(world.get("/assets/secret")).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_org_svc_there_is_a_page_that_says_so() {
    let world = World::without(Away::Org).await;
    let mut browser = Browser::new(&world);
    let form = [("email", ADMIN), ("password", PASSWORD)];
    let answer = browser.submit("/sign-in", "/sign-in", &form).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    shows(&answer, &["cannot be reached now"]);
}

#[tokio::test]
async fn a_path_that_there_is_none_of_is_a_page_to_a_browser_and_json_to_a_program() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.keep(&["billing.language=fr".to_owned()]);
    let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (method, path, status) in [
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND),
        (Method::PUT, "/billed", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = browser.request(method.clone(), path);
        let page = Answer::of(request.header("accept", accept)).await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("content-security-policy"), POLICY);
        let request_id = page.header("x-request-id");
        shows(&page, &["<html lang=\"fr\"", "Introuvable", request_id]);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert!(page.header("allow").contains("GET"));
        }
        let answer = Answer::of(browser.request(method, path)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.error().0, "not_found");
    }
    // What programs ask for is answered as to programs, whoever asks.
    for path in ["/api/nowhere", "/api/admin/organizations"] {
        let request = browser.request(Method::GET, path);
        let answer = Answer::of(request.header("accept", accept)).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
    }
}
