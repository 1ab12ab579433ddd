//! `stripe-svc catalog plan|apply`: the file is the truth, and Stripe is brought to agree.

use std::process::{Command, Output};

use serde_json::Value;
use stripe_svc::{
    CatalogConfig,
    cli::{CatalogCommand, Ended, run_catalog},
};

use crate::support::{World, link};

const SAMPLE: &str = include_str!("../../catalog.toml");

/// Runs a command on a catalog; gives how it ended and what it printed.
async fn run(world: &World, command: CatalogCommand, catalog: &str) -> (Ended, String) {
    let mut config = CatalogConfig::from_env(world.env(&[]), true).unwrap();
    config.catalog = stripe_svc::parse_catalog(catalog).unwrap();
    let mut lines = Vec::new();
    let ended = run_catalog(command, &config, &mut |line| lines.push(line.to_owned())).await;
    (ended.unwrap(), lines.join("\n"))
}

/// Everything that the catalog makes, without what changes by itself.
fn objects(world: &World) -> [Vec<Value>; 3] {
    let ledger = world.sim.ledger();
    [ledger.meters, ledger.products, ledger.prices]
}

#[tokio::test]
async fn plan_apply_plan_and_apply_again() {
    let world = World::without_catalog().await;
    let (ended, told) = run(&world, CatalogCommand::Plan, SAMPLE).await;
    assert_eq!(ended, Ended::Differs);
    for part in [
        "create the meter",
        "create the product",
        "create the price vaultai_self_hosted_on_on_premise at 16.5",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(world.sim.ledger().meters.len(), 0);

    assert_eq!(
        run(&world, CatalogCommand::Apply, SAMPLE).await.0,
        Ended::Agrees
    );
    let made = objects(&world);
    assert_eq!(made.each_ref().map(Vec::len), [1, 1, 4]);
    let price = &made[2][3];
    assert_eq!(price["unit_amount_decimal"], "16.5");
    assert_eq!(price["recurring"]["usage_type"], "metered");
    assert_eq!(price["recurring"]["meter"], made[0][0]["id"]);
    assert_eq!(made[0][0]["event_time_window"], "day");
    assert_eq!(made[0][0]["default_aggregation"]["formula"], "sum");

    assert_eq!(
        run(&world, CatalogCommand::Plan, SAMPLE).await.0,
        Ended::Agrees
    );
    assert_eq!(
        run(&world, CatalogCommand::Apply, SAMPLE).await.0,
        Ended::Agrees
    );
    assert_eq!(objects(&world), made);
}

#[tokio::test]
async fn a_new_amount_takes_the_key_over_and_subscriptions_keep_what_they_have() {
    let world = World::start().await;
    let service = world.service().await;
    service.provisioned(&link()).await;
    let (_, subscription) = world.one_of_each();
    let old = subscription["items"]["data"][0]["price"]["id"].clone();

    let dearer = SAMPLE
        .replace("\"26.5\"", "\"30.25\"")
        .replace("name = \"VaultAI\"", "name = \"VaultAI EU\"");
    let (ended, told) = run(&world, CatalogCommand::Plan, &dearer).await;
    assert_eq!(ended, Ended::Differs);
    assert!(told.contains("amount 26.5 → 30.25"), "{told}");
    assert_eq!(
        run(&world, CatalogCommand::Apply, &dearer).await.0,
        Ended::Agrees
    );
    assert_eq!(
        run(&world, CatalogCommand::Plan, &dearer).await.0,
        Ended::Agrees
    );

    let prices = world.sim.ledger().prices;
    assert_eq!(prices.len(), 5);
    let of = |id: &Value| prices.iter().find(|price| price["id"] == *id).unwrap();
    assert_eq!(of(&old)["active"], false);
    let key = "vaultai_managed_cloud_on_on_premise";
    let new = prices
        .iter()
        .find(|price| price["lookup_key"] == key)
        .unwrap();
    assert_eq!(
        (&new["unit_amount_decimal"], &new["active"]),
        (&"30.25".into(), &true.into())
    );
    let (_, subscription) = world.one_of_each();
    assert_eq!(subscription["items"]["data"][0]["price"]["id"], old);
    assert_eq!(world.sim.ledger().products[0]["name"], "VaultAI EU");
}

#[tokio::test]
async fn a_meter_that_cannot_change_stops_everything() {
    let world = World::start().await;
    let before = objects(&world);
    let other = SAMPLE
        .replace(
            "value_payload_key = \"value\"",
            "value_payload_key = \"seats\"",
        )
        .replace("\"26.5\"", "\"30\"");
    for command in [CatalogCommand::Plan, CatalogCommand::Apply] {
        let (ended, told) = run(&world, command, &other).await;
        assert_eq!(ended, Ended::Obstructed);
        assert!(
            told.contains("meter.value_payload_key is 'value' in Stripe"),
            "{told}"
        );
    }
    assert_eq!(objects(&world), before);
}

/// The program itself, with its exit codes.
#[tokio::test]
async fn the_command_says_by_its_exit_code_what_it_found() {
    let world = World::without_catalog().await;
    let base = world.sim.base_url();
    let stripe_svc = async |words: &[&str], key: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stripe-svc"));
        command
            .args(words)
            .env_clear()
            .env("STRIPE_SECRET_KEY", key)
            .env("STRIPE_API_BASE", &base);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        run.await.unwrap()
    };
    for (word, code) in [("plan", 2), ("apply", 0), ("plan", 0), ("apply", 0)] {
        let output = stripe_svc(&["catalog", word], "sk_test_local").await;
        assert_eq!(output.status.code(), Some(code), "{word}: {output:?}");
        assert!(!output.stdout.is_empty());
    }
    for (words, key, code) in [
        (["catalog", "apply"], "sk_live_1", 64),
        (["catalog", "apply"], "nonsense", 64),
        (["catalog", "plan"], "sk_test_wrong", 1),
        (["catalog", "burn"], "sk_test_local", 64),
    ] {
        let output = stripe_svc(&words, key).await;
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains(key) || key == "sk_test_local", "{told}");
    }
    // Without a command it serves, and says what it lacks.
    let output = stripe_svc(&[], "sk_test_local").await;
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL is not set"));
}
