//! The one thing of this crate that goes past the public doors.
//!
//! A link starts today, and nothing a caller can say makes it start last month; nor does any door
//! make an invoice overdue. A demo needs both. So this writes what time would have written, into
//! `organizations`, *before* the reports of the billed weeks are posted: from there on the pipeline
//! does what it would have done, report by report. The change is announced in the feed just as
//! org-svc announces its own, because ingest-svc believes nothing else.
//!
//! Never anywhere but in a development database: `demo::run` refuses a live key and a remote
//! database.
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, Statement, TransactionTrait as _,
};
use uuid::Uuid;

use crate::database;

/// What an organization's row is to say.
#[derive(Debug)]
pub(super) struct Past {
    /// When it first reported.
    pub(super) created_at: DateTime<Utc>,
    /// When its billing began, and its status since; none while it is pending.
    pub(super) billing: Option<(DateTime<Utc>, &'static str)>,
}

/// The billing database, as its owner.
#[derive(Debug, Clone)]
pub(super) struct BillingDatabase {
    db: DatabaseConnection,
}

impl BillingDatabase {
    pub(super) async fn open(database_url: &str) -> anyhow::Result<Self> {
        let connected = database::connect(database_url).await;
        Ok(Self {
            db: connected.context("cannot connect to the billing database (DATABASE_URL)")?,
        })
    }

    /// When the organization's first report is of. This is what makes a second run the same: an
    /// organization's days are counted from here, not from today.
    pub(super) async fn first_report_at(&self, id: Uuid) -> anyhow::Result<Option<DateTime<Utc>>> {
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT min(reported_at) AS first FROM usage_reports WHERE organization_id = $1",
            [id.into()],
        );
        let row = self
            .db
            .query_one_raw(statement)
            .await?
            .context("an aggregate has a row")?;
        Ok(row.try_get("", "first")?)
    }

    /// Writes an organization's past, unless that has been done. Answers whether it did.
    pub(super) async fn write_past(&self, id: Uuid, past: &Past) -> anyhow::Result<bool> {
        let transaction = self.db.begin().await?;
        let (billing_start_at, status) = past.billing.unzip();
        let update = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "UPDATE organizations
                SET created_at = $2, updated_at = now(),
                    billing_start_at = coalesce($3, billing_start_at),
                    subscription_status = coalesce($4, subscription_status)
              WHERE id = $1 AND created_at > $2 + interval '1 minute'",
            [
                id.into(),
                past.created_at.into(),
                billing_start_at.into(),
                status.into(),
            ],
        );
        if transaction.execute_raw(update).await?.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        // org-svc gives out the feed's cursors under this lock, so that they appear in order. The row
        // is locked by now: in the other order the two would deadlock.
        transaction
            .execute_unprepared("SELECT pg_advisory_xact_lock(hashtext('organization_changes'))")
            .await?;
        let bump = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "WITH change AS (
                 INSERT INTO organization_changes (organization_id, changed_at)
                 VALUES ($1, now()) RETURNING cursor)
             UPDATE organizations SET standing_version = change.cursor FROM change WHERE id = $1",
            [id.into()],
        );
        transaction.execute_raw(bump).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// How many reports of these organizations are still on their way to Stripe.
    pub(super) async fn undelivered(&self, ids: Vec<Uuid>) -> anyhow::Result<i64> {
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT count(*) AS open FROM usage_reports
              WHERE delivery_state = 'queued'
                AND organization_id = ANY (string_to_array($1, ',')::uuid[])",
            [ids.join(",").into()],
        );
        let row = self
            .db
            .query_one_raw(statement)
            .await?
            .context("an aggregate has a row")?;
        Ok(row.try_get("", "open")?)
    }
}
