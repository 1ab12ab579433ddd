//! Goal: what a pool's user leaves behind is nobody else's.
//! Method: a real PostgreSQL, a pool of one connection, and callers that go away at every moment.

use std::pin::pin;

use billing_harness::TestDatabase;
use billing_kit_db::DatabaseConfig;
use futures::poll;
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

/// More turns of the runtime than it takes to begin a transaction.
const TURNS_MAX: usize = 400;

/// The chaos run found meter events that were settled and then were not, and rows that were gone as
/// soon as they were inserted. A caller had gone away while its transaction began: the BEGIN was sent,
/// and the connection went back to the pool inside a transaction that nobody would ever commit.
#[tokio::test]
async fn a_caller_who_goes_while_it_begins_leaves_no_transaction_behind() {
    let database = TestDatabase::migrated().await;
    let owner = database.connect().await;
    let create = "CREATE TABLE notes (turns bigint); GRANT INSERT ON notes TO billing_ingest";
    owner.execute_unprepared(create).await.unwrap();
    let config = DatabaseConfig::new(database.url(), 1);
    let db = billing_kit_db::connect(&config, "billing_ingest")
        .await
        .unwrap();
    for turns in 0..TURNS_MAX {
        {
            let mut begun = pin!(db.begin());
            for _ in 0..turns {
                if poll!(&mut begun).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let insert = format!("INSERT INTO notes VALUES ({turns})");
        db.execute_unprepared(&insert).await.unwrap();
        let count = "SELECT count(*) FROM notes";
        let count = Statement::from_string(DbBackend::Postgres, count);
        let count = owner.query_one_raw(count).await.unwrap().unwrap();
        let count: i64 = count.try_get_by_index(0).unwrap();
        assert_eq!(usize::try_from(count).unwrap(), turns + 1);
    }
    db.close().await.unwrap();
    owner.close().await.unwrap();
}
