//! A flood of pending organizations in the pages: one line, one step, and back.

use reqwest::StatusCode;
use uuid::Uuid;

use super::{ACME, Browser, form_token, shows};
use crate::{org::ADMIN, world::World};

const NETWORK: &str = "203.0.113.0/24";

#[tokio::test]
async fn a_flood_is_one_line_that_one_click_takes_away() {
    let world = World::new().await;
    world.org.add(ACME, "Acme Corp");
    for n in 0..300_u128 {
        let id = Uuid::from_u128(1_000 + n);
        world.org.add(id, &format!("Forged {n:03}"));
        world.org.change(id, |organization| {
            organization.source_network = NETWORK.to_owned();
        });
    }
    let mut browser = Browser::of(&world, ADMIN).await;
    for path in ["/", "/pending"] {
        let page = browser.get(path).await;
        shows(&page, &["Acme Corp", "(301)"]);
        assert!(!page.text.contains("Forged"), "{path}");
    }
    shows(
        &browser.get("/").await,
        &["300 more organizations came in groups"],
    );
    let page = browser.get("/pending").await;
    shows(&page, &["Many from one network", NETWORK, ">300<"]);
    let of_network = browser.get("/pending?network=203.0.113.0%2F24").await;
    shows(
        &of_network,
        &["Forged 000", "whose first report came from 203.0.113.0/24"],
    );
    let searched = browser.get("/pending?q=Forged+007").await;
    shows(&searched, &["Forged 007"]);

    let (_, until) = page.text.split_once("name=\"until\" value=\"").unwrap();
    let until = until.split('"').next().unwrap();
    let token = form_token(&page.text).to_owned();
    let fields = [
        ("network", NETWORK),
        ("until", until),
        ("form_token", &token),
    ];
    let answer = browser.post("/pending/ignore", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let page = browser.get(answer.header("location")).await;
    shows(
        &page,
        &[
            "They are ignored",
            "(1)",
            "Acme Corp",
            "href=\"/ignored\"",
            "(300)",
        ],
    );
    assert!(!page.text.contains(NETWORK));
    let ignored = browser.get("/ignored").await;
    shows(
        &ignored,
        &[
            "Ignored organizations",
            "(300)",
            "Forged 000",
            "Bring back the chosen",
        ],
    );
    let file = browser.get("/ignored.csv").await;
    assert_eq!(file.text.lines().count(), 301);
    assert_eq!(browser.get("/pending.csv").await.text.lines().count(), 2);
}

#[tokio::test]
async fn some_are_chosen_by_their_boxes_and_one_on_its_page() {
    let world = World::new().await;
    let ids: Vec<_> = (1..=3_u128).map(Uuid::from_u128).collect();
    for id in &ids {
        world.org.add(*id, &format!("Org {}", id.as_u128()));
    }
    let mut browser = Browser::of(&world, ADMIN).await;
    let [one, two, three] = [0, 1, 2].map(|at| ids[at].to_string());
    let chosen = [("id", one.as_str()), ("id", two.as_str())];
    let answer = browser.submit("/pending", "/pending/ignore", &chosen).await;
    assert_eq!(answer.header("location"), "/pending?notice=ignored");
    let page = browser.get("/pending").await;
    assert!(!page.text.contains("Org 1<") && page.text.contains("Org 3<"));
    let none = browser.submit("/pending", "/pending/ignore", &[]).await;
    shows(
        &browser.get(none.header("location")).await,
        &["No organization was chosen."],
    );

    let path = format!("/organizations/{three}");
    shows(&browser.get(&path).await, &["action=\"/pending/ignore\""]);
    let fields = [("id", three.as_str()), ("back", path.as_str())];
    let answer = browser.submit(&path, "/pending/ignore", &fields).await;
    assert_eq!(answer.header("location"), format!("{path}?notice=ignored"));
    let page = browser.get(answer.header("location")).await;
    shows(
        &page,
        &[
            "They are ignored",
            "Ignored since",
            "action=\"/ignored/restore\"",
        ],
    );
    let answer = browser
        .submit("/ignored", "/ignored/restore", &[("id", &three)])
        .await;
    assert_eq!(answer.header("location"), "/ignored?notice=restored");
    assert_eq!(world.org.get(ids[2]).ignore_time, None);

    let forged = browser.post("/pending/ignore", &[("id", &three)]).await;
    assert_ne!(
        forged.status,
        StatusCode::SEE_OTHER,
        "without the form's token"
    );
}
