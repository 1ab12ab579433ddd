//! What becomes of an organization: link, change, cancellation, invoices.

use billing_proto::common::v1::{PlanType, SubscriptionStatus};
use reqwest::StatusCode;

use super::{ACME, Browser, shows, terms};
use crate::{
    org::{ADMIN, REFUSED, SLOW},
    world::{Away, World, report_of},
};

#[tokio::test]
async fn what_is_wrong_with_a_link_stands_in_the_form() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let link = format!("/organizations/{ACME}/link");
    let answer = browser.submit(&link, &link, &terms("nope", "4.5")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    shows(
        &answer,
        &[
            "value=\"nope\"",
            "value=\"4.5\"",
            "It must be an e-mail address",
            "It must be a whole number",
            "Some of this needs another look.",
            "<option value=\"on-premise\" selected>",
        ],
    );
    let answer = browser.submit(&link, &link, &terms(REFUSED, "4")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    shows(&answer, &["No such tax region.", "It was refused"]);
    let answer = browser.submit(&link, &link, &terms(SLOW, "4")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let index = browser.get(answer.header("location")).await;
    shows(&index, &["The link goes on in the background.", "Linking…"]);
    let form = browser.get(&link).await;
    assert_eq!(form.header("location"), format!("/organizations/{ACME}"));
}

#[tokio::test]
async fn a_link_is_shown_before_it_is_made() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let link = format!("/organizations/{ACME}/link");
    let form = terms("billing@acme.com", "4");
    let preview = browser.submit(&link, &link, &form[..4]).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    shows(
        &preview,
        &[
            "Nothing is done yet.",
            "0.265\u{a0}EUR per user and day",
            "2027-01-15",
            "https://dashboard.stripe.com/customers/cus_similar",
            "&#60;b&#62;Acme",
            "billed on this meter",
            "name=\"admin_email\" value=\"billing@acme.com\"",
            "name=\"confirm\" value=\"yes\"",
            "name=\"adopt_customer_id\" value=\"\" checked",
            // It is billed already.
            "value=\"cus_similar\" disabled",
        ],
    );
    assert!(world.org.get(ACME).link_operation.is_none());
    let unpriced = terms(crate::org::UNPRICED, "4");
    let answer = browser.submit(&link, &link, &unpriced[..4]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    shows(&answer, &["The catalog has no such price."]);
    // The second of a double click finds what the first has done.
    for _ in 0..2 {
        let answer = browser.submit("/", &link, &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    }
}

#[tokio::test]
async fn what_cannot_be_undone_is_asked_again() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.change(ACME, |organization| {
        organization.stripe_customer_id = "cus_1".to_owned();
        organization.subscription_status = SubscriptionStatus::Canceled.into();
    });
    let mut browser = Browser::of(&world, ADMIN).await;
    let unlink = format!("/organizations/{ACME}/unlink");
    let one = browser.get(&format!("/organizations/{ACME}")).await;
    shows(&one, &[&unlink]);
    let question = browser.get(&unlink).await;
    shows(&question, &["Unlink Acme Corp?", "This cannot be undone."]);
    let answer = browser.submit(&unlink, &unlink, &[("reason", " ")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    shows(&answer, &["It must be 1 to 500 characters."]);
    let answer = browser
        .submit(&unlink, &unlink, &[("reason", "Moved")])
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let index = browser.get(answer.header("location")).await;
    shows(&index, &["The organization is unlinked"]);
    // It is pending now: there is nothing to unlink.
    let answer = browser.get(&unlink).await;
    assert_eq!(answer.header("location"), format!("/organizations/{ACME}"));
}

#[tokio::test]
async fn a_subscription_is_changed_and_canceled_and_its_invoices_are_shown() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.org.change(ACME, |organization| {
        organization.stripe_customer_id = "cus_1".to_owned();
        organization.stripe_subscription_id = "sub_1".to_owned();
        organization.subscription_status = SubscriptionStatus::Active.into();
        organization.plan_type = PlanType::ManagedCloud.into();
        organization.admin_email = "old@acme.com".to_owned();
    });
    world.report(&report_of(ACME)).await;
    let mut browser = Browser::of(&world, ADMIN).await;
    let one = format!("/organizations/{ACME}");
    let page = browser.get(&one).await;
    let (change, cancel) = (format!("{one}/subscription"), format!("{one}/cancel"));
    let (portal, invoices) = (format!("{one}/portal"), format!("{one}/invoices"));
    shows(
        &page,
        &[
            &change,
            &cancel,
            &portal,
            &invoices,
            "https://dashboard.stripe.com/customers/cus_1",
        ],
    );

    let form = browser.get(&change).await;
    shows(
        &form,
        &[
            "value=\"old@acme.com\"",
            "<option value=\"managed-cloud\" selected>",
        ],
    );
    let terms = |email| [("admin_email", email), ("deployment_type", "on-premise")];
    let mut wrong = terms("nope").to_vec();
    wrong.push(("plan_type", "gold"));
    let answer = browser.submit(&change, &change, &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    shows(&answer, &["value=\"nope\"", "Choose one."]);
    let mut good = terms("new@acme.com").to_vec();
    good.push(("plan_type", "self-hosted"));
    let answer = browser.submit(&change, &change, &good).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let page = browser.get(answer.header("location")).await;
    shows(&page, &["The change is done.", "new@acme.com"]);

    let page = browser.get(&invoices).await;
    shows(&page, &["5.83\u{a0}EUR", "22 × VaultAI", "0.265\u{a0}EUR"]);
    let page = browser.submit(&one, &portal, &[]).await;
    shows(&page, &["https://billing.stripe.example/cus_1"]);
    assert_eq!(page.header("cache-control"), "no-store");

    let answer = browser.submit(&cancel, &cancel, &[("mode", "later")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(world.org.get(ACME).cancel_time.is_none());
    let mode = [("mode", "at_period_end")];
    let answer = browser.submit(&cancel, &cancel, &mode).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let page = browser.get(answer.header("location")).await;
    shows(&page, &["The subscription ends as you asked."]);
}

#[tokio::test]
async fn without_stripe_svc_the_invoices_page_says_so() {
    let world = World::without(Away::Stripe).await;
    world.org.add(ACME, "Acme Corp");
    world.org.change(ACME, |organization| {
        organization.stripe_customer_id = "cus_1".to_owned();
    });
    let mut browser = Browser::of(&world, ADMIN).await;
    let page = browser.get(&format!("/organizations/{ACME}")).await;
    assert_eq!(page.status, StatusCode::OK);
    let page = browser
        .get(&format!("/organizations/{ACME}/invoices"))
        .await;
    assert_eq!(page.status, StatusCode::OK);
    shows(&page, &["Stripe does not tell the invoices now."]);
}
