//! From a report that nobody expected to an organization that is billed.

use std::time::Duration;

use billing_e2e::{
    STRIPE_KEY, System,
    actors::{Instance, http, now},
};
use chrono::TimeDelta;
use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use reqwest::StatusCode;
use serde_json::Value;
use stripe_sim::{Fault, FaultEffect};

use crate::{
    browser::{Browser, SEND},
    chromium::{ENGLISH, Visitor, WITHOUT_SCRIPT, in_browser},
};

/// What lies between the clicks of a double click.
const BETWEEN_CLICKS: Duration = Duration::from_millis(250);

/// An instance that reported once, an hour ago.
pub(crate) async fn reported(system: &System, name: &str) -> Instance {
    let id = billing_e2e::actors::new_organization();
    let instance = Instance::named(system, id, name);
    let answer = instance.report(45, now() - TimeDelta::hours(1)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    instance
}

pub(crate) async fn fill_terms(browser: &Browser) {
    browser
        .type_into("#admin_email", "billing@acme.example")
        .await;
    browser.choose("#deployment_type", "on-premise").await;
    browser.choose("#plan_type", "managed-cloud").await;
    browser.type_into("#trial_days", "4").await;
}

/// From the list to the last button before an organization is linked.
async fn preview(browser: &Browser) {
    browser.sign_in().await;
    browser.see_text("td.name", "Acme Corp").await;
    browser.click("td.action a.button").await;
    fill_terms(browser).await;
    browser.click(SEND).await;
    browser.see("button[name=confirm]").await;
}

async fn is_linked(system: &System, browser: &Browser) {
    browser
        .see_text(".notice", "The organization is linked to Stripe.")
        .await;
    assert_one_of_each(system);
}

fn assert_one_of_each(system: &System) {
    let ledger = system.stripe.ledger();
    assert_eq!(ledger.customers.len(), 1, "{:?}", ledger.customers);
    assert_eq!(ledger.subscriptions.len(), 1, "{:?}", ledger.subscriptions);
    let email = ledger.customers.first().and_then(|it| it.get("email"));
    assert_eq!(email.unwrap(), "billing@acme.example");
}

async fn an_organization_is_linked(visitor: Visitor) {
    in_browser(visitor, async |system, browser| {
        let instance = reported(system, "Acme Corp").await;
        preview(browser).await;
        let facts = browser.texts("dl.facts dd").await;
        assert!(
            facts.contains(&"billing@acme.example".to_owned()),
            "{facts:?}"
        );
        assert!(facts.contains(&"A new one".to_owned()), "{facts:?}");
        assert!(
            facts.iter().any(|it| it.contains("per user and day")),
            "{facts:?}"
        );
        let made = system.stripe.ledger();
        assert_eq!((made.customers.len(), made.subscriptions.len()), (0, 0));

        browser.click(SEND).await;
        is_linked(system, browser).await;
        browser.click(".notice a").await;
        let page = format!("/organizations/{}", instance.organization);
        browser.arrives(&page).await;
        browser.see_text(".headline .badge", "Trial").await;
        browser.see_text("dl.facts", "cus_").await;
        browser.open("/billed").await;
        browser.see_text("td.name", "Acme Corp").await;
        browser.open("/pending").await;
        browser
            .see_text("main", "No organization is waiting.")
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_linked_after_a_look_at_what_will_be_made() {
    an_organization_is_linked(ENGLISH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_is_linked_without_javascript() {
    an_organization_is_linked(WITHOUT_SCRIPT).await;
}

/// `sends`: how often the browser sends the form for it.
async fn a_double_click_links_once(visitor: Visitor, sends: usize) {
    in_browser(visitor, async |system, browser| {
        let instance = reported(system, "Acme Corp").await;
        preview(browser).await;
        let button = PointerAction::MoveToElement {
            element: browser.see(SEND).await,
            duration: None,
            x: 0.0,
            y: 0.0,
        };
        let (button_down, button_up) = (
            PointerAction::Down {
                button: MOUSE_BUTTON_LEFT,
            },
            PointerAction::Up {
                button: MOUSE_BUTTON_LEFT,
            },
        );
        let mouse = MouseActions::new("mouse".to_owned()).then(button);
        // Stripe takes longer than a finger, so that the page is still there for the second click.
        let slow = Fault::once("POST /v1/customers", FaultEffect::DelayMs(1_500));
        system.stripe.inject(slow).unwrap();
        let pause = PointerAction::Pause {
            duration: BETWEEN_CLICKS,
        };
        let twice = [&button_down, &button_up, &pause, &button_down, &button_up];
        let mouse = twice
            .into_iter()
            .fold(mouse, |mouse, it| mouse.then(it.clone()));
        browser.client.perform_actions(mouse).await.unwrap();
        is_linked(system, browser).await;
        let form = format!("/organizations/{}/link", instance.organization);
        let sent = browser.sent_count(&form).await - 1; // for the preview
        assert_eq!(sent, sends);

        // Nor do the ways back and the same page again link it a second time.
        browser.client.refresh().await.unwrap();
        browser.client.back().await.unwrap();
        browser.client.refresh().await.unwrap();
        browser.open("/").await;
        browser.see_text("td.name", "Acme Corp").await;
        assert_one_of_each(system);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_makes_one_customer() {
    a_double_click_links_once(ENGLISH, 1).await;
}

/// No script holds the second click back.
#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_makes_one_customer_without_javascript_too() {
    a_double_click_links_once(WITHOUT_SCRIPT, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_stripe_has_already_is_adopted_by_choice() {
    in_browser(ENGLISH, async |system, browser| {
        let made = http()
            .post(format!("{}/v1/customers", system.stripe.base_url()))
            .basic_auth(STRIPE_KEY, None::<&str>)
            .form(&[
                ("name", "<img src=x onerror=alert(1)>"),
                ("email", "billing@acme.example"),
            ]);
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let customer = made["id"].as_str().unwrap();
        let instance = reported(system, "Acme Corp").await;
        preview(browser).await;
        browser
            .see_text("fieldset.choices", "<img src=x onerror=alert(1)>")
            .await;
        let choice = format!("input[name=adopt_customer_id][value={customer}]");
        let is_chosen = browser.see(&choice).await.is_selected().await;
        assert!(
            !is_chosen.unwrap(),
            "nothing is adopted unless it is chosen"
        );
        browser.click(&choice).await;
        browser.click(SEND).await;
        is_linked(system, browser).await;
        browser
            .open(&format!("/organizations/{}", instance.organization))
            .await;
        browser.see_text("dl.facts", customer).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_terms_stands_at_its_field() {
    in_browser(ENGLISH, async |system, browser| {
        let instance = reported(system, "Acme Corp").await;
        browser.sign_in().await;
        browser
            .open(&format!("/organizations/{}/link", instance.organization))
            .await;
        fill_terms(browser).await;
        browser.type_into("#trial_days", ".5").await;
        browser.click(SEND).await;
        let problem = "It must be a whole number of days, 0 to 730.";
        browser.see_text("#trial_days-problem", problem).await;
        let described = browser.see("#trial_days").await;
        let described = described.attr("aria-describedby").await.unwrap();
        assert!(described.unwrap().contains("trial_days-problem"));
        let email = browser
            .see("#admin_email")
            .await
            .prop("value")
            .await
            .unwrap();
        assert_eq!(email.as_deref(), Some("billing@acme.example"), "it is kept");
        assert!(system.stripe.ledger().customers.is_empty());
    })
    .await;
}
