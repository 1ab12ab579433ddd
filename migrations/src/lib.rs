//! All DDL of the product, as SQL files in `sql/`, and what applies them.
//!
//! A migration is a pair of files, `NNNN_name_up.sql` and `NNNN_name_down.sql`, and its name in the
//! list below. Files that were released are never edited again.
//!
//! A run is one transaction: either every pending migration is applied or the database is as it was,
//! which is what makes it safe to try the adoption of an older database. The transaction holds an
//! advisory lock, so of two Jobs that start together the second waits and finds nothing to do.
//!
//! Architecture invariant: no service links this crate. Only its own binary and tests do.

use sea_orm_migration::async_trait::async_trait;
use sea_orm_migration::prelude::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager};
use sea_orm_migration::sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, IsolationLevel,
    RuntimeErr, TransactionTrait, sqlx::postgres::PgDatabaseError,
};

pub use sea_orm_migration::MigrationStatus;

/// Registers the file pairs of `sql/`, in the order in which they are applied.
macro_rules! sql_files {
    ($($name:literal),+ $(,)?) => {
        [$(SqlFile {
            name: $name,
            up: include_str!(concat!("../sql/", $name, "_up.sql")),
            down: include_str!(concat!("../sql/", $name, "_down.sql")),
        }),+]
    };
}

const FILES: [SqlFile; 26] = sql_files![
    "0001_roles",
    "0002_better_auth",
    "0003_adopt_older",
    "0004_organizations",
    "0005_usage_reports",
    "0006_stripe",
    "0007_stripe_feed",
    "0008_org_subscription_feed",
    "0009_life_of_a_subscription",
    "0010_reconciliation",
    "0011_first_sent_at",
    "0012_draining",
    "0014_silence_and_holds",
    "0015_better_auth_at_the_doors",
    "0016_organization_lists",
    "0017_api_keys_and_audit",
    "0018_truth_of_the_ledger",
    "0020_sent_customer",
    "0021_drained",
    "0022_adopted_customer",
    "0023_notices",
    "0024_notices_of_ingest",
    "0027_dashboard_speed",
    "0028_retries_and_trail",
    "0029_urgent_holds",
    "0030_search_of_each_list",
];

/// The text of every migration, in order: by it a test tells whether a migrated database that it may
/// copy is of this state.
pub fn sources() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().map(|file| file.up)
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        FILES
            .into_iter()
            .map(|file| -> Box<dyn MigrationTrait> { Box::new(file) })
            .collect()
    }
}

struct SqlFile {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl SqlFile {
    async fn run(&self, manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
        match manager.get_connection().execute_unprepared(sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(DbErr::Migration(format!(
                "migration {}: {}",
                self.name,
                in_full(&error)
            ))),
        }
    }
}

impl MigrationName for SqlFile {
    fn name(&self) -> &str {
        self.name
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "async_trait wants the signatures of the trait to the letter"
)]
#[async_trait]
impl MigrationTrait for SqlFile {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.run(manager, self.up).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.run(manager, self.down).await
    }
}

/// What PostgreSQL said, with the detail and the hint that the driver's own text leaves out.
fn in_full(error: &DbErr) -> String {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) =
        error
    else {
        return error.to_string();
    };
    let Some(refusal) = cause
        .as_database_error()
        .and_then(|refusal| refusal.try_downcast_ref::<PgDatabaseError>())
    else {
        return error.to_string();
    };
    let rest = [refusal.detail(), refusal.hint()];
    let rest = rest.into_iter().flatten().map(|line| format!("\n  {line}"));
    std::iter::once(refusal.message().to_owned())
        .chain(rest)
        .collect()
}

/// Applies every pending migration; says which.
///
/// # Errors
/// When PostgreSQL refuses a statement. Nothing is changed then.
pub async fn up(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let transaction = begin_alone(db).await?;
    let run = async {
        let pending = Migrator::get_pending_migrations(&transaction).await?;
        Migrator::up(&transaction, None).await?;
        Ok(pending.iter().map(|m| m.name().to_owned()).collect())
    };
    let run = run.await;
    end(transaction, run).await
}

/// Takes back the latest `steps` migrations, all of them for `None`; says which, latest first.
///
/// # Errors
/// When PostgreSQL refuses a statement, or a migration refuses to drop rows of an older database.
/// Nothing is changed then.
pub async fn down(db: &DatabaseConnection, steps: Option<u32>) -> Result<Vec<String>, DbErr> {
    let transaction = begin_alone(db).await?;
    let run = async {
        let applied = Migrator::get_applied_migrations(&transaction).await?;
        let count = steps.map_or(applied.len(), |steps| {
            usize::try_from(steps).unwrap_or(usize::MAX)
        });
        Migrator::down(&transaction, steps).await?;
        let latest = applied.iter().rev().take(count);
        Ok(latest.map(|m| m.name().to_owned()).collect())
    };
    let run = run.await;
    end(transaction, run).await
}

/// Ends a run's transaction: at once in either case. One that is merely dropped is rolled back when
/// its connection is next looked at, and holds its locks until then.
async fn end<T>(transaction: DatabaseTransaction, run: Result<T, DbErr>) -> Result<T, DbErr> {
    match run {
        Ok(done) => transaction.commit().await.map(|()| done),
        Err(error) => {
            // A connection that broke has rolled back by itself.
            drop(transaction.rollback().await);
            Err(error)
        }
    }
}

/// Every migration in order, and whether it is applied. Changes nothing.
///
/// # Errors
/// When the database cannot be read, or holds a migration that this release does not know.
pub async fn status(db: &DatabaseConnection) -> Result<Vec<(String, MigrationStatus)>, DbErr> {
    let all = Migrator::get_migration_with_status_read_only(db).await?;
    let all = all.iter().map(|m| (m.name().to_owned(), m.status()));
    Ok(all.collect())
}

/// Opens the transaction of a run, once no other run is under way in this database.
async fn begin_alone(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    // Read committed, so that who waited for the lock sees what the other run did.
    let transaction = db
        .begin_with_config(
            Some(IsolationLevel::ReadCommitted),
            Some(AccessMode::ReadWrite),
        )
        .await?;
    // Managed databases come with time-outs that an adoption of years of reports may exceed. A table
    // that somebody else holds, however, is not waited for forever: everyone else queues behind us.
    transaction
        .execute_unprepared(
            "SET LOCAL statement_timeout = 0;
             SET LOCAL idle_in_transaction_session_timeout = 0;
             SELECT pg_advisory_xact_lock(hashtext('billing migrations'));
             SET LOCAL lock_timeout = '60s';
             SET LOCAL client_min_messages = 'warning'",
        )
        .await?;
    Ok(transaction)
}
