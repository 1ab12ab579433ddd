//! Better Auth's tables: `user`, `session`, `account` and `rateLimit`, shared with a running Better
//! Auth.
//!
//! They exist in several variants. [`Tables`] is the proof that the variant was looked at and is one
//! that the statements of this folder can be put in the words of: there is no other way to them.
//!
//! Times may be `timestamp` or `timestamptz` of any precision: every connection of ours runs in UTC,
//! so that a cast to `timestamptz` and an assignment from one mean the same instant in both.

mod accounts;
mod layout;
mod rate_limits;
mod sessions;
mod users;

use billing_kit::Fault;
use billing_kit_db::db_fault;
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};

use self::layout::{Column, Layout, Table};
use super::statement;

pub(crate) use layout::IdKind;

/// Better Auth's tables, in a variant that we can read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tables(Layout);

/// Why there are no [`Tables`].
#[derive(Debug)]
pub(crate) enum DetectError {
    /// A variant that we cannot use: a sentence that names it, with the fix.
    Unsupported(String),
    /// The database did not answer.
    Database(Fault),
}

impl From<DetectError> for Fault {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Unsupported(problem) => Self::internal(problem),
            DetectError::Database(fault) => fault,
        }
    }
}

const COLUMNS: &str = r#"
    SELECT c.relname::text AS tab, a.attname::text AS col,
           format_type(a.atttypid, a.atttypmod) AS type_name,
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required,
           a.atthasdef OR a.attidentity <> '' OR c.relkind = 'v' AS filled
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.oid IN (to_regclass('"user"'), to_regclass('session'), to_regclass('account'), to_regclass('"rateLimit"'))
      AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum"#;

/// A deployment whose tables are called otherwise (`usePlural`, `modelName`): ours were made beside
/// them, and nobody is in ours.
const ELSEWHERE: &str = r#"
    SELECT 1 AS found
    WHERE obj_description(to_regclass('"user"'), 'pg_class') = 'made by migration 0002_better_auth'
      AND to_regclass('users') IS NOT NULL AND to_regclass('accounts') IS NOT NULL
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('sessions') AND attname = 'token' AND NOT attisdropped)
      AND NOT EXISTS (SELECT FROM "user")"#;

#[derive(FromQueryResult)]
struct Found {
    #[expect(dead_code, reason = "that there is a row is all there is to know")]
    found: i32,
}

/// The id that the database gave a new row.
#[derive(FromQueryResult)]
struct NewId {
    id: String,
}

impl Tables {
    /// Looks which variant is there.
    pub(crate) async fn detect(db: &impl ConnectionTrait) -> Result<Self, DetectError> {
        let columns = Column::find_by_statement(statement(COLUMNS, []))
            .all(db)
            .await
            .map_err(|error| DetectError::Database(db_fault(error)))?;
        Layout::recognise(&columns)
            .map(Self)
            .map_err(DetectError::Unsupported)
    }

    /// Whether the deployment's own tables have other names, so that nobody could sign in here.
    pub(crate) async fn are_elsewhere(&self, db: &impl ConnectionTrait) -> Result<bool, Fault> {
        let found = Found::find_by_statement(statement(ELSEWHERE, []))
            .one(db)
            .await
            .map_err(db_fault)?;
        Ok(found.is_some())
    }

    /// What the ids of new users are made of.
    pub(crate) fn user_ids(&self) -> IdKind {
        self.0.id_kind(Table::User)
    }

    /// What the ids of new sessions are made of.
    pub(crate) fn session_ids(&self) -> IdKind {
        self.0.id_kind(Table::Session)
    }

    /// What the ids of new accounts are made of.
    pub(crate) fn account_ids(&self) -> IdKind {
        self.0.id_kind(Table::Account)
    }

    /// What the ids of new counters are made of.
    pub(crate) fn counter_ids(&self) -> IdKind {
        self.0.id_kind(Table::RateLimit)
    }

    /// A statement in the words of the variant, with its values.
    fn statement(
        &self,
        table: Table,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Statement {
        Statement::from_sql_and_values(DbBackend::Postgres, self.0.sql(table, sql), values)
    }

    /// Stores a row; answers with its id. `id` comes last among the values, and is `None` where the
    /// database makes it.
    async fn insert(
        &self,
        db: &impl ConnectionTrait,
        table: Table,
        sql: &str,
        mut values: Vec<Value>,
        id: Option<String>,
    ) -> Result<String, Fault> {
        values.extend(id.map(Value::from));
        let row = NewId::find_by_statement(self.statement(table, sql, values))
            .one(db)
            .await
            .map_err(db_fault)?;
        row.map(|row| row.id)
            .ok_or_else(|| Fault::internal("an INSERT gave no id back"))
    }
}
