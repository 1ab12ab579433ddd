//! What waits for a person: a held report is released, a refused one sent again.

use billing_e2e::{
    System,
    actors::{Admin, Instance, linked_instance, now},
};
use chrono::TimeDelta;
use serde_json::json;
use stripe_sim::{Fault, FaultEffect, FaultResponse};

use crate::{
    browser::SEND,
    chromium::{ENGLISH, Visitor, WITHOUT_SCRIPT, in_browser},
};

/// A report of a linked instance, so many minutes ago, that comes to this state.
async fn reported(
    admin: &Admin,
    instance: &Instance,
    users: i64,
    minutes: i64,
    state: &str,
) -> String {
    let at = now() - TimeDelta::minutes(minutes);
    let report = instance.report(users, at).await;
    let id = report.text("/report_id").to_owned();
    admin.delivered(instance.organization, &id, &[state]).await;
    id
}

fn refuse_the_next(system: &System) {
    let mut refusal = FaultResponse::status(400);
    refusal.error = Some(json!({
        "type": "invalid_request_error",
        "code": "resource_missing",
        "message": "No such customer",
    }));
    let route = "POST /v1/billing/meter_events";
    let refusal = Fault::once(route, FaultEffect::Respond(refusal));
    system.stripe.inject(refusal).unwrap();
}

async fn a_held_report_is_released(visitor: Visitor) {
    in_browser(visitor, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        let (instance, _) = linked_instance(system, &admin).await;
        let held = reported(&admin, &instance, 40_000, 0, "held").await;
        browser.sign_in().await;
        browser.click("a[href='/held']").await;
        browser.see_text("td.number", "40,000").await;
        browser.click("td.action a.button").await;
        browser.see_text("main", "This cannot be undone.").await;
        browser.click(SEND).await;
        browser
            .arrives(&format!("/organizations/{}", instance.organization))
            .await;
        browser
            .see_text(".notice", "The held reports are released.")
            .await;
        admin
            .delivered(instance.organization, &held, &["sent"])
            .await;
        browser.open("/held").await;
        browser.see_text("main", "No report is held.").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_report_is_released_after_a_second_question() {
    a_held_report_is_released(ENGLISH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_report_is_released_without_javascript() {
    a_held_report_is_released(WITHOUT_SCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_report_is_sent_again_from_the_list() {
    in_browser(ENGLISH, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        let (instance, _) = linked_instance(system, &admin).await;
        refuse_the_next(system);
        let refused = reported(&admin, &instance, 46, 0, "refused").await;
        browser.sign_in().await;
        browser.click("main a[href='/refused']").await;
        browser.see_text("td", "No such customer").await;
        browser.click("td.said button").await;
        browser
            .see_text(".notice", "The report is sent again, within moments.")
            .await;
        admin
            .delivered(instance.organization, &refused, &["sent"])
            .await;
        browser.open("/refused").await;
        browser.see_text("main", "Stripe refused no report.").await;
        assert_eq!(system.stripe.ledger().meter_events.len(), 1);
    })
    .await;
}

/// The instance reported twice for one time; the second count is the right one.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_count_is_put_in_the_place_of_the_recorded_one() {
    in_browser(ENGLISH, async |system, browser| {
        let admin = Admin::sign_in(system).await;
        let (instance, _) = linked_instance(system, &admin).await;
        let at = now();
        let recorded = instance.report(45, at).await;
        let recorded = recorded.text("/report_id");
        let id = instance.organization;
        admin.delivered(id, recorded, &["sent"]).await;
        let refused = instance.report(47, at).await;
        assert_eq!(refused.status.as_u16(), 409, "{:?}", refused.json);

        browser.sign_in().await;
        browser.open(&format!("/organizations/{id}")).await;
        browser.click("form[action$='/replace'] button").await;
        browser.arrives(&format!("/organizations/{id}")).await;
        browser.see(".notice").await;
        let reports = admin.reports(id).await;
        let (later, _) = reports
            .iter()
            .find(|(_, row)| row["user_count"] == 47)
            .unwrap();
        admin.delivered(id, later, &["sent"]).await;
        let events = system.stripe.ledger().meter_events.into_iter();
        let values: Vec<_> = events.map(|event| event.value).collect();
        assert_eq!(values, ["45", "47"]);
    })
    .await;
}
