//! Pending organizations that nobody knows: groups, ignoring, and coming back, over REST.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World};

const NETWORK: &str = "203.0.113.0/24";
const ACME: Uuid = Uuid::from_u128(0xac);

/// Acme, and a dozen from one network.
fn flood(world: &World) {
    world.org.add(ACME, "Acme Corp");
    for n in 0..12_u128 {
        let id = Uuid::from_u128(1_000 + n);
        world.org.add(id, &format!("Forged {n:02}"));
        world.org.change(id, |organization| {
            organization.source_network = NETWORK.to_owned();
        });
    }
}

async fn get(world: &World, path: &str) -> Value {
    let cookie = world.admin().await;
    Answer::of(world.get(path).header("cookie", cookie))
        .await
        .json()
}

async fn post(world: &World, path: &str, body: &Value) -> Answer {
    let cookie = world.admin().await;
    Answer::of(world.post(path).header("cookie", cookie).json(body)).await
}

fn names(list: &Value, side: &str) -> Vec<String> {
    let rows = list["organizations"][side].as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_group_is_ignored_and_comes_back_on_request() {
    let world = World::new().await;
    flood(&world);
    let groups = get(&world, "/api/admin/pending-groups").await;
    assert_eq!(
        groups,
        json!({"groups": [{
            "source_network": NETWORK, "organization_count": 12,
            "first_created_at": "2024-11-01T00:00:00Z",
            "last_created_at": "2024-11-01T00:00:00.000000Z",
        }]})
    );
    let chosen = json!({"source_network": NETWORK, "until": "2024-11-01T00:00:00.000000Z"});
    let ignored = post(&world, "/api/admin/organizations/ignore", &chosen).await;
    assert_eq!(ignored.status, StatusCode::OK);
    assert_eq!(ignored.json()["organization_count"], 12);

    let list = get(&world, "/api/admin/organizations").await;
    assert_eq!(names(&list, "pending"), ["Acme Corp"]);
    assert_eq!(
        list["summary"],
        json!({"total": 1, "linked": 0, "pending": 1})
    );
    assert_eq!(list["ignored"], 12);
    let list = get(&world, "/api/admin/organizations?ignored=true&limit=500").await;
    assert_eq!(names(&list, "pending").len(), 12);
    let first = &list["organizations"]["pending"][0];
    assert_eq!(first["source_network"], NETWORK);
    assert!(first["ignored_at"].is_string());

    let id = first["id"].as_str().unwrap();
    let one = json!({ "organization_ids": [id] });
    let restored = post(&world, "/api/admin/organizations/restore", &one).await;
    assert_eq!(restored.json()["organization_count"], 1);
    let of_network = get(&world, "/api/admin/organizations?network=203.0.113.0/24").await;
    assert_eq!(names(&of_network, "pending").len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_choice_is_named() {
    let world = World::new().await;
    for (body, field) in [
        (json!({"organization_ids": "all"}), "organization_ids"),
        (json!({"source_network": 5}), "source_network"),
        (json!({"source_network": NETWORK, "until": "soon"}), "until"),
        (
            json!({"source_network": NETWORK, "until": "1999-01-01T00:00:00Z"}),
            "until",
        ),
    ] {
        let answer = post(&world, "/api/admin/organizations/ignore", &body).await;
        assert_eq!(answer.error().1, [field], "{}", answer.text);
    }
    let unasked = world
        .post("/api/admin/organizations/ignore")
        .json(&json!({}));
    assert_eq!(Answer::of(unasked).await.status, StatusCode::UNAUTHORIZED);
}
