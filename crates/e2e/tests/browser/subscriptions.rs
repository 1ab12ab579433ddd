//! An organization that is billed: its page, a change of its plan, and its end.

use billing_e2e::{
    System,
    actors::{Admin, linked_instance},
};
use serde_json::Value;

use crate::{
    browser::{Browser, SEND},
    chromium::{ENGLISH, in_browser},
};

/// The one subscription in Stripe.
fn subscription(system: &System) -> Value {
    let subscriptions = system.stripe.ledger().subscriptions;
    assert_eq!(subscriptions.len(), 1, "{subscriptions:?}");
    subscriptions.into_iter().next().unwrap()
}

async fn facts(browser: &Browser) -> String {
    browser.texts("dl.facts").await.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organizations_page_shows_it_whole() {
    in_browser(ENGLISH, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        let (instance, _) = linked_instance(system, &admin).await;
        let sent = instance.report(46, billing_e2e::actors::now()).await;
        let report = sent.text("/report_id");
        admin
            .delivered(instance.organization, report, &["sent"])
            .await;
        browser.sign_in().await;
        browser.click("td.name a").await;
        browser.see_text("h1", "Acme Corp").await;
        let facts = facts(browser).await;
        for fact in [
            "On-premise",
            "Managed",
            "billing@acme.example",
            "cus_",
            "sub_",
        ] {
            assert!(facts.contains(fact), "{fact} in {facts}");
        }
        // The chart, and the same for those who do not see it.
        let bars = browser
            .client
            .find_all(fantoccini::Locator::Css("svg.chart rect"))
            .await;
        assert!(!bars.unwrap().is_empty(), "a chart");
        browser.click("details.same summary").await;
        browser.see_text("details.same tbody", "46").await;
        let deliveries = browser
            .texts("section[aria-labelledby=reports-title] .badge")
            .await;
        assert_eq!(deliveries, ["Sent", "Not billed"]);
        browser
            .click("section[aria-labelledby=facts-title] footer a[href$='/invoices']")
            .await;
        browser.see_text("h1", "Invoices of Acme Corp").await;
        browser.client.back().await.unwrap();
        browser
            .click("section[aria-labelledby=facts-title] footer button")
            .await;
        browser.see_text("h1", "Customer portal of Acme Corp").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_changed_and_a_subscription_ends_after_a_second_question() {
    in_browser(ENGLISH, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        let (instance, _) = linked_instance(system, &admin).await;
        let page = format!("/organizations/{}", instance.organization);
        browser.sign_in().await;
        browser.open(&page).await;
        browser
            .click(&format!("a[href='{page}/subscription']"))
            .await;
        let before = subscription(system);
        browser.choose("#plan_type", "self-hosted").await;
        browser.click(SEND).await;
        browser.arrives(&page).await;
        browser.see_text(".notice", "The change is done.").await;
        browser.see_text("dl.facts", "Self-hosted").await;
        let after = subscription(system);
        assert_ne!(price(&before), price(&after), "another price");

        browser.click(&format!("a[href='{page}/cancel']")).await;
        browser.see_text("main", "This cannot be undone.").await;
        browser.click(SEND).await;
        assert_eq!(
            browser.path().await,
            format!("{page}/cancel"),
            "nothing is chosen"
        );
        assert_eq!(subscription(system)["cancel_at_period_end"], false);
        browser.click("input[name=mode][value=at_period_end]").await;
        browser.click(SEND).await;
        browser.arrives(&page).await;
        browser
            .see_text(".notice", "The subscription ends as you asked.")
            .await;
        let ending = subscription(system);
        assert_eq!(ending["cancel_at_period_end"], true, "{ending}");
    })
    .await;
}

fn price(subscription: &Value) -> &str {
    let price = subscription.pointer("/items/data/0/price/id");
    price.and_then(Value::as_str).unwrap()
}
