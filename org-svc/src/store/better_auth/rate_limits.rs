//! The table `rateLimit`: how often somebody tried, in Better Auth's own form.

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Table, Tables};
use crate::domain::attempts::Counted;

/// Until the transaction ends nobody else counts under this key. A lock, and not an upsert: older
/// versions of Better Auth made the table without a unique key.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";

const GET: &str = r#"
    SELECT "count"::bigint AS count, "lastRequest"::bigint AS last_ms
    FROM "rateLimit" WHERE "key" = $1 ORDER BY "lastRequest" DESC LIMIT 1"#;

const UPDATE: &str = r#"UPDATE "rateLimit" SET "count" = $2, "lastRequest" = $3 WHERE "key" = $1"#;

const INSERT: &str = r#"
    INSERT INTO "rateLimit" ("id", "key", "count", "lastRequest") VALUES ($4::new_id, $1, $2, $3)
    RETURNING "id"::text AS id"#;

const DELETE_BEFORE: &str = r#"DELETE FROM "rateLimit" WHERE "lastRequest" < $1"#;

#[derive(FromQueryResult)]
struct Row {
    count: i64,
    last_ms: i64,
}

impl Tables {
    /// What was counted under a key, which is this transaction's until it ends.
    pub(crate) async fn lock_counter(
        &self,
        db: &impl ConnectionTrait,
        key: &str,
    ) -> Result<Option<Counted>, Fault> {
        db.execute_raw(self.statement(Table::RateLimit, LOCK, [key.into()]))
            .await
            .map_err(db_fault)?;
        let row = Row::find_by_statement(self.statement(Table::RateLimit, GET, [key.into()]))
            .one(db)
            .await
            .map_err(db_fault)?;
        Ok(row.map(|Row { count, last_ms }| Counted { count, last_ms }))
    }

    /// Stores what was counted under a key. `id` is for a counter that is new.
    pub(crate) async fn store_counter(
        &self,
        db: &impl ConnectionTrait,
        key: &str,
        counted: Counted,
        id: Option<String>,
    ) -> Result<(), Fault> {
        let Counted { count, last_ms } = counted;
        let values = || vec![key.into(), count.into(), last_ms.into()];
        let update = self.statement(Table::RateLimit, UPDATE, values());
        let updated = db.execute_raw(update).await.map_err(db_fault)?;
        if updated.rows_affected() == 0 {
            self.insert(db, Table::RateLimit, INSERT, values(), id)
                .await?;
        }
        Ok(())
    }

    /// Forgets counters whose latest attempt was before a time, in milliseconds since 1970.
    pub(crate) async fn delete_counters_before(
        &self,
        db: &impl ConnectionTrait,
        ms: i64,
    ) -> Result<(), Fault> {
        db.execute_raw(self.statement(Table::RateLimit, DELETE_BEFORE, [ms.into()]))
            .await
            .map_err(db_fault)?;
        Ok(())
    }
}
