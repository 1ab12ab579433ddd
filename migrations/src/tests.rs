//! Upgrades beside running services: what a file may do, and what happens when it is interrupted.

use billing_devkit::postgres::{TestDatabase, run_sql};
use sea_orm_migration::sea_orm::{ConnectOptions, Database, TransactionTrait};

use super::*;

/// Released before upgrades had to leave running services alone.
const LAST_UNCHECKED: &str = "0030_search_of_each_list";
/// Its block makes two indexes, if `pg_trgm` is there, of rows that have a column which the file before it
/// adds. No service of the release before fills that column, so no row is in them yet. A block cannot
/// build concurrently.
const BUILT_EMPTY: &str = "0038_pending_indexes";

async fn connect(database: &TestDatabase) -> DatabaseConnection {
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(2).sqlx_logging(false);
    #[expect(
        clippy::disallowed_methods,
        reason = "migrations run as the owner of the tables, not in a service's role"
    )]
    Database::connect(options).await.unwrap()
}

/// The words of a file's statements, upper case, without comments.
fn statements_in_words(file: &SqlFile) -> Vec<Vec<String>> {
    let words = |statement: Statement<'_>| {
        let code = statement
            .sql
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"));
        let words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
        words
            .filter(|word| !word.is_empty())
            .map(str::to_uppercase)
            .collect()
    };
    statements::split(file.up).into_iter().map(words).collect()
}

fn has(statement: &[String], words: &str) -> bool {
    let words: Vec<&str> = words.split(' ').collect();
    statement.windows(words.len()).any(|window| window == words)
}

fn later_files() -> impl Iterator<Item = &'static SqlFile> {
    FILES
        .iter()
        .skip_while(|file| file.name != LAST_UNCHECKED)
        .skip(1)
}

/// The table that a statement creates, or that it builds an index on or alters.
fn table_of(statement: &[String]) -> Option<&str> {
    let after = |words: &[&str]| {
        let at = statement
            .windows(words.len())
            .position(|window| window == words)?;
        let mut names = statement.get(at + words.len()..)?.iter();
        names.find(|word| !["IF", "NOT", "EXISTS", "ONLY"].contains(&word.as_str()))
    };
    let table = after(&["CREATE", "TABLE"]).or_else(|| after(&["ALTER", "TABLE"]));
    let table = table.or_else(|| has(statement, "INDEX").then(|| after(&["ON"])).flatten());
    table.or_else(|| after(&["UPDATE"])).map(String::as_str)
}

/// Why a statement of a transaction holds a lock for as long as a big table takes.
fn fault_of(statement: &[String]) -> Option<&'static str> {
    let is_alter = has(statement, "ALTER TABLE");
    let validates = ["CHECK", "FOREIGN KEY", "UNIQUE", "PRIMARY KEY"];
    if has(statement, "INDEX") && has(statement, "CREATE") {
        Some("builds an index on a table that exists")
    } else if has(statement, "UPDATE") && statement.first().is_some_and(|word| word == "UPDATE") {
        Some("changes the rows of a table that exists")
    } else if is_alter && (has(statement, "STORED") || has(statement, "SET DATA TYPE")) {
        Some("writes a table anew")
    } else if is_alter && has(statement, "SET NOT NULL") {
        Some("reads a whole table: add a CHECK (… IS NOT NULL) NOT VALID and validate it")
    } else if is_alter
        && has(statement, "ADD CONSTRAINT")
        && validates.iter().any(|kind| has(statement, kind))
        && !has(statement, "NOT VALID")
    {
        Some("validates a constraint: add it NOT VALID and validate it outside a transaction")
    } else if has(statement, "VALIDATE CONSTRAINT") {
        Some("validates a constraint")
    } else if is_alter && (has(statement, "RENAME") || has(statement, "DROP COLUMN")) {
        Some("takes a name away that running services use")
    } else {
        None
    }
}

#[test]
fn later_files_hold_no_lock_for_long() {
    for file in later_files().filter(|file| !file.is_outside_a_transaction()) {
        let statements = statements_in_words(file);
        let created: Vec<&str> = statements
            .iter()
            .filter(|statement| has(statement, "CREATE TABLE"))
            .filter_map(|statement| table_of(statement))
            .collect();
        for statement in &statements {
            let is_new = table_of(statement).is_some_and(|table| created.contains(&table));
            if let Some(fault) = fault_of(statement).filter(|_| !is_new) {
                panic!(
                    "{}: a statement {fault}. Put it into a file that begins with `{}`:\n{}",
                    file.name,
                    statements::OUTSIDE,
                    statement.join(" ")
                );
            }
        }
    }
}

#[test]
fn indexes_outside_a_transaction_are_built_beside_the_services() {
    for file in FILES.iter().filter(|file| file.is_outside_a_transaction()) {
        for statement in statements::split(file.up) {
            let is_index = statement.sql.contains(" INDEX ") && statement.sql.contains("CREATE ");
            let is_built_empty = file.name == BUILT_EMPTY && statement.sql.contains("DO $$");
            assert!(
                !is_index || is_built_empty || statement.concurrent_index().is_some(),
                "{}: write CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS:\n{}",
                file.name,
                statement.sql
            );
        }
    }
}

/// An interrupted file runs again from its beginning.
#[tokio::test]
async fn files_outside_a_transaction_may_run_again() {
    let database = TestDatabase::create().unwrap();
    let db = connect(&database).await;
    up(&db).await.unwrap();
    for file in FILES.iter().filter(|file| file.is_outside_a_transaction()) {
        for statement in statements::split(file.up) {
            let again = repeat(&db, &statement).await;
            again.unwrap_or_else(|error| panic!("{}: {error}\n{}", file.name, statement.sql));
        }
    }
}

const OUTSIDE: SqlFile = SqlFile {
    name: "9999_outside",
    up: "-- outside a transaction\n\
         ALTER TABLE things ADD COLUMN IF NOT EXISTS n bigint;\n\
         -- until nothing is left\n\
         UPDATE things SET n = id WHERE id IN (SELECT id FROM things WHERE n IS NULL LIMIT 7);\n\
         CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS things_n_idx ON things (n);\n",
    down: "",
};
const THINGS: &str = "CREATE TABLE things (id bigint PRIMARY KEY); \
    INSERT INTO things SELECT * FROM generate_series(1, 100);\
    CREATE TABLE seaql_migrations (version text PRIMARY KEY, applied_at bigint)";

async fn one(db: &DatabaseConnection, query: &str) -> String {
    let query =
        sea_orm_migration::sea_orm::Statement::from_string(db.get_database_backend(), query);
    let row = db.query_one_raw(query).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

const INDEX: &str =
    "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'things_n_idx'::regclass";

#[tokio::test]
async fn an_interrupted_build_of_an_index_begins_again() {
    let database = TestDatabase::create().unwrap();
    let db = connect(&database).await;
    db.execute_unprepared(THINGS).await.unwrap();
    // Two rows of one value make the build fail, as a lost connection would, and leave it invalid.
    let twice = "ALTER TABLE things ADD COLUMN n bigint; UPDATE things SET n = 7 WHERE id < 3";
    db.execute_unprepared(twice).await.unwrap();
    let error = up_outside_a_transaction(&db, &OUTSIDE).await.unwrap_err();
    assert!(error.to_string().contains("things_n_idx"), "{error}");
    assert_eq!(one(&db, INDEX).await, "false");
    let applied = "SELECT count(*)::text FROM seaql_migrations";
    assert_eq!(one(&db, applied).await, "0");

    let mended = "UPDATE things SET n = id";
    db.execute_unprepared(mended).await.unwrap();
    up_outside_a_transaction(&db, &OUTSIDE).await.unwrap();
    assert_eq!(one(&db, INDEX).await, "true");
    assert_eq!(one(&db, applied).await, "1");
    assert_eq!(one(&db, "SELECT max(n)::text FROM things").await, "100");
}

/// Somebody holds the table: the migration gives way each time and is done once they are gone.
#[tokio::test]
async fn a_held_table_is_waited_for_without_keeping_others_from_it() {
    let database = TestDatabase::create().unwrap();
    let db = connect(&database).await;
    db.execute_unprepared(THINGS).await.unwrap();
    let holder = db.begin().await.unwrap();
    holder
        .execute_unprepared("LOCK TABLE things IN ROW EXCLUSIVE MODE")
        .await
        .unwrap();
    let migrating = connect(&database).await;
    let migration =
        tokio::spawn(async move { up_outside_a_transaction(&migrating, &OUTSIDE).await });
    // Inserts queue behind the waiting ALTER TABLE for less time than a service waits for a lock.
    for id in 101..120 {
        let insert = format!("SET lock_timeout = '4s'; INSERT INTO things (id) VALUES ({id})");
        run_sql(database.url(), &insert).unwrap();
    }
    assert!(!migration.is_finished());
    holder.commit().await.unwrap();
    migration.await.unwrap().unwrap();
    assert_eq!(one(&db, INDEX).await, "true");
}
