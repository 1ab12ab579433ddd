//! The pages, as a browser without JavaScript uses them.

use reqwest::{RequestBuilder, StatusCode};
use uuid::Uuid;

use crate::{
    org::{ADMIN, NO_ADMIN, PASSWORD, REFUSED, SLOW},
    world::{Answer, Away, SITE, World, report_of},
};

const ACME: Uuid = Uuid::from_u128(0xac);
const ATTACK: &str = "<img src=x onerror=alert(1)>";

async fn page(world: &World, cookie: &str, path: &str) -> Answer {
    Answer::of(world.get(path).header("cookie", cookie)).await
}

fn submit(world: &World, cookie: &str, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
    world
        .post(path)
        .header("cookie", cookie)
        .header("origin", SITE)
        .form(form)
}

fn terms<'a>(email: &'a str, trial_days: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("admin_email", email),
        ("deployment_type", "on-premise"),
        ("plan_type", "managed-cloud"),
        ("trial_days", trial_days),
    ]
}

#[tokio::test]
async fn an_admin_signs_in_looks_links_and_signs_out() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.report(&report_of(ACME)).await;

    let answer = Answer::of(world.get("/")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/sign-in");
    let form = Answer::of(world.get("/sign-in")).await;
    assert!(form.text.contains("name=\"password\""));

    let credentials = [
        ("email", ADMIN),
        ("password", PASSWORD),
        ("remember", "yes"),
    ];
    let request = world
        .post("/sign-in")
        .header("origin", SITE)
        .form(&credentials);
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/");
    let cookie = answer.cookies[0].split(';').next().unwrap();

    let index = page(&world, cookie, "/").await;
    assert_eq!(index.status, StatusCode::OK);
    for shown in ["Acme Corp", "acme.vaultai.eu", ">45<", "2024-11-01", ADMIN] {
        assert!(index.text.contains(shown), "{shown}: {}", index.text);
    }
    let link = format!("/organizations/{ACME}/link");
    assert!(index.text.contains(&link));
    let form = page(&world, cookie, &link).await;
    assert!(form.text.contains("name=\"trial_days\""));

    let answer = Answer::of(submit(
        &world,
        cookie,
        &link,
        &terms("billing@acme.com", "4"),
    ))
    .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let index = page(&world, cookie, answer.header("location")).await;
    for shown in ["The organization is linked to Stripe.", "Trial", "Managed"] {
        assert!(index.text.contains(shown), "{shown}: {}", index.text);
    }
    assert!(!index.text.contains(&link), "nothing is left to link");

    let one = page(&world, cookie, &format!("/organizations/{ACME}")).await;
    for shown in [
        "cus_NEW123",
        "billing@acme.com",
        "Waiting",
        "2024-11-03 03:00 UTC",
    ] {
        assert!(one.text.contains(shown), "{shown}: {}", one.text);
    }

    let answer = Answer::of(submit(&world, cookie, "/sign-out", &[])).await;
    assert_eq!(answer.header("location"), "/sign-in");
    assert!(answer.cookies[0].contains("session_token=; Max-Age=0"));
    let answer = page(&world, cookie, "/").await;
    assert_eq!(answer.header("location"), "/sign-in");
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_form() {
    let world = World::new().await;
    for (email, password, status, told) in [
        (ADMIN, "wrong", StatusCode::UNAUTHORIZED, "is wrong"),
        ("nope", "x", StatusCode::BAD_REQUEST, "Invalid email"),
    ] {
        let form = [("email", email), ("password", password)];
        let request = world.post("/sign-in").header("origin", SITE).form(&form);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status);
        assert!(answer.text.contains(told), "{}", answer.text);
        assert!(answer.text.contains(&format!("value=\"{email}\"")));
        assert!(answer.cookies.is_empty());
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_link_stands_in_the_form() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let link = format!("/organizations/{ACME}/link");
    let answer = Answer::of(submit(&world, &admin, &link, &terms("nope", "4.5"))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for shown in [
        "value=\"nope\"",
        "value=\"4.5\"",
        "It must be an e-mail address",
        "It must be an integer",
        "Some of this needs another look.",
        "<option value=\"on-premise\" selected>",
    ] {
        assert!(answer.text.contains(shown), "{shown}: {}", answer.text);
    }
    let answer = Answer::of(submit(&world, &admin, &link, &terms(REFUSED, "4"))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("No such tax region."));
    let answer = Answer::of(submit(&world, &admin, &link, &terms(SLOW, "4"))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let index = page(&world, &admin, answer.header("location")).await;
    assert!(index.text.contains("The link goes on in the background."));
    assert!(index.text.contains("Linking…"));
    let form = page(&world, &admin, &link).await;
    assert_eq!(form.header("location"), format!("/organizations/{ACME}"));
}

#[tokio::test]
async fn names_from_strangers_are_escaped_everywhere() {
    let world = World::new().await;
    world.org.add(ACME, ATTACK);
    world.org.change(ACME, |organization| {
        organization.instance_url = ATTACK.to_owned();
        organization.reported_name = ATTACK.to_owned();
        organization.billing_problem = ATTACK.to_owned();
    });
    let admin = world.admin().await;
    for path in [
        "/".to_owned(),
        "/?q=%3Cimg".to_owned(),
        format!("/organizations/{ACME}"),
        format!("/organizations/{ACME}/link"),
    ] {
        let answer = page(&world, &admin, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.text.contains("<img"), "{path}: {}", answer.text);
        assert!(answer.text.contains("&#60;img"), "{path}");
    }
}

#[tokio::test]
async fn pages_let_a_browser_run_nothing_and_keep_nothing() {
    let world = World::new().await;
    let admin = world.admin().await;
    for path in ["/", "/sign-in"] {
        let answer = page(&world, &admin, path).await;
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.text.contains("<script") && !answer.text.contains("style=\""));
    }
    let style = Answer::of(world.get("/assets/style.css")).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(style.header("cache-control"), "public, max-age=3600");
}

#[tokio::test]
async fn a_user_who_is_no_admin_is_told_so() {
    let world = World::new().await;
    let user = world.sign_in(NO_ADMIN).await;
    let answer = page(&world, &user, "/").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("not an admin"));
    assert!(answer.text.contains("action=\"/sign-out\""));
}

#[tokio::test]
async fn forms_of_other_sites_are_not_believed() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    let link = format!("/organizations/{ACME}/link");
    for path in ["/sign-in", "/sign-out", &link] {
        let request = world.post(path).header("cookie", &admin);
        let request = request.header("origin", "https://evil.example");
        let answer = Answer::of(request.form(&terms("a@b.de", "0"))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.cookies.is_empty());
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    assert_eq!(world.org.sessions().len(), 1);
}

#[tokio::test]
async fn without_ingest_svc_the_organizations_are_still_shown() {
    let world = World::without(Away::Ingest).await;
    world.org.add(ACME, "Acme Corp");
    let admin = world.admin().await;
    for path in ["/".to_owned(), format!("/organizations/{ACME}")] {
        let answer = page(&world, &admin, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.text.contains("Acme Corp"));
        assert!(answer.text.contains("cannot be shown now"));
    }
}

#[tokio::test]
async fn without_org_svc_there_is_a_page_that_says_so() {
    let world = World::without(Away::Org).await;
    let request = world.post("/sign-in").header("origin", SITE);
    let form = [("email", ADMIN), ("password", PASSWORD)];
    let answer = Answer::of(request.form(&form)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.text.contains("cannot be reached now"),
        "{}",
        answer.text
    );
}
