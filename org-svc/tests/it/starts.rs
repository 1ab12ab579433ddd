//! What keeps org-svc from starting, and what does not.

use billing_kit::process::Lifecycle;
use billing_kit_db::DatabaseConfig;
use org_svc::Deps;

use crate::support::{World, new_id, nowhere};

/// The pool tries a connection whose role is refused again and again, and in the end tells only that
/// it took too long: the missing membership went unnoticed, and the service was never ready.
#[tokio::test]
async fn a_login_without_the_role_is_told_how_to_get_it() {
    let world = World::new().await;
    let login = format!("login_{}", new_id().simple());
    world
        .as_owner_run(&format!("CREATE ROLE {login} LOGIN"))
        .await;
    let mut url = url::Url::parse(world.database_url()).unwrap();
    url.set_username(&login).unwrap();
    let mut config = world.config(&nowhere());
    config.database = DatabaseConfig::new(url, 2);
    let refused = org_svc::start(config, Deps::system(), Lifecycle::new()).await;
    world.as_owner_run(&format!("DROP ROLE {login}")).await;
    let told = refused.unwrap_err();
    assert!(told.contains("GRANT billing_org TO"), "{told}");
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for() {
    let world = World::new().await;
    let mut config = world.config(&nowhere());
    config.database = DatabaseConfig::new("postgresql://nobody@127.0.0.1:9/nothing", 2);
    let life = Lifecycle::new();
    let started = org_svc::start(config, Deps::system(), life.clone()).await;
    assert!(!started.unwrap().health.is_ready());
    assert!(life.drain(std::time::Duration::from_secs(10)).await);
}
