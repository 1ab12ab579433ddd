//! The instance's own database: its `"Organization"` table as the specification gives it, and the
//! users that are counted. A row is an instance's organization; a database with many rows stands
//! for that many instances.
use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, Statement, TransactionTrait as _,
};
use uuid::Uuid;

use crate::database;

/// The most organizations that one simulator stands for.
pub const MAX_ORGANIZATIONS: usize = 10_000;
/// The most users that are added at once.
pub const MAX_USERS: i64 = 10_000_000;

// `"Organization"` is the specification's, to the letter. The instance's real user table has more
// columns; the count is all that is asked of it here.
const TABLES: &str = r#"
SELECT pg_advisory_xact_lock(hashtext('instance-sim tables'));
CREATE TABLE IF NOT EXISTS "Organization" (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name TEXT NOT NULL,
  description TEXT,
  allowed_domains TEXT[],
  auth_methods TEXT[],
  created_at TIMESTAMP DEFAULT NOW()
);
CREATE TABLE IF NOT EXISTS "User" (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id UUID NOT NULL REFERENCES "Organization" (id) ON DELETE CASCADE,
  created_at TIMESTAMP DEFAULT NOW()
);
CREATE INDEX IF NOT EXISTS "User_organization_id_idx" ON "User" (organization_id);
CREATE TABLE IF NOT EXISTS "UsageCount" (
  organization_id UUID NOT NULL REFERENCES "Organization" (id) ON DELETE CASCADE,
  counted_at TIMESTAMPTZ NOT NULL,
  user_count BIGINT NOT NULL,
  reported BOOLEAN NOT NULL DEFAULT false,
  PRIMARY KEY (organization_id, counted_at)
);
"#;

/// An organization and how many users it has right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedOrganization {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Rows of `"User"` that are its.
    pub user_count: i64,
}

/// A count that was stored when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCount {
    /// The organization.
    pub id: Uuid,
    /// Its name now.
    pub name: String,
    /// How many users it had.
    pub user_count: i64,
    /// When.
    pub timestamp: DateTime<Utc>,
}

/// The instance's tables.
#[derive(Debug, Clone)]
pub struct OrganizationStore {
    db: DatabaseConnection,
}

impl OrganizationStore {
    /// Connects to the instance's own database, and makes the tables that are missing.
    pub async fn open(database_url: &str) -> anyhow::Result<Self> {
        let connected = database::connect(database_url).await;
        let db = connected.context("cannot connect to the instance's database (DATABASE_URL)")?;
        // The lock is there because CREATE TABLE IF NOT EXISTS fails when two do it at once.
        let transaction = db.begin().await?;
        transaction
            .execute_unprepared(TABLES)
            .await
            .context("cannot make the instance's tables")?;
        transaction.commit().await?;
        Ok(Self { db })
    }

    /// Adds the first organization, with users, unless there is one already.
    pub async fn add_first(&self, name: &str, user_count: i64) -> anyhow::Result<()> {
        let none = self.count_users().await?.is_empty();
        if none {
            let id = self.add(None, name).await?;
            self.add_users(id, user_count).await?;
        }
        Ok(())
    }

    /// Adds an organization without users, under an id of the database's choice if none is given.
    pub async fn add(&self, id: Option<Uuid>, name: &str) -> anyhow::Result<Uuid> {
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"INSERT INTO "Organization" (id, name) VALUES (coalesce($1, gen_random_uuid()), $2) RETURNING id"#,
            [id.into(), name.into()],
        );
        let row = self
            .db
            .query_one_raw(statement)
            .await?
            .context("INSERT returned nothing")?;
        Ok(row.try_get("", "id")?)
    }

    /// Adds users to an organization.
    pub async fn add_users(&self, organization_id: Uuid, count: i64) -> anyhow::Result<()> {
        if !(0..=MAX_USERS).contains(&count) {
            bail!("{count} users: 0 to {MAX_USERS} can be added at once");
        }
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"INSERT INTO "User" (organization_id) SELECT $1 FROM generate_series(1, $2)"#,
            [organization_id.into(), count.into()],
        );
        self.db.execute_raw(statement).await?;
        Ok(())
    }

    /// Removes this many users of an organization, or as many as it has.
    pub async fn remove_users(&self, organization_id: Uuid, count: i64) -> anyhow::Result<()> {
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"DELETE FROM "User" WHERE id IN (SELECT id FROM "User" WHERE organization_id = $1 LIMIT $2)"#,
            [organization_id.into(), count.max(0).into()],
        );
        self.db.execute_raw(statement).await?;
        Ok(())
    }

    /// Counts the users of every organization, and stores the counts before they are reported.
    pub async fn store_counts(&self, timestamp: DateTime<Utc>) -> anyhow::Result<()> {
        let (ids, counts): (Vec<_>, Vec<_>) = self
            .count_users()
            .await?
            .into_iter()
            .map(|counted| (counted.id, counted.user_count))
            .unzip();
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"INSERT INTO "UsageCount" (organization_id, counted_at, user_count)
               SELECT id, $3, user_count FROM unnest($1::uuid[], $2::bigint[]) AS t (id, user_count)
               ON CONFLICT DO NOTHING"#,
            [ids.into(), counts.into(), timestamp.into()],
        );
        self.db.execute_raw(statement).await?;
        Ok(())
    }

    /// The counts of the last 35 days that the billing service has not acknowledged, and those of this
    /// moment; the oldest first.
    pub async fn to_report(&self, at: DateTime<Utc>) -> anyhow::Result<Vec<StoredCount>> {
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"SELECT c.organization_id, o.name, c.user_count, c.counted_at
               FROM "UsageCount" c JOIN "Organization" o ON o.id = c.organization_id
               WHERE NOT c.reported AND c.counted_at > $1 - interval '35 days' OR c.counted_at = $1
               ORDER BY c.counted_at, c.organization_id"#,
            [at.into()],
        );
        self.stored(statement).await
    }

    /// What was counted of an organization on these UTC days: of each the last count.
    pub async fn counted_on(
        &self,
        organization_id: Uuid,
        days: Vec<NaiveDate>,
    ) -> anyhow::Result<Vec<StoredCount>> {
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"SELECT DISTINCT ON ((c.counted_at AT TIME ZONE 'UTC')::date)
                 c.organization_id, o.name, c.user_count, c.counted_at
               FROM "UsageCount" c JOIN "Organization" o ON o.id = c.organization_id
               WHERE c.organization_id = $1 AND (c.counted_at AT TIME ZONE 'UTC')::date = ANY($2)
               ORDER BY (c.counted_at AT TIME ZONE 'UTC')::date, c.counted_at DESC"#,
            [organization_id.into(), days.into()],
        );
        self.stored(statement).await
    }

    /// Takes note that a count is acknowledged.
    pub async fn settle(&self, organization_id: Uuid, at: DateTime<Utc>) -> anyhow::Result<()> {
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            r#"UPDATE "UsageCount" SET reported = true WHERE organization_id = $1 AND counted_at = $2"#,
            [organization_id.into(), at.into()],
        );
        self.db.execute_raw(statement).await?;
        Ok(())
    }

    async fn stored(&self, statement: Statement) -> anyhow::Result<Vec<StoredCount>> {
        let rows = self.db.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredCount {
                    id: row.try_get("", "organization_id")?,
                    name: row.try_get("", "name")?,
                    user_count: row.try_get("", "user_count")?,
                    timestamp: row.try_get("", "counted_at")?,
                })
            })
            .collect()
    }

    /// Every organization with its number of users, the oldest first.
    pub async fn count_users(&self) -> anyhow::Result<Vec<CountedOrganization>> {
        let statement = Statement::from_string(
            DbBackend::Postgres,
            format!(
                r#"SELECT o.id, o.name, count(u.id) AS user_count
                   FROM "Organization" o LEFT JOIN "User" u ON u.organization_id = o.id
                   GROUP BY o.id, o.name, o.created_at ORDER BY o.created_at, o.id
                   LIMIT {}"#,
                MAX_ORGANIZATIONS + 1
            ),
        );
        let rows = self.db.query_all_raw(statement).await?;
        if rows.len() > MAX_ORGANIZATIONS {
            bail!("more than {MAX_ORGANIZATIONS} organizations in one instance's database");
        }
        rows.iter()
            .map(|row| {
                Ok(CountedOrganization {
                    id: row.try_get("", "id")?,
                    name: row.try_get("", "name")?,
                    user_count: row.try_get("", "user_count")?,
                })
            })
            .collect()
    }
}
