//! The pages, as a browser without JavaScript uses them.

use std::collections::BTreeMap;

use billing_proto::common::v1::{PlanType, SubscriptionStatus};
use reqwest::{Method, RequestBuilder, StatusCode};
use uuid::Uuid;

use crate::{
    org::{ADMIN, NO_ADMIN, PASSWORD, REFUSED, SLOW},
    world::{Answer, Away, SITE, World, report_of},
};

const ACME: Uuid = Uuid::from_u128(0xac);
const BETA: Uuid = Uuid::from_u128(0xbe);
const ATTACK: &str = "<img src=x onerror=alert(1)>";
const FORMULA: &str = "=HYPERLINK(\"http://x\")";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A browser: it keeps cookies and sends forms as the page has them.
struct Browser<'a> {
    world: &'a World,
    cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            cookies: BTreeMap::new(),
        }
    }

    /// One that is signed in already.
    async fn of(world: &'a World, email: &str) -> Self {
        let mut browser = Self::new(world);
        browser.keep(&[world.sign_in(email).await]);
        browser
    }

    fn keep(&mut self, cookies: &[String]) {
        for cookie in cookies {
            let pair = cookie.split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookie = pairs.collect::<Vec<_>>().join("; ");
        self.world.request(method, path).header("cookie", cookie)
    }

    async fn get(&mut self, path: &str) -> Answer {
        let answer = Answer::of(self.request(Method::GET, path)).await;
        self.keep(&answer.cookies);
        answer
    }

    /// Opens a page and sends a form of it.
    async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let opened = self.get(page).await;
        let token = form_token(&opened.text).to_owned();
        let mut fields = fields.to_vec();
        fields.push(("form_token", &token));
        self.post(action, &fields).await
    }

    async fn post(&mut self, action: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::POST, action).header("origin", SITE);
        let answer = Answer::of(request.form(fields)).await;
        self.keep(&answer.cookies);
        answer
    }
}

fn form_token(html: &str) -> &str {
    let (_, rest) = html.split_once("name=\"form_token\" value=\"").unwrap();
    rest.split('"').next().unwrap()
}

fn shows(answer: &Answer, parts: &[&str]) {
    for part in parts {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
}

/// What the preview's form sends.
fn terms<'a>(email: &'a str, trial_days: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("admin_email", email),
        ("deployment_type", "on-premise"),
        ("plan_type", "managed-cloud"),
        ("trial_days", trial_days),
        ("confirm", "yes"),
    ]
}

#[tokio::test]
async fn an_admin_signs_in_looks_links_and_signs_out() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    world.report(&report_of(ACME)).await;
    let mut browser = Browser::new(&world);

    let answer = browser.get("/").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.header("location"), "/sign-in");
    let credentials = [
        ("email", ADMIN),
        ("password", PASSWORD),
        ("remember", "yes"),
    ];
    let answer = browser.submit("/sign-in", "/sign-in", &credentials).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(answer.header("location"), "/");

    let index = browser.get("/").await;
    assert_eq!(index.status, StatusCode::OK);
    let link = format!("/organizations/{ACME}/link");
    shows(
        &index,
        &[
            "Acme Corp",
            "acme.vaultai.eu",
            ">45<",
            "2024-11-01",
            ADMIN,
            &link,
        ],
    );

    let form = terms("billing@acme.com", "4");
    let answer = browser.submit(&link, &link, &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let index = browser.get(answer.header("location")).await;
    shows(
        &index,
        &["The organization is linked to Stripe.", "Trial", "Managed"],
    );
    assert!(!index.text.contains(&link), "nothing is left to link");

    let one = browser.get(&format!("/organizations/{ACME}")).await;
    shows(
        &one,
        &[
            "cus_NEW123",
            "billing@acme.com",
            "Waiting",
            "2024-11-03 03:00 UTC",
        ],
    );

    let answer = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!(answer.header("location"), "/sign-in");
    assert!(answer.cookies[0].contains("session_token=; Max-Age=0"));
    let answer = browser.get("/").await;
    assert_eq!(answer.header("location"), "/sign-in");
}

#[tokio::test]
async fn whoever_has_to_sign_in_first_comes_back_to_where_they_were_going() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let answer = browser.get("/billed?q=a%26b&sort=name").await;
    let sign_in = answer.header("location").to_owned();
    assert_eq!(
        sign_in,
        "/sign-in?next=%2Fbilled%3Fq%3Da%2526b%26sort%3Dname"
    );
    let form = browser.get(&sign_in).await;
    shows(
        &form,
        &["name=\"next\" value=\"/billed?q=a%26b&#38;sort=name\""],
    );
    for (next, location) in [
        ("/billed?q=a%26b&sort=name", "/billed?q=a%26b&sort=name"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let credentials = [("email", ADMIN), ("password", PASSWORD), ("next", next)];
        let answer = Browser::new(&world)
            .submit("/sign-in", "/sign-in", &credentials)
            .await;
        assert_eq!(answer.header("location"), location, "{next}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_form() {
    let world = World::new().await;
    for (email, password, status, told) in [
        (ADMIN, "wrong", StatusCode::UNAUTHORIZED, "is wrong"),
        (
            "nope",
            "x",
            StatusCode::BAD_REQUEST,
            "not an e-mail address",
        ),
    ] {
        let form = [("email", email), ("password", password)];
        let mut browser = Browser::new(&world);
        let answer = browser.submit("/sign-in", "/sign-in", &form).await;
        assert_eq!(answer.status, status);
        shows(&answer, &[told, &format!("value=\"{email}\"")]);
        assert!(answer.cookies.is_empty());
    }
}

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

/// A name that would be a script in a page, and one that would be a formula in a spreadsheet, do
/// nothing anywhere.
#[tokio::test]
async fn names_from_strangers_do_nothing_anywhere() {
    let world = World::new().await;
    for (id, linked) in [(ACME, false), (BETA, true)] {
        world.org.add(id, ATTACK);
        world.org.change(id, |organization| {
            organization.instance_url = FORMULA.to_owned();
            organization.reported_name = ATTACK.to_owned();
            organization.billing_problem = ATTACK.to_owned();
            if linked {
                organization.stripe_customer_id = "cus_1".to_owned();
                organization.subscription_status = SubscriptionStatus::Canceled.into();
                organization.admin_email = FORMULA.to_owned();
            }
        });
    }
    let mut browser = Browser::of(&world, ADMIN).await;
    for language in ["en", "fr"] {
        browser.keep(&[format!("billing.language={language}")]);
        for path in [
            "/".to_owned(),
            "/pending?q=%3Cimg".to_owned(),
            "/billed?q=%3Cimg".to_owned(),
            format!("/organizations/{ACME}"),
            format!("/organizations/{BETA}"),
            format!("/organizations/{ACME}/link"),
            format!("/organizations/{BETA}/unlink"),
        ] {
            let answer = browser.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert!(!answer.text.contains("<img"), "{path}: {}", answer.text);
            assert!(answer.text.contains("&#60;img"), "{path}");
            assert_eq!(answer.header("content-security-policy"), POLICY);
        }
        for path in ["/pending.csv", "/billed.csv"] {
            let file = browser.get(path).await;
            assert_eq!(file.status, StatusCode::OK, "{path}");
            assert_eq!(file.header("x-content-type-options"), "nosniff");
            shows(&file, &["\"'=HYPERLINK(\"\"http://x\"\")\""]);
            assert!(
                !file.text.contains(&format!("\"{FORMULA}")),
                "{}",
                file.text
            );
        }
    }
}

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
async fn language_and_colours_are_chosen_and_stay() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let request = browser.request(Method::GET, "/sign-in");
    let answer = Answer::of(request.header("accept-language", "fr-CH, en;q=0.5")).await;
    shows(&answer, &["<html lang=\"fr\"", "Se connecter"]);
    let page = browser.get("/sign-in").await;
    shows(&page, &["<html lang=\"en\"", "Sign in"]);

    let choice = [("language", "fr"), ("return_to", "/sign-in?next=%2Fbilled")];
    let answer = browser.submit("/sign-in", "/preferences", &choice).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(answer.header("location"), "/sign-in?next=%2Fbilled");
    assert_eq!(
        answer.cookies,
        ["billing.language=fr; Max-Age=31536000; Path=/; HttpOnly; SameSite=Lax"]
    );
    let choice = [("theme", "dark"), ("return_to", "//evil.example")];
    let answer = browser.submit("/sign-in", "/preferences", &choice).await;
    assert_eq!(answer.header("location"), "/");
    let page = browser.get("/sign-in").await;
    shows(
        &page,
        &["<html lang=\"fr\" data-theme=\"dark\"", "Mot de passe"],
    );

    world.org.add(ACME, "Acme Corp");
    browser.keep(&[world.admin().await, "billing.zone=Europe/Paris".to_owned()]);
    world.org.change(ACME, |organization| {
        organization.create_time = Some(crate::org::time(1_730_417_400));
    });
    let index = browser.get("/").await;
    shows(
        &index,
        &[
            "Organisations en attente de liaison",
            "Organisations facturées",
            // The first of November in Paris is still October in UTC.
            "title=\"2024-10-31 23:30:00 UTC\">01/11/2024</time>",
            "Lier",
        ],
    );
}

#[tokio::test]
async fn pages_let_a_browser_run_our_script_alone_and_keep_nothing() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, ADMIN).await;
    for path in [
        "/",
        "/sign-in",
        "/pending",
        "/billed?sort=status",
        "/reconciliation",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-security-policy"), POLICY);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.text.matches("<script").count(), 1);
        assert!(answer.text.contains("<script src=\"/assets/app.js?v="));
        assert!(!answer.text.contains("style=\"") && !answer.text.contains(" onclick"));
    }
    for (path, kind) in [
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let file = Answer::of(world.get(path)).await;
        assert_eq!(file.header("content-type"), kind);
        assert!(file.header("cache-control").contains("immutable"));
    }
    let nothing = Answer::of(world.get("/assets/secret")).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_user_who_is_no_admin_is_told_so() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, NO_ADMIN).await;
    let answer = browser.get("/").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    shows(&answer, &["not an admin", "action=\"/sign-out\""]);
    let answer = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!(answer.header("location"), "/sign-in");
}

#[tokio::test]
async fn forms_of_other_sites_are_not_believed() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let link = format!("/organizations/{ACME}/link");
    let unlink = format!("/organizations/{ACME}/unlink");
    let page = browser.get("/").await;
    let token = form_token(&page.text);
    let mut form = terms("a@b.de", "0").to_vec();
    form.push(("form_token", token));
    let others = [
        "subscription",
        "cancel",
        "portal",
        "held/release",
        "held/discard",
    ];
    let others = others.map(|of| format!("/organizations/{ACME}/{of}"));
    let mut paths = vec!["/sign-in", "/sign-out", "/preferences", &link, &unlink];
    let revoke = format!("/keys/{ACME}/revoke");
    let dismiss = format!("/reconciliation/{ACME}/dismiss");
    paths.extend(["/keys", &revoke, &dismiss, "/webhooks/retry"]);
    paths.extend(others.iter().map(String::as_str));
    for path in paths {
        let request = browser.request(Method::POST, path);
        let request = request.header("origin", "https://evil.example");
        let answer = Answer::of(request.form(&form)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.cookies.is_empty());
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    assert_eq!(world.org.sessions().len(), 1);
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_browser_and_session() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    let mut browser = Browser::of(&world, ADMIN).await;
    let mut other = Browser::of(&world, ADMIN).await;
    let link = format!("/organizations/{ACME}/link");
    let page = other.get(&link).await;
    let others = form_token(&page.text).to_owned();
    let mut outside = Browser::new(&world);
    outside.cookies.clone_from(&browser.cookies);
    outside.cookies.retain(|name, _| !name.contains("session"));
    let before = outside.get("/sign-in").await;
    let before = form_token(&before.text).to_owned();
    browser.get("/").await;
    let words = terms("a@b.de", "0");
    for token in ["", "nonsense", &others, &before] {
        for path in ["/sign-out", "/preferences", "/keys", &link] {
            let mut form = words.to_vec();
            form.push(("form_token", token));
            let answer = browser.post(path, &form).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            shows(&answer, &["The form is out of date"]);
        }
    }
    assert!(world.org.get(ACME).link_operation.is_none());
    assert_eq!(world.org.sessions().len(), 2);
    let answer = browser.submit(&link, &link, &words).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
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
async fn without_org_svc_there_is_a_page_that_says_so() {
    let world = World::without(Away::Org).await;
    let mut browser = Browser::new(&world);
    let form = [("email", ADMIN), ("password", PASSWORD)];
    let answer = browser.submit("/sign-in", "/sign-in", &form).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    shows(&answer, &["cannot be reached now"]);
}

#[tokio::test]
async fn a_path_that_there_is_none_of_is_a_page_to_a_browser_and_json_to_a_program() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.keep(&["billing.language=fr".to_owned()]);
    let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (method, path, status) in [
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND),
        (Method::PUT, "/billed", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = browser.request(method.clone(), path);
        let page = Answer::of(request.header("accept", accept)).await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("content-security-policy"), POLICY);
        let request_id = page.header("x-request-id");
        shows(&page, &["<html lang=\"fr\"", "Introuvable", request_id]);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert!(page.header("allow").contains("GET"));
        }
        let answer = Answer::of(browser.request(method, path)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.error().0, "not_found");
    }
    // What programs ask for is answered as to programs, whoever asks.
    for path in ["/api/nowhere", "/api/admin/organizations"] {
        let request = browser.request(Method::GET, path);
        let answer = Answer::of(request.header("accept", accept)).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
    }
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
