//! The lists: search, filters, order, pages, files.

use billing_proto::common::v1::{PlanType, SubscriptionStatus};
use reqwest::StatusCode;
use uuid::Uuid;

use super::{ACME, Browser, shows};
use crate::{
    org::ADMIN,
    world::{Answer, Away, World, report_of},
};

#[tokio::test]
async fn lists_search_filter_and_order_and_their_pages_go_on() {
    let world = World::new().await;
    for n in 0..120_u128 {
        let id = Uuid::from_u128(1_000 + n);
        world.org.add(id, &format!("Org {n:03}"));
        world.org.change(id, |organization| {
            organization.stripe_customer_id = format!("cus_{n}");
            organization.subscription_status = SubscriptionStatus::Active.into();
            organization.plan_type = if n % 2 == 0 {
                PlanType::SelfHosted.into()
            } else {
                PlanType::ManagedCloud.into()
            };
        });
    }
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let first = browser.get("/billed?plan=self-hosted&sort=-name").await;
    shows(
        &first,
        &["Org 118", "Org 020", "aria-sort=\"descending\"", "(120)"],
    );
    assert!(!first.text.contains("Org 119") && !first.text.contains("Org 018"));
    let (_, rest) = first
        .text
        .split_once("class=\"button quiet\" href=\"")
        .unwrap();
    let next = rest.split('"').next().unwrap().replace("&#38;", "&");
    let second = browser.get(&next).await;
    shows(&second, &["Org 018", "Org 000", "First page"]);
    assert!(!second.text.contains("rel=\"next\""));
    let found = browser.get("/billed?q=Org+11&status=active").await;
    shows(
        &found,
        &["Org 110", "Org 119", "<option value=\"active\" selected>"],
    );
    let none = browser.get("/billed?q=nobody").await;
    shows(&none, &["Nothing matches.", "Show all"]);
    let pending = browser.get("/pending?status=active").await;
    shows(&pending, &["Acme Corp", "data-poll=\"15\""]);
    for wrong in [
        "/billed?plan=gold",
        "/billed?sort=users",
        "/pending?cursor=nonsense",
    ] {
        let answer = browser.get(wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        shows(
            &answer,
            &["That does not work", answer.header("x-request-id")],
        );
    }
}

#[tokio::test]
async fn a_list_is_exported_whole_as_it_is_filtered() {
    let world = World::new().await;
    for n in 0..1_100_u128 {
        let id = Uuid::from_u128(1_000 + n);
        world.org.add(id, &format!("Org \"{n}\", SARL"));
    }
    world.report(&report_of(Uuid::from_u128(1_000))).await;
    let mut browser = Browser::of(&world, ADMIN).await;
    let file = browser.get("/pending.csv").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(file.header("cache-control"), "no-store");
    let disposition = file.header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"organizations-pending-2"),
        "{disposition}"
    );
    let lines: Vec<_> = file.text.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(lines.len(), 1_101);
    assert!(
        file.text
            .starts_with("\u{feff}\"Id\",\"Name\",\"Instance\",\"Users\"")
    );
    assert!(
        lines[1].contains(
            "\"Org \"\"0\"\", SARL\",\"acme.vaultai.eu\",\"45\",\"2024-11-03T03:00:00Z\""
        )
    );
    let some = browser.get("/pending.csv?q=Org+%2211%22").await;
    assert_eq!(some.text.lines().count(), 2, "{}", some.text);
    browser.keep(&["billing.language=fr".to_owned()]);
    let french = browser.get("/pending.csv?q=nobody").await;
    assert!(french.text.starts_with("\u{feff}\"Identifiant\";\"Nom\";"));

    let stranger = Answer::of(world.get("/pending.csv")).await;
    assert_eq!(stranger.status, StatusCode::SEE_OTHER);
    let wrong = browser.get("/billed.csv?plan=gold").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_ingest_svc_the_organizations_are_still_shown() {
    let world = World::without(Away::Ingest).await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    for path in ["/", "/pending", &format!("/organizations/{ACME}")] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        shows(&answer, &["Acme Corp", "cannot be shown now"]);
    }
    // A file without the counts would look whole.
    let file = browser.get("/pending.csv").await;
    assert_eq!(file.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_was_given_up_is_counted_and_the_count_leads_to_exactly_these() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, ADMIN).await;
    let index = browser.get("/").await;
    shows(&index, &["href=\"/webhooks?state=dead\"", ">1+<"]);
    let dead = browser.get("/webhooks?state=dead").await;
    shows(
        &dead,
        &[
            "Given up",
            "customer.subscription.updated",
            "Stripe has no subscription sub_1.",
            "<option value=\"dead\" selected>",
        ],
    );
    let retry = [("event_id", crate::stripe::DEAD_EVENT), ("state", "dead")];
    let answer = browser.submit("/webhooks", "/webhooks/retry", &retry).await;
    assert_eq!(
        answer.header("location"),
        "/webhooks?state=dead&notice=retried"
    );
    let none = [("event_id", "evt_none"), ("state", "dead")];
    let answer = browser.submit("/webhooks", "/webhooks/retry", &none).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let errors = browser.get("/webhooks/meter-errors").await;
    shows(&errors, &["(no_meter)", "report-1"]);
}
