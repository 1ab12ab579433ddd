//! Who is let in, and whose forms are believed.

use reqwest::{Method, StatusCode};

use super::{ACME, Browser, form_token, shows, terms};
use crate::{
    org::{ADMIN, NO_ADMIN, PASSWORD},
    world::{Answer, World, report_of},
};

#[tokio::test]
async fn an_admin_signs_in_looks_links_and_signs_out() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.report(&report_of(ACME)).await;
    let mut browser = Browser::new(&world);

    let answer = browser.get("/").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/sign-in");
    let credentials = [
        ("email", ADMIN),
        ("password", PASSWORD),
        ("remember", "yes"),
    ];
    let answer = browser.submit("/sign-in", "/sign-in", &credentials).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(answer.header("location"), "/");

    let index = browser.get("/").await;
    assert_eq!(index.status, StatusCode::OK);
    let link = format!("/organizations/{ACME}/link");
    shows(
        &index,
        &[
            "Acme Corp",
            "acme.vaultai.eu",
            ">45<",
            "2024-11-01",
            ADMIN,
            &link,
        ],
    );

    let form = terms("billing@acme.com", "4");
    let answer = browser.submit(&link, &link, &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let index = browser.get(answer.header("location")).await;
    shows(
        &index,
        &["The organization is linked to Stripe.", "Trial", "Managed"],
    );
    assert!(!index.text.contains(&link), "nothing is left to link");

    let one = browser.get(&format!("/organizations/{ACME}")).await;
    shows(
        &one,
        &[
            "cus_NEW123",
            "billing@acme.com",
            "Waiting",
            "2024-11-03 03:00 UTC",
        ],
    );

    let answer = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!(answer.header("location"), "/sign-in");
    assert!(answer.cookies[0].contains("session_token=; Max-Age=0"));
    let answer = browser.get("/").await;
    assert_eq!(answer.header("location"), "/sign-in");
}

#[tokio::test]
async fn whoever_has_to_sign_in_first_comes_back_to_where_they_were_going() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let answer = browser.get("/billed?q=a%26b&sort=name").await;
    let sign_in = answer.header("location").to_owned();
    assert_eq!(
        sign_in,
        "/sign-in?next=%2Fbilled%3Fq%3Da%2526b%26sort%3Dname"
    );
    let form = browser.get(&sign_in).await;
    shows(
        &form,
        &["name=\"next\" value=\"/billed?q=a%26b&#38;sort=name\""],
    );
    for (next, location) in [
        ("/billed?q=a%26b&sort=name", "/billed?q=a%26b&sort=name"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let credentials = [("email", ADMIN), ("password", PASSWORD), ("next", next)];
        let answer = Browser::new(&world)
            .submit("/sign-in", "/sign-in", &credentials)
            .await;
        assert_eq!(answer.header("location"), location, "{next}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_form() {
    let world = World::new().await;
    for (email, password, status, told) in [
        (ADMIN, "wrong", StatusCode::UNAUTHORIZED, "is wrong"),
        (
            "nope",
            "x",
            StatusCode::BAD_REQUEST,
            "not an e-mail address",
        ),
    ] {
        let form = [("email", email), ("password", password)];
        let mut browser = Browser::new(&world);
        let answer = browser.submit("/sign-in", "/sign-in", &form).await;
        assert_eq!(answer.status, status);
        shows(&answer, &[told, &format!("value=\"{email}\"")]);
        assert!(answer.cookies.is_empty());
    }
}

#[tokio::test]
async fn a_user_who_is_no_admin_is_told_so() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, NO_ADMIN).await;
    let answer = browser.get("/").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    shows(&answer, &["not an admin", "action=\"/sign-out\""]);
    let answer = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!(answer.header("location"), "/sign-in");
}

#[tokio::test]
async fn forms_of_other_sites_are_not_believed() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let link = format!("/organizations/{ACME}/link");
    let unlink = format!("/organizations/{ACME}/unlink");
    let page = browser.get("/").await;
    let token = form_token(&page.text);
    let mut form = terms("a@b.de", "0").to_vec();
    form.push(("form_token", token));
    let others = [
        "subscription",
        "cancel",
        "portal",
        "held/release",
        "held/discard",
    ];
    let others = others.map(|of| format!("/organizations/{ACME}/{of}"));
    let mut paths = vec!["/sign-in", "/sign-out", "/preferences", &link, &unlink];
    let revoke = format!("/keys/{ACME}/revoke");
    let dismiss = format!("/reconciliation/{ACME}/dismiss");
    paths.extend(["/keys", &revoke, &dismiss, "/webhooks/retry"]);
    paths.extend(others.iter().map(String::as_str));
    for path in paths {
        let request = browser.request(Method::POST, path);
        let request = request.header("origin", "https://evil.example");
        let answer = Answer::of(request.form(&form)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.cookies.is_empty());
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    assert_eq!(world.org.sessions().len(), 1);
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_browser_and_session() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let mut other = Browser::of(&world, ADMIN).await;
    let link = format!("/organizations/{ACME}/link");
    let page = other.get(&link).await;
    let others = form_token(&page.text).to_owned();
    let mut outside = Browser::new(&world);
    outside.cookies.clone_from(&browser.cookies);
    outside.cookies.retain(|name, _| !name.contains("session"));
    let before = outside.get("/sign-in").await;
    let before = form_token(&before.text).to_owned();
    browser.get("/").await;
    let words = terms("a@b.de", "0");
    for token in ["", "nonsense", &others, &before] {
        for path in ["/sign-out", "/preferences", "/keys", &link] {
            let mut form = words.to_vec();
            form.push(("form_token", token));
            let answer = browser.post(path, &form).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            shows(&answer, &["The form is out of date"]);
        }
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    assert_eq!(world.org.sessions().len(), 2);
    let answer = browser.submit(&link, &link, &words).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
}
