//! Each page before axe-core, in both languages, in the light and in the dark; and in a narrow window.

use std::collections::BTreeMap;

use billing_e2e::{
    System,
    actors::{Admin, Instance, linked_instance, now},
};
use billing_harness::eventually;
use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::make_key,
    browser::{Browser, SEND},
    chromium::{ENGLISH, in_browser},
    links::{fill_terms, reported},
};

const LANGUAGES: [&str; 2] = ["fr", "en"];
/// The narrowest window that pages must do with, in pixels.
const NARROW: u32 = 360;

/// Runs axe-core and gives what it found, in a line each.
const AXE: &str = "
    const done = arguments[arguments.length - 1];
    const of = (violation) => violation.nodes.map((node) =>
        `${violation.impact} ${violation.id}: ${node.target.join(' ')} ${node.failureSummary}`);
    axe.run(document, { resultTypes: ['violations'] })
        .then((results) => done(results.violations.flatMap(of)), (error) => done([String(error)]));";

/// On which pages each fault is.
type Found = BTreeMap<String, Vec<String>>;

/// What is wrong with the page that is shown.
async fn faults(browser: &Browser, axe: &str) -> Vec<String> {
    browser.client.execute(axe, Vec::new()).await.unwrap();
    let found = browser.client.execute_async(AXE, Vec::new()).await.unwrap();
    let found = found.as_array().unwrap().iter();
    found.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Organizations in the states that pages differ by.
struct Organizations {
    pending: Uuid,
    linked: Uuid,
    ended: Uuid,
}

impl Organizations {
    async fn new(system: &System) -> Self {
        let admin = Admin::sign_in(system).await;
        system
            .stripe
            .set_clock((now() - TimeDelta::days(3)).timestamp());
        let (linked, _) = linked_instance(system, &admin).await;
        system.stripe.set_clock(now().timestamp());
        for (users, hours_ago, state) in [(46, 30, "sent"), (40_000, 2, "held")] {
            let at = now() - TimeDelta::hours(hours_ago);
            let report = linked.report(users, at).await;
            let report = report.text("/report_id");
            admin.delivered(linked.organization, report, &[state]).await;
        }
        let (ended, _) = linked_instance(system, &admin).await;
        let path = format!("/api/admin/organizations/{}/cancel", ended.organization);
        let canceled = admin.post(&path, &json!({ "mode": "now" })).await;
        assert!(canceled.status.is_success(), "{:?}", canceled.json);
        store_troubles(system, linked.organization).await;
        contradict(&linked).await;
        have_one_ignored(system, &admin).await;
        Self {
            pending: reported(system, "Beta Works").await.organization,
            linked: linked.organization,
            ended: ended.organization,
        }
    }

    /// All pages that have an address of their own.
    fn addresses(&self) -> Vec<String> {
        let Self {
            pending,
            linked,
            ended,
        } = self;
        let everywhere = [
            "/",
            "/sign-in",
            "/pending",
            "/pending?q=nobody",
            "/billed",
            "/billed?collection=paused",
            "/ignored",
            "/held",
            "/held?urgent=yes",
            "/refused",
            "/reconciliation",
            "/reconciliation?closed=yes",
            "/audit",
            "/audit?actor=nobody",
            "/keys",
            "/webhooks",
            "/webhooks?state=dead",
            "/webhooks/meter-errors",
            "/webhooks/notices",
            "/docs",
            "/nowhere",
        ];
        let mut addresses = everywhere.map(str::to_owned).to_vec();
        addresses.extend([
            format!("/organizations/{pending}"),
            format!("/organizations/{pending}/link"),
            format!("/organizations/{ended}/unlink"),
            // There is none of this id.
            format!("/organizations/{}", Uuid::nil()),
        ]);
        for below in [
            "",
            "/subscription",
            "/cancel",
            "/invoices",
            "/held/release",
            "/signing-key",
        ] {
            addresses.push(format!("/organizations/{linked}{below}"));
        }
        addresses.push(format!("/held?organization={linked}"));
        addresses
    }
}

/// Another count for a time that has one.
async fn contradict(instance: &Instance) {
    let at = now() - TimeDelta::minutes(9);
    assert!(instance.report(45, at).await.status.is_success());
    let answer = instance.report(450, at).await;
    assert_eq!(answer.status.as_u16(), 409, "{:?}", answer.json);
}

async fn have_one_ignored(system: &System, admin: &Admin) {
    let ignored = reported(system, "Nobody's").await.organization;
    let body = json!({ "organization_ids": [ignored] });
    let path = "/api/admin/organizations/ignore";
    let answer = admin.post(path, &body).await;
    assert!(answer.status.is_success(), "{:?}", answer.json);
}

/// What rarely happens, as it is then stored: a day of which Stripe counts something else, and an event
/// that was given up.
async fn store_troubles(system: &System, organization: Uuid) {
    let finding = format!(
        "INSERT INTO billing_findings (id, organization_id, kind, day, period_start_at, period_end_at, expected, found, resend_count, first_seen_at, last_seen_at)
         SELECT '{}', '{organization}', 'meter_day', day, day, day + interval '1 day', 45, 46, 1, now(), now()
         FROM (SELECT (current_date - 40)::timestamptz AS day) AS past",
        Uuid::from_u128(0xf1)
    );
    let event = "UPDATE stripe_events SET state = 'dead', error_code = 'unavailable', error_message = 'Stripe was away.'
         WHERE event_id = (SELECT min(event_id) FROM stripe_events WHERE state IN ('processed', 'ignored'))";
    let db = system.database().connect().await;
    db.execute_unprepared(&finding).await.unwrap();
    eventually("an event is processed", async || {
        let given_up = db.execute_unprepared(event).await.unwrap();
        (given_up.rows_affected() == 1).then_some(())
    })
    .await;
    db.close().await.unwrap();
}

/// As the forms in each page's head would choose, without their detour.
async fn dress(browser: &Browser, language: &str, theme: &str) {
    for (name, value) in [("language", language), ("theme", theme)] {
        let script = format!("document.cookie = 'billing.{name}={value}; Path=/';");
        browser.script(&script).await;
    }
    browser.open("/sign-in").await;
    let dressed = format!("html[lang={language}][data-theme={theme}]");
    browser.see(&dressed).await;
}

/// Judges every page, as it is now dressed.
async fn judge_all(browser: &Browser, axe: &str, organizations: &Organizations) -> Found {
    let mut found = Found::new();
    let mut judge = async |page: &str| {
        for fault in faults(browser, axe).await {
            found.entry(fault).or_default().push(page.to_owned());
        }
    };
    for address in organizations.addresses() {
        browser.open(&address).await;
        judge(&address).await;
    }
    browser.open("/sign-in").await;
    browser.type_into("#email", "nobody@example.com").await;
    browser.type_into("#password", "wrong horse").await;
    browser.click(SEND).await;
    browser.see("[role=alert]").await;
    judge("a wrong password").await;

    let link = format!("/organizations/{}/link", organizations.pending);
    browser.open(&link).await;
    fill_terms(browser).await;
    browser.type_into("#trial_days", ".5").await;
    browser.click(SEND).await;
    browser.see("#trial_days-problem").await;
    judge("wrong terms").await;
    browser.open(&link).await;
    fill_terms(browser).await;
    browser.click(SEND).await;
    // With the choice of customers of the same e-mail address.
    browser.see("fieldset.choices").await;
    judge("a preview").await;

    let page = format!("/organizations/{}", organizations.linked);
    browser.open(&page).await;
    browser.click("details.same summary").await;
    browser.click("details.account summary").await;
    judge("all that unfolds").await;
    browser.open(&page).await;
    browser
        .click("section[aria-labelledby=facts-title] footer button")
        .await;
    browser.see("textarea#url").await;
    judge("a portal link").await;
    judge_troubles_and_keys(browser, &mut judge).await;
    found
}

async fn judge_troubles_and_keys(browser: &Browser, judge: &mut impl AsyncFnMut(&str)) {
    browser.open("/reconciliation").await;
    browser.click("details.ask summary").await;
    judge("a finding's form").await;
    browser.open("/keys").await;
    browser.type_into("#lifetime_days", "99").await;
    make_key(browser).await;
    browser.see("#lifetime_days-problem").await;
    judge("a wrong key").await;
    browser.open("/keys").await;
    make_key(browser).await;
    browser.see("textarea#secret").await;
    judge("a new key").await;
    browser.open("/keys").await;
    browser.click("td.action a").await;
    browser.see("button.danger").await;
    judge("the end of a key").await;
}

async fn every_page_is_accessible(theme: &'static str) {
    in_browser(ENGLISH, async |system, browser| {
        let axe = browser.package_file("axe-core/axe.min.js");
        let organizations = Organizations::new(system).await;
        browser.sign_in().await;
        for language in LANGUAGES {
            dress(browser, language, theme).await;
            let found = judge_all(browser, &axe, &organizations).await;
            assert!(found.is_empty(), "{language} {theme}\n{found:#?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_in_the_light() {
    every_page_is_accessible("light").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_in_the_dark() {
    every_page_is_accessible("dark").await;
}

/// Were the judge blind, the tests above would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_what_is_missing_and_too_faint() {
    in_browser(ENGLISH, async |_, browser| {
        let axe = browser.package_file("axe-core/axe.min.js");
        browser.open("/sign-in").await;
        let spoil = "document.querySelector('label[for=email]').remove();
            document.querySelector('h1').style.color = '#bbb';";
        browser.script(spoil).await;
        let found = faults(browser, &axe).await.join("\n");
        for rule in ["critical label: #email", "serious color-contrast: #title"] {
            assert!(found.contains(rule), "{rule} in {found}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_narrow_window() {
    in_browser(ENGLISH, async |system, browser| {
        let organizations = Organizations::new(system).await;
        browser.sign_in().await;
        browser.set_width(NARROW).await;
        let mut too_wide = Vec::new();
        for language in LANGUAGES {
            dress(browser, language, "light").await;
            for address in organizations.addresses() {
                browser.open(&address).await;
                let width = browser
                    .script("return document.documentElement.scrollWidth;")
                    .await;
                if width != NARROW {
                    too_wide.push(format!("{language} {address}: {width} pixels"));
                }
            }
        }
        assert!(too_wide.is_empty(), "{}", too_wide.join("\n"));
    })
    .await;
}
