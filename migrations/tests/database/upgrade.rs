//! An upgrade beside running services: what the older release does goes on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, TransactionTrait};

use crate::support::{Db, connect};

/// The release before upgrades left running services alone.
const OLD_RELEASE: &str = "0030_search_of_each_list";
const ORGANIZATIONS: usize = 5_000;
const REPORTERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

const FILL: &str = "
    INSERT INTO organizations (id, name, instance_url, subscription_status, created_at, updated_at)
    SELECT md5(n::text)::uuid, 'Acme ' || n, n || '.example', 'pending', now(), now()
    FROM generate_series(0, 4999) AS n;
    INSERT INTO organization_reporting (organization_id, user_count, last_reported_at)
    SELECT md5(n::text)::uuid, 45, now() FROM generate_series(0, 4999) AS n;
    INSERT INTO usage_reports (organization_id, organization_name, instance_url, user_count,
        deployment_type, reported_at, received_at, delivery_state)
    SELECT md5(n::text)::uuid, 'Acme ' || n, n || '.example', 45, 'unassigned',
        now() - d * interval '1 day', now(), 'waiting'
    FROM generate_series(0, 4999) AS n, generate_series(1, 40) AS d;
    ANALYZE";

/// What a session of a service begins with.
const SESSION: &str =
    "SET ROLE billing_ingest; SET lock_timeout = '4s'; SET statement_timeout = '15s'";

/// What ingest-svc did for one report as of that release.
async fn report(db: &DatabaseConnection, at: usize) -> Result<(), DbErr> {
    let organization = format!("md5('{}')::uuid", at % ORGANIZATIONS);
    let time = format!("now() + {at} * interval '1 microsecond'");
    let lock = format!(
        "INSERT INTO organization_reporting AS r (organization_id, user_count, last_reported_at)
         VALUES ({organization}, 45, {time}) ON CONFLICT (organization_id) DO UPDATE SET
            user_count = excluded.user_count, last_reported_at = excluded.last_reported_at"
    );
    let insert = format!(
        "INSERT INTO usage_reports (id, organization_id, organization_name, instance_url, user_count,
            deployment_type, reported_at, received_at, delivery_state)
         SELECT gen_random_uuid(), {organization}, 'Acme', 'acme.example', 45, 'unassigned', {time},
            now(), 'waiting'
         WHERE NOT EXISTS (SELECT 1 FROM usage_report_spool s WHERE s.organization_id = {organization}
            AND s.reported_at = {time})
         ON CONFLICT (organization_id, reported_at) WHERE NOT adopted DO NOTHING"
    );
    let transaction = db.begin().await?;
    transaction.execute_unprepared(&lock).await?;
    transaction.execute_unprepared(&insert).await?;
    transaction.commit().await
}

/// What org-svc does meanwhile.
async fn observe(db: &DatabaseConnection, at: usize) -> Result<(), DbErr> {
    let observe = format!(
        "SET ROLE billing_org; UPDATE organizations SET observed_at = now()
         WHERE id = md5('{}')::uuid; {SESSION}",
        at % ORGANIZATIONS
    );
    db.execute_unprepared(&observe).await.map(drop)
}

struct Load {
    is_over: AtomicBool,
    recorded: AtomicUsize,
}

async fn reporter(load: Arc<Load>, url: String, number: usize) -> Vec<String> {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    #[expect(
        clippy::disallowed_methods,
        reason = "a stand-in for a service of an older release"
    )]
    let db = sea_orm::Database::connect(options).await.unwrap();
    db.execute_unprepared(SESSION).await.unwrap();
    let mut failures = Vec::new();
    let mut at = number;
    while !load.is_over.load(Ordering::Relaxed) {
        match report(&db, at).await {
            Ok(()) => load.recorded.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                failures.push(error.to_string());
                0
            }
        };
        if let Err(error) = observe(&db, at).await {
            failures.push(error.to_string());
        }
        at += REPORTERS;
    }
    db.close().await.unwrap();
    failures
}

async fn wait_for_more(load: &Load) {
    let (before, began) = (load.recorded.load(Ordering::Relaxed), Instant::now());
    while load.recorded.load(Ordering::Relaxed) < before + 10 {
        assert!(began.elapsed() < PATIENCE, "reports are no longer recorded");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_recorded_while_the_next_release_is_migrated() {
    let db = Db::migrated().await;
    let all = migrations::status(&db.connection).await.unwrap();
    let old = all
        .iter()
        .position(|(name, _)| name == OLD_RELEASE)
        .unwrap();
    let later = u32::try_from(all.len() - old - 1).unwrap();
    migrations::down(&db.connection, Some(later)).await.unwrap();
    db.run(FILL);

    let load = Arc::new(Load {
        is_over: AtomicBool::new(false),
        recorded: AtomicUsize::new(0),
    });
    let reporters: Vec<_> = (0..REPORTERS)
        .map(|number| tokio::spawn(reporter(load.clone(), db.url().to_owned(), number)))
        .collect();
    wait_for_more(&load).await;
    let migrating = connect(db.url()).await;
    let applied = migrations::up(&migrating).await.unwrap();
    assert_eq!(applied.len(), usize::try_from(later).unwrap());
    wait_for_more(&load).await;
    load.is_over.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for reporter in reporters {
        failures.extend(reporter.await.unwrap());
    }
    assert!(failures.is_empty(), "{failures:?}");
    let recorded = load.recorded.load(Ordering::Relaxed);
    let expected = u64::try_from(40 * ORGANIZATIONS + recorded).unwrap();
    assert_eq!(db.count("usage_reports").await, expected);
}
