//! Who did what, found and read in a browser; and the keys by which scripts do it.

use billing_e2e::{
    ADMIN_EMAIL, System,
    actors::{Admin, http, linked_instance},
};
use reqwest::StatusCode;

use crate::{
    browser::{Browser, SEND},
    chromium::{ENGLISH, in_browser},
};

/// The rows of the trail that is shown, as it says them.
async fn changes(browser: &Browser) -> Vec<String> {
    browser.texts("#results tbody tr").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_found_in_the_audit_trail_with_who_and_from_where() {
    in_browser(ENGLISH, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        let (instance, _) = linked_instance(system, &admin).await;
        browser.sign_in().await;
        let page = format!("/organizations/{}", instance.organization);
        browser.open(&format!("{page}/subscription")).await;
        browser.choose("#plan_type", "self-hosted").await;
        browser.click(SEND).await;
        browser.see_text(".notice", "The change is done.").await;

        browser.click("nav.menu a[href='/audit']").await;
        browser.see_text("h1", "Who changed what").await;
        browser
            .see_text("#results tbody", "Subscription changed")
            .await;
        let all = changes(browser).await.len();
        browser.choose("#action", "subscription.updated").await;
        browser.type_into("#actor", ADMIN_EMAIL).await;
        browser.click("form.filters button").await;
        browser.see("#results footer a[href='/audit']").await;
        let found = changes(browser).await;
        assert!(found.len() < all, "{found:?} of {all}");
        for part in [
            "Acme Corp",
            ADMIN_EMAIL,
            "127.0.0.1",
            "managed-cloud",
            "self-hosted",
        ] {
            assert!(
                found.iter().any(|row| row.contains(part)),
                "{part} in {found:?}"
            );
        }
        browser.click("#results td.name a").await;
        browser.arrives(&page).await;
        browser.see_text("main", "Latest changes").await;
    })
    .await;
}

async fn answers_to(system: &System, key: &str) -> StatusCode {
    let url = format!("{}/api/admin/organizations", system.base_url());
    let request = http().get(url).bearer_auth(key);
    request.send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_revoked_after_a_second_question() {
    in_browser(ENGLISH, async |system, browser| {
        browser.sign_in().await;
        browser.click("details.account summary").await;
        browser.click("details.account a[href='/keys']").await;
        make_key(browser).await;
        let key = browser.see("textarea#secret").await.prop("value").await;
        let key = key.unwrap().unwrap();
        assert_eq!(answers_to(system, &key).await, StatusCode::OK);
        browser.open("/keys").await;
        browser.see_text("td.name", "nightly").await;
        assert!(!browser.client.source().await.unwrap().contains(&key));

        browser.click("td.action a").await;
        browser.see_text("main", "This cannot be undone.").await;
        assert_eq!(answers_to(system, &key).await, StatusCode::OK);
        browser.click(SEND).await;
        browser.see_text(".notice", "The key is revoked.").await;
        assert_eq!(answers_to(system, &key).await, StatusCode::UNAUTHORIZED);
    })
    .await;
}

/// On the page of the keys.
pub(crate) async fn make_key(browser: &Browser) {
    browser.type_into("#name", "nightly").await;
    browser.click("form.in-line button").await;
}
