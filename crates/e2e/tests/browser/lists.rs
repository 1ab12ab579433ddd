//! The pages that follow: what comes appears, and what is typed is searched for.

use std::time::Duration;

use fantoccini::Locator;

use crate::{
    browser::Browser,
    chromium::{ENGLISH, in_browser},
    links::reported,
};

/// The overview looks again every 15 s.
const LOOKS_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// A mark that is gone once the page was loaded anew.
async fn mark(browser: &Browser) {
    browser.script("window.mark = 'here';").await;
}

async fn assert_marked(browser: &Browser) {
    let mark = browser.script("return window.mark;").await;
    assert_eq!(mark, "here", "the page was loaded anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_organization_appears_by_itself() {
    in_browser(ENGLISH, async |system, browser| {
        browser.sign_in().await;
        browser
            .see_text("main", "No organization is waiting.")
            .await;
        mark(browser).await;
        let instance = reported(system, "Acme Corp").await;
        let link = format!(
            "a.button[href='/organizations/{}/link']",
            instance.organization
        );
        let wait = browser.client.wait().at_most(LOOKS_AGAIN_WITHIN);
        wait.for_element(Locator::Css(&link)).await.unwrap();
        browser.see_text("td.name", "Acme Corp").await;
        // Who does not see the page is told.
        let told = browser.see("#news").await;
        assert_eq!(told.attr("role").await.unwrap().as_deref(), Some("status"));
        let told = told.prop("textContent").await.unwrap();
        assert_eq!(told.as_deref(), Some("1 organization is pending."));
        assert_marked(browser).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_follows_what_is_typed() {
    in_browser(ENGLISH, async |system, browser| {
        for name in ["Acme Corp", "Beta Works", "Gamma Works"] {
            reported(system, name).await;
        }
        browser.sign_in().await;
        browser.open("/pending").await;
        mark(browser).await;
        shown(browser, &["Gamma Works", "Beta Works", "Acme Corp"]).await;
        browser.type_into("#q", "wor").await;
        shown(browser, &["Gamma Works", "Beta Works"]).await;
        // The field that is typed in is left alone.
        let active = browser.client.active_element().await.unwrap();
        active.send_keys("ks beta").await.unwrap();
        browser.see_text("#results", "Nothing matches.").await;
        browser.see("#q").await.clear().await.unwrap();
        browser.type_into("#q", "beta").await;
        shown(browser, &["Beta Works"]).await;
        let address = browser.client.current_url().await.unwrap();
        assert_eq!(address.query(), Some("q=beta"), "it can be sent to others");
        browser.click("#results footer a[data-swap]").await;
        shown(browser, &["Gamma Works", "Beta Works", "Acme Corp"]).await;
        browser.click("th a").await;
        shown(browser, &["Acme Corp", "Beta Works", "Gamma Works"]).await;
        browser.client.back().await.unwrap();
        shown(browser, &["Gamma Works", "Beta Works", "Acme Corp"]).await;
        assert_marked(browser).await;
    })
    .await;
}

/// Waits until the table holds these, in this order.
async fn shown(browser: &Browser, names: &[&str]) {
    billing_harness::eventually(&format!("the list shows {names:?}"), async || {
        (browser.texts("td.name a").await == names).then_some(())
    })
    .await;
}
