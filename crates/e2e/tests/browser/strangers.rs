//! Whoever reports chooses its name: it is shown as it is and does nothing, on any page.

use billing_e2e::actors::{Admin, terms};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    browser::{Browser, SEND},
    chromium::{ENGLISH, in_browser},
    links::{fill_terms, reported},
};

const SCRIPT: &str = "<img src=x onerror=alert(1)>";
const FORMULA: &str = "=HYPERLINK(\"http://x\")";

/// A page shows the name, and made nothing of it.
async fn harmless(browser: &Browser, name: &str) {
    browser.see_text("main", name).await;
    let made = "return document.querySelectorAll('img, [onerror], a[href^=\"http://x\"]').length;";
    assert_eq!(
        browser.script(made).await,
        0,
        "{} {name}",
        browser.path().await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_of_strangers_do_nothing_on_any_page() {
    in_browser(ENGLISH, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        browser.sign_in().await;
        for (name, search) in [(SCRIPT, "onerror"), (FORMULA, "hyperlink")] {
            let instance = reported(system, name).await;
            let page = format!("/organizations/{}", instance.organization);
            for page in [
                "/",
                "/pending",
                &format!("/pending?q={search}"),
                &page,
                &format!("{page}/link"),
            ] {
                browser.open(page).await;
                harmless(browser, name).await;
            }
            fill_terms(browser).await;
            browser.click(SEND).await;
            browser.see("button[name=confirm]").await;
            harmless(browser, name).await;

            let linked = admin.link(instance.organization, &terms()).await;
            assert_eq!(linked.status, StatusCode::OK, "{:?}", linked.json);
            for below in ["", "/subscription", "/cancel", "/invoices"] {
                browser.open(&format!("{page}{below}")).await;
                harmless(browser, name).await;
            }
            for page in ["/billed", "/audit"] {
                browser.open(page).await;
                harmless(browser, name).await;
            }
            let now = json!({ "mode": "now" });
            let path = format!("/api/admin/organizations/{}/cancel", instance.organization);
            let canceled = admin.post(&path, &now).await;
            assert!(canceled.status.is_success(), "{:?}", canceled.json);
            billing_harness::eventually("the subscription has ended", async || {
                let row = admin.listed("linked", instance.organization).await?;
                (row["status"] == "canceled" || row["subscription_status"] == "canceled")
                    .then_some(())
            })
            .await;
            browser.open(&format!("{page}/unlink")).await;
            harmless(browser, name).await;
        }
        for file in ["/pending.csv", "/billed.csv", "/audit.csv"] {
            let script = format!("return fetch('{file}').then((answer) => answer.text());");
            let csv = browser.script(&script).await;
            let csv = csv.as_str().unwrap();
            // A spreadsheet takes what begins with an apostrophe for a text.
            assert!(
                !csv.contains("\n=") && !csv.contains(",=") && !csv.contains(",\"="),
                "{csv}"
            );
            if file == "/billed.csv" {
                assert!(csv.contains("\"'=HYPERLINK("), "{csv}");
            }
        }
    })
    .await;
}
