//! All DDL of the product, as SQL files in `sql/`, and what applies them.
//!
//! A migration is a pair of files, `NNNN_name_up.sql` and `NNNN_name_down.sql`, and its name in the
//! list below. Files that were released are never edited again.
//!
//! The first run in a database is one transaction: either everything is applied or the database is as
//! it was. That makes it safe to try the adoption of an older database.
//!
//! A later run is an upgrade, and reports come in meanwhile. Each migration is then a transaction of
//! its own. It waits less than a second for a lock, because everyone else queues behind it; then it
//! rolls back and tries again. A run that is interrupted goes on with the next `migrations up`.
//!
//! A migration that would hold a lock for long begins with the line
//!
//! ```sql
//! -- outside a transaction
//! ```
//!
//! Its statements are then committed one by one, each ended by a semicolon. Use it to build an index
//! (`CREATE INDEX CONCURRENTLY IF NOT EXISTS`), to validate a constraint that was added `NOT VALID`,
//! and to fill a column. A statement after the comment line `-- until nothing is left` is repeated until
//! it changes no row: let it change a few thousand rows at a time. An interrupted file runs again from
//! its beginning, so each statement must be safe to repeat; an index whose build was interrupted is
//! dropped and built again. In a first run, and on the way down, the word `CONCURRENTLY` is left out.
//!
//! A test refuses statements that hold a lock for long in later files without that line.
//!
//! Of two runs that start together the second waits for the first, by an advisory lock of the session,
//! and finds nothing to do.
//!
//! Architecture invariant: no service links this crate. Only its own binary and tests do.

mod preconditions;
mod session;
mod statements;

use sea_orm_migration::async_trait::async_trait;
use sea_orm_migration::prelude::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager};
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

use session::{Patience, Session};
use statements::Statement;

pub use sea_orm_migration::MigrationStatus;

/// Registers the file pairs of `sql/`, in the order in which they are applied.
macro_rules! sql_files {
    ($($name:literal),+ $(,)?) => {
        &[$(SqlFile {
            name: $name,
            up: include_str!(concat!("../sql/", $name, "_up.sql")),
            down: include_str!(concat!("../sql/", $name, "_down.sql")),
        }),+]
    };
}

const FILES: &[SqlFile] = sql_files![
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
    "0031_hold_reasons",
    "0032_baseline",
    "0033_report_sources",
    "0034_report_source_index",
    "0035_signing_keys",
    "0037_pending_flood",
    "0038_pending_indexes",
    "0039_sign_in_budgets",
    "0041_change_customers_last",
    "0042_collection_pause",
];

/// The text of every migration, in order: by it a test tells whether a migrated database that it may
/// copy is of this state.
pub fn sources() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.up)
}

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        FILES
            .iter()
            .map(|file| -> Box<dyn MigrationTrait> { Box::new(*file) })
            .collect()
    }
}

#[derive(Clone, Copy)]
struct SqlFile {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl SqlFile {
    fn is_outside_a_transaction(&self) -> bool {
        self.up.lines().next() == Some(statements::OUTSIDE)
    }

    /// Runs its statements within the transaction that is under way.
    async fn run(&self, transaction: &impl ConnectionTrait, sql: &str) -> Result<(), DbErr> {
        let statements = if self.is_outside_a_transaction() {
            statements::as_one_transaction(sql)
        } else {
            vec![Statement::once(sql)]
        };
        for statement in statements {
            repeat(transaction, &statement).await?;
        }
        Ok(())
    }

    /// Applies it within the transaction that is under way.
    async fn apply(&self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        self.run(transaction, self.up).await?;
        session::record(transaction, self.name).await
    }

    fn failure(&self, error: &DbErr) -> DbErr {
        DbErr::Migration(format!("migration {}: {}", self.name, in_full(error)))
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
        let run = self.run(manager.get_connection(), self.up).await;
        run.map_err(|error| self.failure(&error))
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let run = self.run(manager.get_connection(), self.down).await;
        run.map_err(|error| self.failure(&error))
    }
}

/// Runs a statement, once or until it changes nothing.
async fn repeat(db: &impl ConnectionTrait, statement: &Statement<'_>) -> Result<(), DbErr> {
    loop {
        let done = db.execute_unprepared(&statement.sql).await?;
        if !statement.until_nothing_is_left || done.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// What PostgreSQL said, with the detail and the hint that the driver's own text leaves out.
fn in_full(error: &DbErr) -> String {
    let Some(refusal) = session::refusal(error) else {
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
/// When PostgreSQL refuses a statement. In a first run nothing is changed then. In a later one what was
/// applied before it stays, and the next run goes on from there.
pub async fn up(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let session = Session::alone(db).await?;
    let run = up_alone(&session.db).await;
    session.end(run).await
}

/// As [`up`], in a schema that the search path of `db` begins with. It is made where it is missing.
///
/// # Errors
/// As [`up`]; or another schema of this database has our tables, while this one has none.
pub async fn up_in(db: &DatabaseConnection, schema: &str) -> Result<Vec<String>, DbErr> {
    preconditions::check_schema(db, schema).await?;
    up(db).await
}

async fn up_alone(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let all = Migrator::get_migration_with_status_read_only(db).await?;
    let pending: Vec<&SqlFile> = FILES
        .iter()
        .zip(&all)
        .filter(|(_, migration)| migration.status() == MigrationStatus::Pending)
        .map(|(file, _)| file)
        .collect();
    if pending.len() == FILES.len() {
        preconditions::check_roles(db).await?;
        up_in_one_transaction(db).await?;
    } else {
        for file in &pending {
            let run = if file.is_outside_a_transaction() {
                up_outside_a_transaction(db, file).await
            } else {
                up_in_its_own_transaction(db, file).await
            };
            run.map_err(|error| file.failure(&error))?;
        }
    }
    Ok(pending.iter().map(|file| file.name.to_owned()).collect())
}

async fn up_in_one_transaction(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = session::begin(db, session::LONG_LOCKS).await?;
    let run = async {
        Migrator::install(&transaction).await?;
        for file in FILES {
            let run = file.apply(&transaction).await;
            run.map_err(|error| file.failure(&error))?;
        }
        Ok(())
    };
    let run = run.await;
    session::end(transaction, run).await
}

async fn up_in_its_own_transaction(db: &DatabaseConnection, file: &SqlFile) -> Result<(), DbErr> {
    let mut patience = Patience::default();
    loop {
        let transaction = session::begin(db, session::SHORT_LOCKS).await?;
        let run = file.apply(&transaction).await;
        match session::end(transaction, run).await {
            Ok(()) => return Ok(()),
            Err(error) => patience.wait_after(error).await?,
        }
    }
}

/// Applies a file statement by statement.
async fn up_outside_a_transaction(db: &DatabaseConnection, file: &SqlFile) -> Result<(), DbErr> {
    for statement in statements::split(file.up) {
        commit_alone(db, &statement).await?;
    }
    session::record(db, file.name).await
}

async fn commit_alone(db: &DatabaseConnection, statement: &Statement<'_>) -> Result<(), DbErr> {
    let mut patience = Patience::default();
    loop {
        if let Some(index) = statement.concurrent_index() {
            session::drop_invalid_index(db, index).await?;
        }
        session::set_lock_timeout(db, statement.is_concurrent()).await?;
        match repeat(db, statement).await {
            Ok(()) => return Ok(()),
            Err(error) => patience.wait_after(error).await?,
        }
    }
}

/// Takes back the latest `steps` migrations, all of them for `None`, in one transaction; says which,
/// latest first. Services that run meanwhile may fail.
///
/// # Errors
/// When PostgreSQL refuses a statement, or a migration refuses to drop rows of an older database.
/// Nothing is changed then.
pub async fn down(db: &DatabaseConnection, steps: Option<u32>) -> Result<Vec<String>, DbErr> {
    let session = Session::alone(db).await?;
    let run = down_alone(&session.db, steps).await;
    session.end(run).await
}

async fn down_alone(db: &DatabaseConnection, steps: Option<u32>) -> Result<Vec<String>, DbErr> {
    let transaction = session::begin(db, session::LONG_LOCKS).await?;
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
    session::end(transaction, run).await
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

#[cfg(test)]
mod tests;
