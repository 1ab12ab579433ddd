//! Language and colours: the browser's first, then what was chosen.

use serde_json::Value;

use crate::{
    browser::Browser,
    chromium::{ENGLISH, FRENCH, in_browser},
};

const ALL_FRENCH: &str = "html[lang=fr]";
const ALL_ENGLISH: &str = "html[lang=en]";
const PAGES: [&str; 4] = ["/", "/pending", "/billed", "/reconciliation"];

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_the_browsers_until_one_is_chosen() {
    in_browser(FRENCH, async |_, browser| {
        browser.sign_in().await;
        browser.see(ALL_FRENCH).await;
        browser.see_text("h1", "Vue d’ensemble").await;
        browser.open("/billed?status=active").await;
        browser.click("button[name=language][value=en]").await;
        browser.see_text("h1", "Billed organizations").await;
        let address = browser.client.current_url().await.unwrap();
        assert_eq!(address.query(), Some("status=active"), "the same page");
        for page in PAGES {
            browser.open(page).await;
            browser.see(ALL_ENGLISH).await;
            let pressed = browser
                .texts("button[name=language][aria-pressed=true]")
                .await;
            assert_eq!(pressed, ["EN"]);
        }
        browser.click("button[name=language][value=fr]").await;
        // The same page in its place: its address tells nothing.
        browser.see(ALL_FRENCH).await;
        assert_eq!(browser.path().await, "/reconciliation");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn light_and_dark_are_chosen_and_stay() {
    in_browser(ENGLISH, async |_, browser| {
        browser.sign_in().await;
        for (theme, is_dark) in [("dark", true), ("light", false)] {
            browser.click("details.account summary").await;
            browser
                .click(&format!("button[name=theme][value={theme}]"))
                .await;
            browser.see(&format!("html[data-theme={theme}]")).await;
            for page in PAGES {
                browser.open(page).await;
                assert_eq!(is_page_dark(browser).await, is_dark, "{page} {theme}");
            }
        }
    })
    .await;
}

/// Whether the page is drawn light on dark.
async fn is_page_dark(browser: &Browser) -> Value {
    let script = "const sum = (color) => color.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0);
        const style = getComputedStyle(document.body);
        return sum(style.backgroundColor) < sum(style.color);";
    browser.script(script).await
}
