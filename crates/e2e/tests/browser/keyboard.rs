//! With the keyboard alone, and always seeing where one is.

use billing_e2e::{ADMIN_EMAIL, ADMIN_PASSWORD};
use fantoccini::{
    actions::{InputSource, KeyAction, KeyActions},
    key::Key,
};

use crate::{
    browser::Browser,
    chromium::{ENGLISH, in_browser},
    links::reported,
};

/// More than any page has, up to what is looked for.
const STOPS_MAX: usize = 40;
/// Whether what has the focus shows it: by an outline, and within the window.
const SHOWS_FOCUS: &str = "const focused = document.activeElement;
    const style = getComputedStyle(focused);
    const place = focused.getBoundingClientRect();
    const seen = place.width > 0 && place.bottom > 0 && place.top < innerHeight;
    return seen && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;";

/// Presses a key.
async fn press(browser: &Browser, key: Key) {
    let value = char::from(key);
    let keys = KeyActions::new("keyboard".to_owned())
        .then(KeyAction::Down { value })
        .then(KeyAction::Up { value });
    browser.client.perform_actions(keys).await.unwrap();
}

/// Types into whatever has the focus.
async fn type_text(browser: &Browser, text: &str) {
    let active = browser.client.active_element().await.unwrap();
    active.send_keys(text).await.unwrap();
}

/// Goes on from stop to stop, each of which shows itself, to an element.
async fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..STOPS_MAX {
        press(browser, Key::Tab).await;
        let stop = browser
            .script("return document.activeElement.outerHTML;")
            .await;
        assert_eq!(
            browser.script(SHOWS_FOCUS).await,
            true,
            "{stop} does not show itself"
        );
        let is_it = format!("return document.activeElement.matches(\"{css}\");");
        if browser.script(&is_it).await == true {
            return;
        }
    }
    panic!("no way to {css} by the tabulator key");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_signs_in_and_links() {
    in_browser(ENGLISH, async |system, browser| {
        let instance = reported(system, "Acme Corp").await;
        browser.open("/").await;
        browser.arrives("/sign-in").await;
        // The first field has the focus already.
        type_text(browser, ADMIN_EMAIL).await;
        tab_to(browser, "#password").await;
        type_text(browser, ADMIN_PASSWORD).await;
        press(browser, Key::Enter).await;
        browser.arrives("/").await;

        // The first stop leads past the menu.
        tab_to(browser, "a.skip").await;
        press(browser, Key::Enter).await;
        let link = format!("a[href='/organizations/{}/link']", instance.organization);
        tab_to(browser, &link).await;
        press(browser, Key::Enter).await;
        browser.see("#admin_email").await;
        tab_to(browser, "#admin_email").await;
        type_text(browser, "billing@acme.example").await;
        tab_to(browser, "#deployment_type").await;
        type_text(browser, "On").await;
        tab_to(browser, "#plan_type").await;
        type_text(browser, "Managed").await;
        tab_to(browser, "#trial_days").await;
        type_text(browser, "4").await;
        tab_to(browser, "main .buttons button").await;
        press(browser, Key::Enter).await;
        browser.see("button[name=confirm]").await;
        tab_to(browser, "button[name=confirm]").await;
        press(browser, Key::Space).await;
        browser
            .see_text(".notice", "The organization is linked to Stripe.")
            .await;
        let customers = system.stripe.ledger().customers;
        assert_eq!(customers.len(), 1, "{customers:?}");
    })
    .await;
}

/// The menu of the account opens, closes and gives the focus back.
#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_changes_the_colours() {
    in_browser(ENGLISH, async |_, browser| {
        browser.sign_in().await;
        tab_to(browser, "details.account summary").await;
        press(browser, Key::Enter).await;
        tab_to(browser, "button[value=auto]").await;
        press(browser, Key::Escape).await;
        let focused =
            "return document.activeElement.matches('details.account:not([open]) summary');";
        assert_eq!(browser.script(focused).await, true);
        press(browser, Key::Enter).await;
        tab_to(browser, "button[value=dark]").await;
        press(browser, Key::Enter).await;
        browser.see("html[data-theme=dark]").await;
    })
    .await;
}
