//! Signing in and out, and the watch that all tests keep.

use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD};

use crate::{
    browser::SEND,
    chromium::{ENGLISH, in_browser},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_the_right_one_leads_on() {
    in_browser(ENGLISH, async |_, browser| {
        browser.open("/billed?status=active").await;
        browser.arrives("/sign-in").await;
        browser.type_into("#email", ADMIN_EMAIL).await;
        browser.type_into("#password", "wrong horse").await;
        browser.click(SEND).await;
        let wrong = "The e-mail address or the password is wrong.";
        browser.see_text("[role=alert]", wrong).await;
        let email = browser.see("#email").await.prop("value").await.unwrap();
        assert_eq!(email.as_deref(), Some(ADMIN_EMAIL), "it is kept");

        browser.type_into("#password", ADMIN_PASSWORD).await;
        browser.click(SEND).await;
        browser.arrives("/billed").await;
        let chosen = browser.see("#status").await.prop("value").await.unwrap();
        assert_eq!(chosen.as_deref(), Some("active"), "where one wanted to go");

        browser.click("details.account summary").await;
        browser.click("#sign-out button").await;
        browser.arrives("/sign-in").await;
        browser.open("/").await;
        browser.arrives("/sign-in").await;
    })
    .await;
}

/// Were the watch blind, no test here would prove what strangers cannot do.
#[tokio::test(flavor = "multi_thread")]
async fn the_watch_sees_what_pages_may_not_do() {
    in_browser(ENGLISH, async |_, browser| {
        browser.open("/sign-in").await;
        browser.assert_nothing_amiss().await;
        let inline = "const made = document.createElement('p');
            made.innerHTML = '<img src=x onerror=alert(1)>';
            document.body.append(made);
            return new Promise((done) => setTimeout(done, 0));";
        browser.script(inline).await;
        assert_amiss(browser, "Content Security Policy").await;
        browser
            .client
            .goto("http://elsewhere.example/")
            .await
            .unwrap_err();
        assert_amiss(browser, "asked for http://elsewhere.example/").await;
    })
    .await;
}

async fn assert_amiss(browser: &crate::browser::Browser, what: &str) {
    billing_harness::eventually(&format!("the watch says {what}"), async || {
        let amiss = browser.amiss().await.join("\n");
        amiss.contains(what).then_some(())
    })
    .await;
}
