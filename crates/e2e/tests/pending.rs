//! Goal: a flood of unknown organizations is capped, taken away in one step, and forgotten in the end;
//! organizations that are known notice nothing of it.
//! Method: a whole system, over its public doors; for the thirteen months one whose time a test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use billing_e2e::actors::{Admin, Answer, Instance, now, terms};
use billing_e2e::{Service, System};
use billing_harness::eventually;
use chrono::{DateTime, Months, TimeDelta, Utc};
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

const HOME: &str = "203.0.113.7";
const NEIGHBOUR: &str = "203.0.113.66";
const NETWORK: &str = "203.0.113.0/24";
const ELSEWHERE: &str = "198.51.100.9";

fn seconds_to_wait(answer: &Answer) -> u32 {
    let value = answer.headers.get("retry-after").unwrap();
    value.to_str().unwrap().parse().unwrap()
}

async fn get(admin: &Admin, path: &str) -> Value {
    let answer = admin.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.json);
    answer.json
}

/// Whoever held the shared token could make any number of organizations, and no verb took them away.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_capped_and_ignored_in_one_step() {
    let cap = [(Service::Org, "NEW_ORGANIZATIONS_PER_NETWORK", "12")];
    let system = System::start_with(&cap).await;
    let admin = Admin::sign_in(&system).await;
    let known = Instance::of(&system).at_address(HOME);
    assert_eq!(known.report(45, now()).await.status, StatusCode::OK);
    let link = admin.link(known.organization, &terms()).await;
    assert_eq!(link.status, StatusCode::OK, "{:?}", link.json);

    let before = now() - TimeDelta::minutes(1);
    let mut forged = Vec::new();
    for turn in 0..20 {
        let instance = Instance::of(&system).at_address(NEIGHBOUR);
        let answer = instance.report(9_000, before).await;
        if turn < 11 {
            assert_eq!(answer.status, StatusCode::OK, "{turn}: {:?}", answer.json);
            forged.push(instance);
        } else {
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{turn}");
            assert!((1..=86_400).contains(&seconds_to_wait(&answer)), "{turn}");
        }
    }
    // Who is known is never refused, and another network is free.
    assert_eq!(known.report(45, now()).await.status, StatusCode::OK);
    let honest = Instance::of(&system).at_address(ELSEWHERE);
    assert_eq!(honest.report(5, now()).await.status, StatusCode::OK);

    let groups = get(&admin, "/api/admin/pending-groups").await;
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1, "{groups}");
    let group = &groups["groups"][0];
    assert_eq!(group["source_network"], NETWORK);
    assert_eq!(group["organization_count"], 11);
    let chosen = json!({"source_network": NETWORK, "until": group["last_created_at"]});
    let ignored = admin.post("/api/admin/organizations/ignore", &chosen).await;
    assert_eq!(ignored.json["organization_count"], 11, "{:?}", ignored.json);

    // A later report is recorded, and the organization stays ignored.
    assert_eq!(forged[0].report(9_001, now()).await.status, StatusCode::OK);
    let list = get(&admin, "/api/admin/organizations").await;
    assert_eq!(
        list["summary"],
        json!({"total": 2, "linked": 1, "pending": 1})
    );
    assert_eq!(list["ignored"], 11);
    let listed = get(&admin, "/api/admin/organizations?ignored=true").await;
    let pending = listed["organizations"]["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 11, "{listed}");
}

/// How many rows there are of an organization: of itself, and of what it reported.
async fn rows_of(system: &System, instance: &Instance) -> (i64, i64) {
    let db = system.database().connect().await;
    let sql = "SELECT (SELECT count(*) FROM organizations WHERE id = $1), \
               (SELECT count(*) FROM usage_reports WHERE organization_id = $1) \
               + (SELECT count(*) FROM organization_reporting WHERE organization_id = $1)";
    let values = [instance.organization.into()];
    let counted = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    let row = db.query_one_raw(counted).await.unwrap().unwrap();
    (
        row.try_get_by_index(0).unwrap(),
        row.try_get_by_index(1).unwrap(),
    )
}

/// Two services own the tables of what is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_never_linked_and_is_silent_is_forgotten_with_its_reports() {
    let start: DateTime<Utc> = "2027-01-10T08:00:00Z".parse().unwrap();
    let mut system = System::start_at(start).await;
    let [silent, reporting] = [(); 2].map(|()| Instance::of(&system));
    for instance in [&silent, &reporting] {
        assert_eq!(instance.report(5, start).await.status, StatusCode::OK);
        assert_eq!(rows_of(&system, instance).await, (1, 2));
    }
    let later = start.checked_add_months(Months::new(14)).unwrap();
    system.set_time(later).await;
    assert_eq!(reporting.report(6, later).await.status, StatusCode::OK);
    // A pass is made when the process starts.
    system.kill_service(Service::Ingest);
    system.start_service(Service::Ingest);
    eventually("the silent one is deleted", async || {
        (rows_of(&system, &silent).await == (0, 0)).then_some(())
    })
    .await;
    assert_eq!(rows_of(&system, &reporting).await, (1, 3));
}
